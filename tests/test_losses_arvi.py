"""AR+VI's losses against plain NumPy, and their gradients against finite differences."""

import numpy as np
import pytest
import torch
from hypothesis import given
from loss_checks import (
    arrays,
    check_gradient,
    cross_entropy,
    few,
    finite,
    huge,
    kl_of_probabilities,
    logits,
    probabilities,
    tensors,
)

from dfkd_lib.losses import arvi, dfad, mad


def lambdas(x: np.ndarray) -> np.ndarray:
    """A λ in (0, 1) for each image."""
    return np.random.default_rng(len(x)).uniform(size=len(x))


# --- activation regularisers (Eq. 2 and 3) ---------------------------------------------------------------------------


@given(logits(least_classes=1))
def test_logit_activation(pair):
    t, _ = pair
    for shift in (0, 3):  # which probabilities do not see
        value = arvi.logit_activation(*tensors(t + shift)).item()
        assert value == pytest.approx(cross_entropy(t, t.argmax(1)), abs=1e-12)


@given(arrays("b c h w"))
def test_feature_activation(features):
    """A sum over a feature's elements, a mean over images: twice the images change nothing, twice the width doubles."""
    (f,) = features
    expected = -np.mean([np.abs(image).sum() for image in f])
    assert arvi.feature_activation(*tensors(f)).item() == pytest.approx(expected)
    assert arvi.feature_activation(*tensors(np.concatenate([f, f]))).item() == pytest.approx(expected)
    assert arvi.feature_activation(*tensors(np.concatenate([f, f], 1))).item() == pytest.approx(2 * expected)


@few
@given(arrays("b c", "b w", c=2))
def test_gradients_of_activations(pair):
    t, f = pair
    check_gradient(arvi.logit_activation, 0.1 * t)  # not so sure that the gradient is lost in rounding
    check_gradient(arvi.feature_activation, f)


def test_logit_activation_does_not_push_a_sure_teacher():
    t = torch.tensor([[9.0, 0.0, 0.0], [90.0, 0.0, 0.0]], requires_grad=True)
    unsure, sure = torch.autograd.grad(arvi.logit_activation(t), t)[0]
    assert unsure.abs().max() > 1e-5
    assert sure.abs().max() < 1e-30
    assert finite(arvi.logit_activation, huge()[0])


# --- mixtures and chords (Eq. 4 and 6) -------------------------------------------------------------------------------

both = pytest.mark.parametrize("mix", [arvi.mixup, arvi.chord])


@both
@given(pair=arrays("b c h w", "b c h w"))
def test_mixtures(mix, pair):
    """Of images, and of logits."""
    for x, z in (pair, [p[:, :, 0, 0] for p in pair]):
        lam = lambdas(x)
        expected = np.stack([w * a + (1 - w) * b for w, a, b in zip(lam, x, z, strict=True)])
        np.testing.assert_allclose(mix(*tensors(x, z, lam)), expected, atol=1e-13)


@both
def test_the_ends_are_the_images_themselves(mix):
    generator = torch.Generator().manual_seed(0)
    x, z = torch.randn(2, 3, 1, 4, 4, generator=generator)
    made = mix(x, z, torch.tensor([0.0, 1.0, 0.5]))
    assert torch.equal(made[0], z[0])
    assert torch.equal(made[1], x[1])


@few
@given(arrays("b c", "b c"))
def test_gradients_of_mixtures(pair):
    x, z = pair
    check_gradient(lambda x, z, lam: arvi.mixup(x, z, lam).square().sum(), x, z, lambdas(x))


# --- the losses on mixtures (Eq. 7 to 9) -----------------------------------------------------------------------------


@pytest.mark.parametrize("loss", [arvi.linearity_gap, arvi.interpolation])
@given(outputs=arrays("b c", "b c", "b c", c=2))
def test_losses_on_mixtures(loss, outputs):
    """The chord is the target, so the first argument of an asymmetric discrepancy."""
    x, z, mixture = outputs
    lam = lambdas(x)
    chord = lam[:, None] * x + (1 - lam[:, None]) * z
    by_mae = loss(*tensors(x, z, mixture, lam), dfad.mae).item()
    assert by_mae == pytest.approx(np.abs(chord - mixture).mean())
    by_kl = loss(*tensors(x, z, mixture, lam), mad.kl).item()
    assert by_kl == pytest.approx(kl_of_probabilities(probabilities(chord), probabilities(mixture)), abs=1e-12)


@pytest.mark.parametrize("loss", [arvi.linearity_gap, arvi.interpolation])
@few
@given(outputs=arrays("b c", "b c", "b c"))
def test_gradients_of_losses_on_mixtures(loss, outputs):
    check_gradient(lambda *args: loss(*args, dfad.mse), *outputs, lambdas(outputs[0]))


@given(arrays("b d", "b d", "d c", "c"))
def test_an_affine_network_has_no_gap(parts):
    x, z, weight, bias = tensors(*parts)
    (lam,) = tensors(lambdas(x))
    outputs = [p @ weight + bias for p in (x, z, arvi.mixup(x, z, lam))]
    assert arvi.linearity_gap(*outputs, lam, dfad.mae).item() == pytest.approx(0, abs=1e-10)


@given(arrays("b d", "b d"))
def test_the_gap_of_a_quadratic(pair):
    """λ(1 − λ)‖x − z‖², for f(x) = ‖x‖²: a curvature penalty."""
    x, z = tensors(*pair)
    (lam,) = tensors(lambdas(x))
    outputs = [p.square().sum(1, keepdim=True) for p in (x, z, arvi.mixup(x, z, lam))]
    expected = (lam * (1 - lam) * (x - z).square().sum(1)).mean().item()
    assert arvi.linearity_gap(*outputs, lam, dfad.mae).item() == pytest.approx(expected)
