"""What holds for all methods: who moves when, what a seed decides, and that a state is the whole state."""

import io

import pytest
import torch
from method_checks import (
    ADVERSARIAL,
    GAMES,
    SHOWN,
    colour,
    content,
    generator_stage,
    lenet,
    networks,
    play,
    played,
    real_images,
    stage,
    weights,
    with_batchnorm,
)

from dfkd_lib.losses import dfad, mad
from dfkd_lib.methods import METHODS

# --- who moves when --------------------------------------------------------------------------------------------------

AT_A_STAGES_END = {"mad": {"ema"}, "dfkd_mem": {"memory"}, **dict.fromkeys(("degan", "hidfd"), {"counters"})}
WITH_THE_STUDENT = {"fitnet": {"student", "helpers"}, "ft": {"student", "helpers"}}


@pytest.mark.parametrize("method", METHODS)
def test_each_step_moves_its_own_network(method):
    """Also when gradients have reached the other one. Losses are numbers, without a graph."""
    game = play(method)
    game.prepare()

    def known() -> dict[str, torch.Tensor]:
        """Of networks the weights alone: whenever a generator draws images, its BatchNorm statistics follow."""
        return {
            name: weights(n) if any(True for _ in n.parameters()) else content(n) for name, n in networks(game).items()
        }

    def moved(step) -> set[str]:
        before = known()
        terms = step() or {}
        assert not any(term.requires_grad for term in terms.values())
        return {name for name, value in known().items() if not torch.equal(value, before[name])}

    makes_images = {"generator"} if method in GAMES else {"memory"} if method == "deepinversion" else set()
    for _ in range(2):
        assert moved(game.generator_step) == makes_images
        assert moved(game.end_generator_stage) == AT_A_STAGES_END.get(method, set())
        assert moved(game.student_step) == WITH_THE_STUDENT.get(method, {"student"})


@pytest.mark.parametrize("method", METHODS)
def test_the_teacher_stays_as_it_was(method):
    """Its BatchNorm statistics too; and the caller's network is neither changed nor put into another mode."""
    theirs = with_batchnorm()
    before = content(theirs)
    theirs.train().requires_grad_(True)
    try:
        game = played(play(method, **colour(), student_steps=1), stages=1)
        assert torch.equal(content(game.teacher), before) and torch.equal(content(theirs), before)
        assert theirs.training and not game.teacher.training
        assert all(p.requires_grad and p.grad is None for p in theirs.parameters())
        assert not any(p.requires_grad for p in game.teacher.parameters())
    finally:
        theirs.eval().requires_grad_(False)


@pytest.mark.parametrize("method", METHODS)
def test_the_student_trains_in_training_mode(method):
    """And in the generator's steps of a game its BatchNorm statistics move too, as in DFAD's code."""
    game = play(method, **colour(), student_steps=1)
    game.prepare()
    before = content(game.student)
    generator_stage(game)
    assert torch.equal(content(game.student), before) == (method not in ADVERSARIAL)
    game.student_step()
    assert game.student.training and all(p.requires_grad for p in game.student_parameters())


@pytest.mark.parametrize("method", METHODS)
def test_the_student_learns_what_it_is_shown(method):
    game = play(method)
    game.prepare()
    generator_stage(game)
    shown = game.student_images()
    assert not any(x.requires_grad for x in shown)
    game.student_images = lambda: shown
    losses = [sum(game.student_step().values()).item() for _ in range(40)]
    assert losses[-1] < 0.9 * losses[0]


@pytest.mark.parametrize("method", ADVERSARIAL)
def test_the_generator_widens_the_gap_and_the_student_closes_it(method):
    """Measured at fixed noise, with the other player standing still."""
    alone = {"lambda_l": 0.0, "lambda_m": 0.0}  # AR+VI's own terms aside
    game = play(method, batch=64, student_batch=64, generator_lr=1e-2, memory=64, **alone)
    z, y = game.noise(256)
    loss = dfad.mae if method in ("dfad", "arvi") else mad.kl

    @torch.no_grad()
    def gap() -> float:
        x = game.generate(game.generator, z, y)
        return loss(game.teacher(x), game.student(x)).item()

    start = gap()
    for _ in range(10):
        game.generator_step()
    game.end_generator_stage()
    wide = gap()
    assert wide > 1.05 * start
    for _ in range(60):
        game.student_step()
    assert gap() < 0.95 * wide


# --- seeds -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_a_seed_decides_everything(method):
    """All networks and all that is remembered; the global random state has no say, and is left alone."""
    first = played(play(method, seed=1))
    torch.manual_seed(123)
    before = torch.get_rng_state()
    again, other = played(play(method, seed=1)), played(play(method, seed=2))
    assert torch.equal(torch.get_rng_state(), before)
    for name, network in networks(first).items():
        assert torch.equal(content(network), content(networks(again)[name]))
        if name not in ("teacher", "counters"):
            assert not torch.equal(content(network), content(networks(other)[name]))


def test_methods_start_from_the_same_networks():
    games = {method: play(method) for method in METHODS}
    first = weights(games["mad"].student.features)  # HiDFD's student has another end
    assert all(torch.equal(weights(game.student.features)[: len(first)], first) for game in games.values())
    assert all(torch.equal(weights(games[name].generator), weights(games["mad"].generator)) for name in GAMES)
    other = play("mad", seed=1)
    assert not torch.equal(weights(other.student), weights(games["mad"].student))
    assert not torch.equal(weights(other.generator), weights(games["mad"].generator))
    assert not torch.equal(other.noise(8)[0], games["mad"].noise(8)[0])


# --- state -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_a_state_is_the_whole_state(method):
    """Saved without code, loaded by a method that knows nothing else: all goes on as if nothing had been."""
    game, file = played(play(method, seed=1)), io.BytesIO()
    torch.save(game.state(), file)
    file.seek(0)
    fresh = play(method, seed=2)
    fresh.load(torch.load(file, weights_only=True))
    assert fresh.samples == game.samples > 0
    for one in (game, fresh):
        stage(one)
    assert fresh.samples == game.samples
    for name, network in networks(game).items():
        assert torch.equal(content(network), content(networks(fresh)[name]))


@pytest.mark.parametrize("method", METHODS)
def test_the_student_is_a_student_and_nothing_else(method):
    """Whatever a method needs beside it is not in it."""
    game = played(play(method), stages=1)
    plain = METHODS["random"](lenet(), game.recipe, 10, 1, seed=0).student
    alone = game.result()
    assert list(alone.state_dict()) == list(plain.state_dict())
    x = torch.randn(4, *game.shape)
    assert torch.allclose(alone.eval()(x), game.student.eval()(x), atol=1e-5)
    assert [m for m in alone.modules() if m._forward_hooks or m._forward_pre_hooks] == []


# --- samples ---------------------------------------------------------------------------------------------------------

SOURCES = {name: 2 if name in ("mad", "dfkd_mem") else 1 for name in METHODS}


@pytest.mark.parametrize("method", METHODS)
def test_samples_are_the_images_that_the_student_saw(method):
    game = played(play(method, student_batch=5), stages=2)
    assert game.samples == 2 * 4 * 5 * SOURCES[method]


@pytest.mark.parametrize("method", GAMES)
@pytest.mark.parametrize(("reuse", "fresh"), [(1, 4), (2, 2), (4, 1)])
def test_reuse_draws_fewer_images_and_trains_on_as_many(method, reuse, fresh):
    game = play(method, reuse=reuse)
    drawn, draw = [], game.student_images
    game.student_images = lambda: drawn.append(draw()) or drawn[-1]
    for stages in (1, 2):
        stage(game)
        assert len(drawn) == stages * fresh
        assert game.samples == stages * 4 * 8 * SOURCES[method]


@pytest.mark.parametrize("method", ["dfad", "abm", "mad", "dafl"])
def test_reused_images_are_asked_about_once_and_learned_alike(method, monkeypatch):
    """The teacher is fixed: what it said is what it would say."""
    once, anew = play(method, reuse=2), play(method, reuse=2)
    monkeypatch.setattr(anew, "answers", anew.teacher)
    asked = {game: [] for game in (once, anew)}
    for game, calls in asked.items():
        generator_stage(game)
        handle = game.teacher.register_forward_hook(lambda *_, calls=calls: calls.append(1))
        for step in range(game.recipe.student_steps):
            game.student_step(step)
        handle.remove()
    assert 2 * len(asked[once]) == len(asked[anew]) > 0
    for one, other in zip(once.student.parameters(), anew.student.parameters(), strict=True):
        assert torch.equal(one, other)


def test_reuse_shows_each_batch_equally_often():
    game = play("mad", reuse=2)
    shown, loss = [], game.student_loss
    game.student_loss = lambda images: shown.append(images[0]) or loss(images)
    stage(game)
    assert [[torch.equal(a, b) for b in shown] for a in shown] == [
        [True, False, True, False],
        [False, True, False, True],
        [True, False, True, False],
        [False, True, False, True],
    ]


def test_reduced_precision_is_the_generators_alone():
    exact, fast = play("mad"), play("mad", precision="bfloat16")
    noise = exact.noise(16)
    x, rounded = (game.generate(game.generator, *noise) for game in (exact, fast))
    assert rounded.dtype == torch.float32
    assert 0 < (x - rounded).abs().mean() < 0.05
    assert {p.dtype for p in (*fast.generator.parameters(), *fast.student.parameters())} == {torch.float32}


@pytest.mark.parametrize("method", SHOWN)
def test_methods_with_data_say_which(method):
    kinds = {"kd_rel": "related", "kd_unr": "unrelated"}
    kinds |= dict.fromkeys(("kd_collected", "hidfd", "degan"), "collected")
    assert METHODS[method].needs == kinds.get(method, "original")
    assert len(real_images(1)) == 40 and len(real_images(1, share=0.1)) == 4
