"""MAD's averaged generator: its weights are the theory's, and its three kinds of BatchNorm statistics."""

import numpy as np
import pytest
import torch
from method_checks import play, stage, weights
from torch import nn

from dfkd_lib import theory
from dfkd_lib.methods import EMA


def test_the_average_starts_at_the_generator():
    game = play("mad")
    assert torch.equal(weights(game.ema.network), weights(game.generator))
    assert not any(p.requires_grad for p in game.ema.network.parameters())


@pytest.mark.parametrize("conditional", [False, True])
def test_the_average_is_the_theorys(conditional):
    """Once per stage, however many steps the generator takes in it."""
    game = play("mad", momentum=0.7, generator_steps=2, student_steps=1, conditional=conditional)
    theta = [weights(game.generator).double().numpy()]
    for _ in range(5):
        stage(game)
        theta.append(weights(game.generator).double().numpy())
    expected = theory.ema(np.array(theta), 0.7)[-1]
    np.testing.assert_allclose(weights(game.ema.network).numpy(), expected, atol=1e-6)
    assert np.abs(expected - theta[-1]).max() > 1e-4


def test_momentum_0_is_the_generator_and_momentum_1_never_moves():
    follows, stays = play("mad", momentum=0.0), play("mad", momentum=1.0)
    start = weights(stays.generator)
    for game in (follows, stays):
        stage(game)
        stage(game)
    assert torch.equal(weights(follows.ema.network), weights(follows.generator))
    assert torch.equal(weights(stays.ema.network), start)


def buffers(network: nn.Module) -> list[torch.Tensor]:
    return [b.clone() for b in network.buffers() if b.is_floating_point()]


def test_statistics_of_the_batch():
    """The average normalises with its batch's own moments, so its running statistics make no difference."""
    game = play("mad", ema_statistics="batch")
    noise = game.noise(16)
    x = game.generate(game.ema.network, *noise)
    for buffer in game.ema.network.buffers():
        buffer.fill_(7)
    assert torch.equal(x, game.generate(game.ema.network, *noise))
    torch.testing.assert_close(x.mean(), torch.tensor(0.0), atol=1e-5, rtol=0)


def test_averaged_statistics():
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


@pytest.mark.parametrize("conditional", [False, True])
def test_reestimated_statistics(conditional):
    """Those of the averaged network itself, on the noise that the stage's end draws."""
    # Not on squares, where a layer's input has other channels than its moments.
    game = play("mad", ema_statistics="reestimated", batch=32, conditional=conditional, fast_layers=False)
    game.generator_step()
    random = game.random.get_state()
    game.end_generator_stage()
    after = game.random.get_state()
    game.random.set_state(random)
    z, y = game.noise(32)
    game.random.set_state(after)

    seen: dict[nn.Module, torch.Tensor] = {}
    layers = [m for m in game.ema.network.modules() if isinstance(m, nn.BatchNorm2d)]
    for layer in layers:
        layer.register_forward_pre_hook(lambda layer, inputs: seen.update({layer: inputs[0]}))
    stored = [(layer.running_mean.clone(), layer.running_var.clone()) for layer in layers]
    game.ema.network.train()(*((z, y) if conditional else (z,)))
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
def test_with_running_statistics_an_image_does_not_depend_on_its_batch(statistics):
    game = play("mad", ema_statistics=statistics)
    stage(game)
    z, y = game.noise(8)
    together = game.generate(game.ema.network, z, y)
    alone = torch.cat([game.generate(game.ema.network, z[i : i + 1], y[i : i + 1]) for i in range(8)])
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=1e-3)
