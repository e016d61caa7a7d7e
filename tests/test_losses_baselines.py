"""The baselines' losses against plain NumPy, and their gradients against finite differences."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from loss_checks import (
    arrays,
    check_gradient,
    cross_entropy,
    few,
    finite,
    hooks,
    huge,
    kl_of_probabilities,
    labels,
    logits,
    norms,
    probabilities,
    tensors,
)
from torch import nn

from dfkd_lib.losses import baselines, mad, vectors
from dfkd_lib.models import LeNet5

# --- DAFL ------------------------------------------------------------------------------------------------------------


@given(logits(least_classes=1))
def test_one_hot(pair):
    t, _ = pair
    expected = np.mean([-np.log(p.max()) for p in probabilities(t)])
    assert baselines.one_hot(*tensors(t)).item() == pytest.approx(expected, abs=1e-12)


@given(arrays("b c h w", "b w"))
def test_activation(features):
    for f in features:
        expected = np.mean([-np.abs(image).sum() for image in f])
        assert baselines.activation(*tensors(f)).item() == pytest.approx(expected)


@given(logits(least_classes=1))
def test_information_entropy(pair):
    t, _ = pair
    p = probabilities(t).mean(0)
    np.testing.assert_allclose(baselines.log_class_share(*tensors(t)), np.log(p), rtol=1e-6, atol=1e-12)
    made = baselines.information_entropy(*tensors(t)).item()
    assert made == pytest.approx((p * np.log(p)).sum(), rel=1e-6, abs=1e-12)
    assert made >= -math.log(len(p)) - 1e-12


@few
@given(arrays("b c", "b w", c=2))
def test_gradients_of_dafl(pair):
    t, f = pair
    check_gradient(baselines.one_hot, t / 10)
    check_gradient(baselines.activation, f)
    check_gradient(baselines.information_entropy, t / 10)


def test_dafl_of_sure_teachers():
    """Finite where a class has probability 0; the entropy counts the classes that are left."""
    sure, _ = huge(3, 5)
    assert finite(baselines.one_hot, sure)
    assert finite(baselines.information_entropy, sure)
    assert baselines.information_entropy(sure).item() == pytest.approx(-math.log(3))


# --- DeepInversion ---------------------------------------------------------------------------------------------------

SHIFTS = ((0, 1), (1, 0), (1, 1), (1, -1))


@given(arrays("b c h w"))
def test_total_variation(images):
    """Pair by pair: each pixel and its neighbour to the right, below, and below on either side."""
    (x,) = images
    height, width = x.shape[2:]
    expected = 0.0
    for down, right in SHIFTS:
        pairs = [(i, j) for i in range(height) for j in range(width) if i + down < height and 0 <= j + right < width]
        expected += np.sqrt(sum(((x[:, :, i + down, j + right] - x[:, :, i, j]) ** 2).sum() for i, j in pairs))
    assert baselines.total_variation(*tensors(x)).item() == pytest.approx(expected)


@given(arrays("b c h w", h=2, w=2))
def test_image_priors(images):
    (x,) = images
    assert baselines.image_norm(*tensors(x)).item() == pytest.approx(norms(x).mean())
    check_gradient(baselines.image_norm, x)
    check_gradient(baselines.total_variation, x)


def test_priors_of_flat_images():
    flat = torch.zeros(2, 3, 4, 4)
    assert baselines.total_variation(flat + 7).item() == baselines.image_norm(flat).item() == 0
    assert finite(baselines.total_variation, flat)
    assert finite(baselines.image_norm, flat)


def two_layers() -> nn.Sequential:
    random = np.random.default_rng(0)
    first, second = nn.BatchNorm2d(3), nn.BatchNorm2d(3)
    for layer in (first, second):
        layer.running_mean = torch.from_numpy(random.normal(size=3))
        layer.running_var = torch.from_numpy(random.uniform(0.5, 2, size=3))
    return nn.Sequential(first, second, nn.Flatten()).double().eval()


def test_bn_statistics():
    """By hand; the second layer sees what the first one normalised with its stored moments."""
    teacher = two_layers()
    features = np.random.default_rng(1).normal(1, 2, size=(4, 3, 5, 5))
    x, expected, squared = torch.from_numpy(features), 0.0, 0.0
    for layer in teacher[:2]:
        mean, var = layer.running_mean.numpy(), layer.running_var.numpy()
        gaps = features.mean((0, 2, 3)) - mean, features.var((0, 2, 3)) - var
        expected += sum(np.sqrt((gap**2).sum()) for gap in gaps)
        squared += sum((gap**2).sum() for gap in gaps)
        features = (features - mean[:, None, None]) / np.sqrt(var + layer.eps)[:, None, None]
    logits, loss = baselines.bn_statistics(teacher, x)
    assert loss.item() == pytest.approx(expected)
    assert mad.bn_moments(teacher, x)[1].item() == pytest.approx(squared)
    assert torch.equal(logits, teacher(x))
    assert hooks(teacher) == []
    check_gradient(lambda x: baselines.bn_statistics(teacher, x)[1], x[:2, :, :2, :2].numpy())


def test_bn_statistics_of_a_teacher_without_batchnorm_is_zero():
    teacher, x = LeNet5().eval(), torch.zeros(2, 1, 32, 32)
    assert baselines.bn_statistics(teacher, x)[1].item() == 0


@given(logits(), st.sampled_from([1.0, 3.0]))
def test_competition(pair, temperature):
    p, q = (probabilities(x / temperature) for x in pair)
    js = (kl_of_probabilities(p, (p + q) / 2) + kl_of_probabilities(q, (p + q) / 2)) / 2
    assert baselines.competition(*tensors(*pair), temperature).item() == pytest.approx(1 - js)
    check_gradient(lambda t, s: baselines.competition(t, s, temperature), *(x / 5 for x in pair))


def test_competition_at_its_ends():
    t, s = huge()
    assert baselines.competition(t, t).item() == pytest.approx(1)
    assert baselines.competition(t, s).item() == pytest.approx(1 - math.log(2))
    assert baselines.competition(t / 1e4, s / 1e4) == baselines.competition(t / 1e4, s / 1e4, temperature=1)


# --- KD --------------------------------------------------------------------------------------------------------------

temperatures = st.sampled_from([0.5, 1.0, 4.0])


@given(logits(), temperatures, st.floats(0, 1))
def test_kd(pair, temperature, alpha):
    t, s = pair
    y = labels(t)
    kl = kl_of_probabilities(*(np.maximum(probabilities(x / temperature), 1e-300) for x in pair))
    made = baselines.kd(*tensors(t, s), temperature).item()
    assert made == pytest.approx(temperature**2 * kl, rel=1e-6, abs=1e-10)
    expected = alpha * made + (1 - alpha) * cross_entropy(s, y)
    assert baselines.kd_with_labels(*tensors(t, s, y), temperature, alpha).item() == pytest.approx(expected, abs=1e-10)


@few
@given(logits(), temperatures)
def test_gradients_of_kd(pair, temperature):
    y = torch.from_numpy(labels(pair[0]))
    t, s = (x / 5 for x in pair)
    check_gradient(lambda t, s: baselines.kd(t, s, temperature), t, s)
    check_gradient(lambda t, s: baselines.kd_with_labels(t, s, y, temperature, 0.3), t, s)


def test_kd_of_shifted_and_of_huge_logits():
    t, s = huge()
    assert baselines.kd(t, t + 5, 4).item() == pytest.approx(0, abs=1e-6)
    assert finite(lambda t, s: baselines.kd(t, s, 4), t, s)


def test_kd_at_high_temperature_is_half_the_squared_error_of_centred_logits():
    t, s = (torch.from_numpy(x) for x in np.random.default_rng(0).normal(size=(2, 4, 5)))
    residual = (t - t.mean(1, keepdim=True)) - (s - s.mean(1, keepdim=True))
    expected = residual.square().sum(1).mean().item() / (2 * 5)
    assert baselines.kd(t, s, 1e4).item() == pytest.approx(expected, rel=1e-3)


# --- FitNets, AT, FT -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", [baselines.hint, baselines.paraphrase])
@given(pair=arrays("b c h w", "b c h w"))
def test_squared_errors_of_features(loss, pair):
    """Half the squared norm per image (FitNets Eq. 3) is this, times half the number of elements."""
    t, s = pair
    norm = np.mean([((a - b) ** 2).sum() / 2 for a, b in zip(t, s, strict=True)])
    assert loss(*tensors(t, s)).item() * t[0].size / 2 == pytest.approx(norm)
    check_gradient(loss, t, s)


def unit(x: np.ndarray) -> np.ndarray:
    flat = x.reshape(len(x), -1)
    return flat / norms(x)[:, None]


@given(arrays("b channels_t h w", "b channels_s h w", h=2))
def test_attention(pair):
    maps = [unit((x**2).sum(1)) for x in pair]
    np.testing.assert_allclose(baselines.attention_map(*tensors(pair[0])), maps[0])
    expected = ((maps[0] - maps[1]) ** 2).sum(1).mean() / maps[0].shape[1]
    assert baselines.attention(*tensors(*pair)).item() == pytest.approx(expected, abs=1e-12)
    check_gradient(baselines.attention, *(x + 0.1 for x in pair))


@given(arrays("b c h w", "b c h w", h=2, w=2))
def test_factor_transfer(pair):
    factors = [unit(x) for x in pair]
    expected = np.abs(factors[0] - factors[1]).sum(1).mean() / factors[0].shape[1]
    assert baselines.factor_transfer(*tensors(*pair)).item() == pytest.approx(expected, abs=1e-12)
    check_gradient(baselines.factor_transfer, *pair)


@pytest.mark.parametrize("loss", [baselines.attention, baselines.factor_transfer])
def test_normalised_features_have_no_scale(loss):
    """And dead ones, all zero, give finite and moderate gradients."""
    t, s = torch.randn(2, 3, 4, 2, 2, generator=torch.Generator().manual_seed(0))
    assert loss(t, 7 * t).item() == pytest.approx(0, abs=1e-6)
    assert loss(t, 7 * s).item() == pytest.approx(loss(t, s).item())
    dead = torch.zeros_like(s).requires_grad_()
    assert torch.autograd.grad(loss(t, dead), dead)[0].abs().max() <= 1


def test_a_zero_vector_stays_zero_and_passes_gradients_on_as_they_are():
    v = torch.zeros(2, 3, requires_grad=True)
    assert vectors.unit(v).tolist() == [[0, 0, 0]] * 2
    assert torch.autograd.grad(vectors.unit(v).sum(), v)[0].tolist() == [[1, 1, 1]] * 2
