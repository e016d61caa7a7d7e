"""The three methods: who moves when, what the losses are made of, and what the averaged generator is."""

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from dfkd_lib import theory
from dfkd_lib.losses import dfad, mad
from dfkd_lib.methods import EMA, METHODS
from dfkd_lib.models import build
from dfkd_lib.recipes import Recipe

TINY = Recipe(generator_width=2, z_dim=6, batch=8, student_batch=8, student_steps=4)
COLOUR = TINY.replace(student="wrn16_2", generator="mad_cifar")


@pytest.fixture
def play(teacher):
    """Make a game: `play("mad", momentum=0.5)`, with the shipped teacher unless another is given."""

    def make(method, *, seed=0, network=None, recipe=TINY, precision="float32", **changes):
        network = network or teacher.network
        channels = next(network.parameters()).shape[1]
        recipe = recipe.replace(**changes)
        return METHODS[method](network, recipe, 10, channels, seed=seed, precision=precision)

    return make


@pytest.fixture
def batchnorm_teacher():
    torch.manual_seed(0)
    return build("wrn16_2", 10).eval()


def weights(network: nn.Module) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in network.parameters()])


def stage(game) -> None:
    for _ in range(game.recipe.generator_steps):
        game.generator_step()
    game.end_generator_stage()
    for step in range(game.recipe.student_steps):
        game.student_step(step)


# --- who moves when --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_each_step_moves_its_own_network(play, method):
    game = play(method)
    networks = {"teacher": game.teacher, "student": game.student, "generator": game.generator}

    def moved(step) -> set[str]:
        before = {name: weights(network) for name, network in networks.items()}
        assert step().requires_grad is False
        return {name for name, network in networks.items() if not torch.equal(weights(network), before[name])}

    assert moved(game.generator_step) == {"generator"}
    assert moved(game.student_step) == {"student"}
    assert moved(game.generator_step) == {"generator"}  # also after gradients have reached the student


@pytest.mark.parametrize("method", METHODS)
def test_the_teacher_stays_as_it_was(play, method, batchnorm_teacher):
    """Its BatchNorm statistics too; and the caller's network is neither changed nor put into another mode."""
    before = {name: value.clone() for name, value in batchnorm_teacher.state_dict().items()}
    batchnorm_teacher.train()
    game = play(method, network=batchnorm_teacher, recipe=COLOUR, student_steps=1)
    stage(game)
    for network in (game.teacher, batchnorm_teacher):
        assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert batchnorm_teacher.training and not game.teacher.training
    assert all(p.requires_grad for p in batchnorm_teacher.parameters())


@pytest.mark.parametrize("method", METHODS)
def test_the_generator_widens_the_gap_and_the_student_closes_it(play, method):
    """Measured at fixed noise, with the other player standing still."""
    game = play(method, batch=64, student_batch=64, generator_lr=1e-2)
    z, y = game.noise(256)
    loss = dfad.mae if method == "dfad" else mad.kl

    @torch.no_grad()
    def gap() -> float:
        x = game.generate(game.generator, z, y)
        return loss(game.teacher(x), game.student(x)).item()

    start = gap()
    for _ in range(10):
        game.generator_step()
    wide = gap()
    assert wide > 1.05 * start
    for _ in range(60):
        game.student_step()
    assert gap() < 0.95 * wide


def test_images_to_learn_from_carry_no_graph(play):
    game = play("mad")
    assert not any(x.requires_grad for x in game.student_images())


def test_reduced_precision_is_the_generators_alone(play):
    exact, fast = play("mad"), play("mad", precision="bfloat16")
    noise = exact.noise(16)
    x, rounded = (game.generate(game.generator, *noise) for game in (exact, fast))
    assert rounded.dtype == torch.float32
    assert 0 < (x - rounded).abs().mean() < 0.05
    assert {p.dtype for p in (*fast.generator.parameters(), *fast.student.parameters())} == {torch.float32}


# --- seeds -----------------------------------------------------------------------------------------------------------


def played(game) -> torch.Tensor:
    for _ in range(3):
        stage(game)
    return torch.cat([weights(game.student), weights(game.generator)])


@pytest.mark.parametrize("method", METHODS)
def test_a_seed_decides_everything(play, method):
    first = played(play(method, seed=1))
    torch.manual_seed(123)  # nobody's business
    assert torch.equal(first, played(play(method, seed=1)))
    assert not torch.equal(first, played(play(method, seed=2)))


def test_weights_and_noise_both_follow_the_seed(play):
    one, other = play("mad", seed=1), play("mad", seed=2)
    assert not torch.equal(weights(one.student), weights(other.student))
    assert not torch.equal(weights(one.generator), weights(other.generator))
    assert not torch.equal(one.noise(8)[0], other.noise(8)[0])


def test_a_game_leaves_the_global_random_state_alone(play):
    before = torch.get_rng_state()
    stage(play("mad", conditional=True))
    assert torch.equal(torch.get_rng_state(), before)


def test_methods_start_from_the_same_networks(play):
    games = [play(method) for method in METHODS]
    assert all(torch.equal(weights(game.student), weights(games[0].student)) for game in games)
    assert all(torch.equal(weights(game.generator), weights(games[0].generator)) for game in games)


# --- losses ----------------------------------------------------------------------------------------------------------


def test_without_its_second_source_mad_is_abm(play):
    abm, alone = play("abm"), play("mad", lambda1=0.0)
    x, x_ema = alone.student_images()
    assert torch.equal(alone.student_loss([x, x_ema]), abm.student_loss([x]))
    assert not torch.equal(play("mad").student_loss([x, x_ema]), abm.student_loss([x]))


def test_mads_student_loss_weighs_both_sources(play):
    game = play("mad", lambda0=0.3, lambda1=2.0)
    x, x_ema = (torch.randn(8, 1, 32, 32, generator=torch.Generator().manual_seed(i)) for i in range(2))
    kl = [mad.kl(game.teacher(part), game.student(part)).item() for part in (x, x_ema)]
    assert game.student_loss([x, x_ema]).item() == pytest.approx(0.3 * kl[0] + 2 * kl[1], rel=1e-5)


def test_the_conditional_generators_loss(play):
    """MAD Eq. 6: −KL + λ·NLL + λ·norm, all on the same noise and classes; here with one embedding out of bounds."""
    game = play("mad", conditional=True, lambda_nll=0.7, lambda_norm=3.0, norm_scale=1.1)
    with torch.no_grad():
        game.generator.embedding.weight.mul_(0.1)
        game.generator.embedding.weight[4] = 5.0
    z, y = game.noise(8)
    y[0] = 4
    game.noise = lambda n: (z, y)
    loss = game.generator_loss()

    with torch.no_grad():
        x = game.generator(z, y)
        t, s = game.teacher(x), game.student(x)
        norms = game.generator.embedding.weight[y].square().sum(1).sqrt()
        excess = (norms - 1.1 * math.sqrt(6)).clamp(min=0).mean()
        expected = -mad.kl(t, s) + 0.7 * F.nll_loss(t.log_softmax(1), y) + 3 * excess
    assert excess > 0.1
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)


def test_the_generator_matches_the_moments_of_a_teacher_with_batchnorm(play, batchnorm_teacher):
    def loss(lambda_bn: float) -> float:
        return play("abm", network=batchnorm_teacher, recipe=COLOUR, lambda_bn=lambda_bn).generator_loss().item()

    game = play("abm", network=batchnorm_teacher, recipe=COLOUR)
    moments = mad.bn_moments(game.teacher, game.draw(game.generator, 8))[1].item()
    assert moments > 0
    assert loss(2.0) - loss(0.0) == pytest.approx(2 * moments, rel=1e-3)


def test_dfads_generator_minimises_the_negative_error_and_nothing_else(play):
    game, twin = play("dfad"), play("dfad")
    x = twin.draw(twin.generator, 8)
    assert game.generator_loss().item() == pytest.approx(-dfad.mae(twin.teacher(x), twin.student(x)).item(), rel=1e-5)


# Another legal value for every setting that some method leaves unread, but for `conditional`: a network of its own.
OTHERWISE = {
    "momentum": 0.1,
    "lambda0": 3.0,
    "lambda1": 5.0,
    "ema_statistics": "reestimated",
    "lambda_nll": 7.0,
    "lambda_norm": 9.0,
    "norm_scale": 0.01,
    "lambda_bn": 11.0,
}


@pytest.mark.parametrize("name", OTHERWISE)
@pytest.mark.parametrize("method", METHODS)
def test_unused_settings_are_those_that_make_no_difference(play, batchnorm_teacher, method, name):
    """To the bit; in a game that has all there is to weigh: classes where the method knows them, and BatchNorm."""
    assert set(METHODS[method].unused) <= {*OTHERWISE, "conditional"}
    setup = {"network": batchnorm_teacher, "recipe": COLOUR} if name == "lambda_bn" else {}
    setup |= {"student_steps": 1, "conditional": "conditional" not in METHODS[method].unused}
    usual, other = play(method, **setup), play(method, **setup, **{name: OTHERWISE[name]})
    first, second = played(usual), played(other)
    assert torch.equal(first, second) == (name in METHODS[method].unused)


# --- the averaged generator ------------------------------------------------------------------------------------------


def test_the_average_starts_at_the_generator(play):
    game = play("mad")
    assert torch.equal(weights(game.ema.network), weights(game.generator))
    assert not any(p.requires_grad for p in game.ema.network.parameters())


@pytest.mark.parametrize("conditional", [False, True])
def test_the_average_is_the_theorys(play, conditional):
    """Once per stage, however many steps the generator takes in it."""
    game = play("mad", momentum=0.7, generator_steps=2, student_steps=1, conditional=conditional)
    theta = [weights(game.generator).double().numpy()]
    for _ in range(5):
        stage(game)
        theta.append(weights(game.generator).double().numpy())
    expected = theory.ema(np.array(theta), 0.7)[-1]
    np.testing.assert_allclose(weights(game.ema.network).numpy(), expected, atol=1e-6)
    assert np.abs(expected - theta[-1]).max() > 1e-4


def test_momentum_0_is_the_generator_and_momentum_1_never_moves(play):
    follows, stays = play("mad", momentum=0.0), play("mad", momentum=1.0)
    start = weights(stays.generator)
    for game in (follows, stays):
        stage(game)
        stage(game)
    assert torch.equal(weights(follows.ema.network), weights(follows.generator))
    assert torch.equal(weights(stays.ema.network), start)


def buffers(network: nn.Module) -> list[torch.Tensor]:
    return [b.clone() for b in network.buffers() if b.is_floating_point()]


def test_statistics_of_the_batch(play):
    """The average normalises with its batch's own moments, so its running statistics make no difference."""
    game = play("mad", ema_statistics="batch")
    noise = game.noise(16)
    x = game.generate(game.ema.network, *noise)
    for buffer in game.ema.network.buffers():
        buffer.fill_(7)
    assert torch.equal(x, game.generate(game.ema.network, *noise))
    torch.testing.assert_close(x.mean(), torch.tensor(0.0), atol=1e-5, rtol=0)


def test_averaged_statistics(play):
    """Averaged like weights: from those of the start, once per stage."""
    game = play("mad", ema_statistics="averaged", momentum=0.6, student_steps=1)
    past = [buffers(game.generator)]
    for _ in range(4):
        game.generator_step()
        past.append(buffers(game.generator))
        game.end_generator_stage()
        game.student_step()
    assert not game.ema.network.training
    for layer, ours in enumerate(buffers(game.ema.network)):
        expected = theory.ema(np.array([b[layer].double().numpy() for b in past]), 0.6)[-1]
        np.testing.assert_allclose(ours.numpy(), expected, rtol=1e-5, atol=1e-6)


def test_reestimated_statistics(play):
    """Those of the averaged network itself, on the noise that the stage's end draws."""
    game = play("mad", ema_statistics="reestimated", batch=32)
    game.generator_step()
    random = game.random.get_state()
    game.end_generator_stage()
    after = game.random.get_state()
    game.random.set_state(random)
    z, _ = game.noise(32)
    game.random.set_state(after)

    seen: dict[nn.Module, torch.Tensor] = {}
    layers = [m for m in game.ema.network.modules() if isinstance(m, nn.BatchNorm2d)]
    for layer in layers:
        layer.register_forward_pre_hook(lambda layer, inputs: seen.update({layer: inputs[0]}))
    stored = [(layer.running_mean.clone(), layer.running_var.clone()) for layer in layers]
    game.ema.network.train()(z)
    for layer, (mean, var) in zip(layers, stored, strict=True):
        torch.testing.assert_close(mean, seen[layer].mean((0, 2, 3)), atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(var, seen[layer].var((0, 2, 3)), atol=1e-5, rtol=1e-4)


def test_reestimating_weighs_batches_equally_and_forgets_what_was():
    ema = EMA(nn.BatchNorm1d(3, momentum=0.3), 0.9, "reestimated")
    batches = [torch.randn(5, 3, generator=torch.Generator().manual_seed(i)) for i in range(4)]
    for part in (batches[:1], batches[1:]):  # the second measurement knows nothing of the first
        ema.reestimate(*[(x,) for x in part])
        torch.testing.assert_close(ema.network.running_mean, torch.stack([x.mean(0) for x in part]).mean(0))
        torch.testing.assert_close(ema.network.running_var, torch.stack([x.var(0) for x in part]).mean(0))
    assert not ema.network.training
    assert ema.network.momentum == 0.3


@pytest.mark.parametrize("statistics", ["averaged", "reestimated"])
def test_with_running_statistics_an_image_does_not_depend_on_its_batch(play, statistics):
    game = play("mad", ema_statistics=statistics)
    stage(game)
    z, y = game.noise(8)
    together = game.generate(game.ema.network, z, y)
    alone = torch.cat([game.generate(game.ema.network, z[i : i + 1], y[i : i + 1]) for i in range(8)])
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=1e-3)


# --- the buffer ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "sources"), [("dfad", 1), ("abm", 1), ("mad", 2)])
@pytest.mark.parametrize(("reuse", "fresh"), [(1, 4), (2, 2), (4, 1)])
def test_reuse_draws_fewer_images_and_trains_on_as_many(play, method, sources, reuse, fresh):
    game = play(method, reuse=reuse)
    drawn, draw = [], game.draw
    game.draw = lambda generator, n: drawn.append(draw(generator, n)) or drawn[-1]
    for stages in (1, 2):
        stage(game)
        assert len(drawn) == stages * fresh * sources
        assert game.samples == stages * 4 * 8 * sources


def test_reuse_shows_each_batch_equally_often(play):
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
