"""The loop: its schedule, its log, what it refuses; that watching changes nothing, and that MAD works."""

import copy
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from faults import same
from method_checks import networks
from method_checks import play as played

from dfkd_lib import evaluation, training
from dfkd_lib.errors import UserError
from dfkd_lib.losses import mad
from dfkd_lib.methods import METHODS
from dfkd_lib.probe import LAGS, Probe
from dfkd_lib.recipes import Recipe
from dfkd_lib.training import learning_rate_factor, train

TINY = Recipe(
    generator_width=2,
    z_dim=6,
    batch=8,
    student_batch=8,
    student_steps=2,
    stages=7,
    stages_per_epoch=3,
    memory=24,
    inversion_steps=2,
)


@pytest.fixture(scope="session")
def test_set(digits, teacher):
    whole = evaluation.TestSet.of(digits, teacher.network, "cpu")
    return evaluation.TestSet(whole.x[:64], whole.y[:64], whole.teacher_logits[:64])


@pytest.fixture
def play():
    def make(method="mad", *, seed=0, **changes):
        return played(method, seed=seed, recipe=TINY, **changes)

    return make


def weights(network) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in network.parameters()])


# --- schedule --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("schedule", "progress", "factor"),
    [
        ("constant", 0.0, 1.0),
        ("constant", 0.99, 1.0),
        ("cosine", 0.0, 1.0),
        ("cosine", 1 / 3, 0.75),
        ("cosine", 0.5, 0.5),
        ("cosine", 1.0, 0.0),
        ("step", 0.0, 1.0),
        ("step", 99 / 300, 1.0),
        ("step", 100 / 300, 0.1),
        ("step", 199 / 300, 0.1),
        ("step", 200 / 300, 0.01),
        ("step", 299 / 300, 0.01),
    ],
)
def test_learning_rate_factor(schedule, progress, factor):
    """MAD's schedule: a tenth from epochs 100 and 200 of 300 on."""
    assert learning_rate_factor(schedule, (1 / 3, 2 / 3), progress) == pytest.approx(factor, abs=1e-15)


def test_an_unknown_schedule_is_an_error_that_lists_the_known_ones():
    """Told by the recipe, before there is a loop."""
    with pytest.raises(UserError, match="'linear'.*constant, cosine, step"):
        Recipe(schedule="linear")


def test_both_optimisers_follow_the_schedule(play, test_set):
    game, seen = play(stages=4, schedule="step", milestones=(0.5, 0.75), student_lr=0.1, generator_lr=0.01), []

    def look(stage, game):
        seen.append([o.param_groups[0]["lr"] for o in (game.student_optimizer, game.generator_optimizer)])

    train(game, test_set, observe=look)
    np.testing.assert_allclose(seen, [[0.1, 0.01], [0.1, 0.01], [0.01, 0.001], [0.001, 0.0001]])


# --- log -------------------------------------------------------------------------------------------------------------


def recorded(step):
    """The step, and a list of the sums of the terms that it has returned."""
    losses = []

    def recording(*args):
        terms = step(*args)
        losses.append(sum(term.item() for term in terms.values()))
        return terms

    return recording, losses


def test_history(play, test_set):
    """A row every third stage, and one at the end; losses are means over the stages since the row before.

    A loss is the sum of its terms; here the generator's has four.
    """
    game = play(generator_steps=2, conditional=True, lambda_logit=1.0, logit_bound=0.1)
    game.generator_step, generator_losses = recorded(game.generator_step)
    game.student_step, student_losses = recorded(game.student_step)
    history = train(game, test_set)

    assert history.stage == [3, 6, 7]
    assert history.samples == [3 * 2 * 16, 6 * 2 * 16, 7 * 2 * 16]
    for made, losses in ((history.generator_loss, generator_losses), (history.student_loss, student_losses)):
        stages = np.reshape(losses, (7, 2)).mean(1)
        assert made == pytest.approx([stages[:3].mean(), stages[3:6].mean(), stages[6]], rel=1e-4)
    last = evaluation.evaluate(game.student, test_set)
    assert (history.accuracy[-1], history.agreement[-1], history.kl[-1]) == (last.accuracy, last.agreement, last.kl)
    assert 0 < history.seconds[0] < history.seconds[1] < history.seconds[2]
    assert history.throughput == history.samples[-1] / history.seconds[-1]
    assert history.resumed == []
    assert {len(row) for name, row in history.asdict().items() if name != "resumed"} == {3}


def test_seconds_are_those_of_training(play, test_set, monkeypatch):
    """Of a clock that only the steps, the observer and the evaluation move: an hour for each of the last two."""
    game, clock = play(generator_steps=2), [0.0]

    def lasting(seconds, function):
        def slow(*args):
            clock[0] += seconds
            return function(*args)

        return slow

    monkeypatch.setattr(training, "time", SimpleNamespace(perf_counter=lambda: clock[0]))
    monkeypatch.setattr(evaluation, "evaluate", lasting(3600, evaluation.evaluate))
    game.generator_step, game.student_step = lasting(1, game.generator_step), lasting(10, game.student_step)
    stage = 2 * 1 + 2 * 10
    history = train(game, test_set, observe=lasting(3600, lambda stage, game: None))
    assert history.seconds == [3 * stage, 6 * stage, 7 * stage]


def test_lines_for_notebooks(play, test_set, capsys):
    train(play(), test_set, title="mad, seed 0", report=6)
    [line] = capsys.readouterr().out.splitlines()
    assert line.startswith("mad, seed 0: stage 6 of 7, accuracy ")


def test_nothing_is_printed_unasked(play, test_set, capsys):
    train(play(), test_set)
    assert capsys.readouterr() == ("", "")


# --- the same again --------------------------------------------------------------------------------------------------


def run(game, test_set, observe=None):
    """All that a run leaves, but its time."""
    history = train(game, test_set, observe=observe).asdict()
    del history["seconds"]
    return history, {name: network.state_dict() for name, network in networks(game).items()}


@pytest.mark.parametrize("method", METHODS)
def test_the_same_seed_gives_the_same_run(play, test_set, method):
    first = run(play(method), test_set)
    assert same(first, run(play(method), test_set))
    assert not same(first, run(play(method, seed=1), test_set))


@pytest.mark.parametrize("statistics", ["batch", "averaged", "reestimated"])
def test_a_probe_leaves_the_run_as_it_is(play, test_set, statistics):
    """To the bit, with everything measured that it can measure."""
    changes = {"stages": max(LAGS) + 2, "ema_statistics": statistics, "conditional": True}
    probe = Probe(images=4, coordinates=10, js_every=1)
    watched = run(play(**changes), test_set, observe=probe)
    assert len(probe.js["G"][1]) == 2
    assert same(run(play(**changes), test_set), watched)


# --- what a probe measures -------------------------------------------------------------------------------------------


def test_increments_are_differences_of_weights(play, test_set):
    game, seen = play(), []
    probe = Probe(images=4, coordinates=50)

    def look(stage, game):
        probe(stage, game)
        seen.append(weights(game.generator)[probe.index].double())

    train(game, test_set, observe=look)
    assert probe.increments.shape == (6, 50)
    np.testing.assert_array_equal(probe.increments, torch.stack(seen).diff(dim=0))
    assert (probe.increments != 0).any()


def test_samples_are_those_of_the_same_noise(play, test_set):
    game, probe = play("mad", momentum=1.0), Probe(images=4, coordinates=5)
    train(game, test_set, observe=probe)
    assert probe.sample_increments().shape == (6, 4 * 32 * 32)
    last = game.generate(game.generator, probe.z, probe.y).detach().flatten()
    torch.testing.assert_close(probe.samples["G"][-1].flatten(), last)
    moved = probe.sample_increments()
    np.testing.assert_allclose(moved.sum(0), last - probe.samples["G"][0].flatten(), atol=1e-5)
    assert np.abs(moved).max() > 0
    assert np.abs(probe.sample_increments("EMA(G)")).max() == 0  # momentum 1: it never moves


def test_a_method_without_average_has_one_source(play, test_set):
    probe = Probe(images=4, coordinates=5)
    train(play("dfad"), test_set, observe=probe)
    assert len(probe.samples["G"]) == 7 and probe.samples["EMA(G)"] == []


def test_a_probe_keeps_the_first_stages_of_a_long_run(play, test_set):
    probe, whole = (Probe(images=4, coordinates=5, js_every=1, stages=stages) for stages in (3, 400))
    for each in (probe, whole):
        train(play(), test_set, observe=each)
    assert len(whole.weights) == 7
    np.testing.assert_array_equal(probe.weights, whole.weights[:3])
    for name in ("G", "EMA(G)"):
        assert torch.equal(torch.stack(probe.samples[name]), torch.stack(whole.samples[name][:3]))
        assert len(probe.classes[name]) == 3
    assert len(probe.versions) == 3
    assert Probe().stages == 400


def test_flips():
    probe = Probe()
    probe.classes["G"] = [torch.tensor(c) for c in ([0, 1, 2, 3], [0, 1, 2, 0], [3, 2, 1, 0], [3, 2, 1, 0])]
    assert probe.flips().tolist() == [0.25, 0.75, 0.0]


def test_divergences_are_those_of_earlier_generators(play, test_set):
    """Under the student of today, at the noise of every measurement; ages in stages."""
    game, probe = play(stages=max(LAGS) + 1, student_steps=1), Probe(images=4, coordinates=5, js_every=1)
    past = []

    def look(stage, game):
        probe(stage, game)
        past.append(copy.deepcopy((game.generator, game.ema.network, game.student)))

    train(game, test_set, observe=look)
    z = torch.randn(8, 6, generator=torch.Generator().manual_seed(1))
    student = past[-1][2].eval()
    for source, name in enumerate(("G", "EMA(G)")):
        expected = {}
        for lag in LAGS:
            x = past[-1 - lag][source](z)
            expected[lag] = [pytest.approx(mad.js(game.teacher(x), student(x)).item(), rel=1e-4)]
        assert probe.js[name] == expected
        assert len({values[0] for values in probe.js[name].values()}) == len(LAGS)


def test_summary(play, test_set):
    probe = Probe(images=4, coordinates=30)
    train(play(stages=30), test_set, observe=probe)
    made = probe.summary(0.9)
    assert len(made["autocorrelation"]) == len(made["sample_autocorrelation"]) == 21
    assert made["autocorrelation"][0] == 1
    assert sum(made["power"]) == pytest.approx(1)
    assert len(made["frequency"]) == len(made["power"])
    assert 0 < made["filtered_ratio"] < 1
    assert made["sample_step"] > 0 and 0 <= made["flips"] <= 1


@pytest.mark.parametrize("stages", [2, 20])
def test_summary_of_a_short_run(play, test_set, stages):
    """Fewer increments than lags: what there is."""
    probe = Probe(images=4, coordinates=5)
    train(play(stages=stages), test_set, observe=probe)
    assert np.isfinite([v for row in probe.summary(0.9).values() for v in np.atleast_1d(row)]).all()


# --- what it is all for ----------------------------------------------------------------------------------------------


def test_mad_teaches_a_student_without_data(digits, teacher):
    """To 86 % of digits in 200 steps; as many steps on pure noise, labelled by the same teacher, reach 20 %."""
    test = evaluation.TestSet.of(digits, teacher.network, "cpu")
    recipe = Recipe(stages=40, stages_per_epoch=40, batch=32, student_batch=32)
    taught, control = (METHODS["mad"](teacher.network, recipe, 10, 1, seed=0) for _ in range(2))
    control.generator_step = dict
    control.student_images = lambda: [torch.randn(32, 1, 32, 32, generator=control.random) for _ in range(2)]
    accuracy, by_noise = (train(game, test).accuracy[-1] for game in (taught, control))
    assert accuracy >= 75
    assert accuracy - by_noise >= 30
