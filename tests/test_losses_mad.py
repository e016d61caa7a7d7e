"""MAD's losses against plain NumPy, and their gradients against finite differences."""

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

from dfkd_lib.losses import mad
from dfkd_lib.models import LeNet5, WideResNet


@given(logits())
def test_kl(pair):
    t, s = pair
    expected = kl_of_probabilities(probabilities(t), probabilities(s))
    assert mad.kl(*tensors(t, s)).item() == pytest.approx(expected, rel=1e-6, abs=1e-12)


@given(logits())
def test_js(pair):
    p, q = map(probabilities, pair)
    expected = (kl_of_probabilities(p, (p + q) / 2) + kl_of_probabilities(q, (p + q) / 2)) / 2
    assert mad.js(*tensors(*pair)).item() == pytest.approx(expected, rel=1e-6, abs=1e-12)


@given(logits(least_classes=1))
def test_nll(pair):
    t, _ = pair
    y = labels(t)
    assert mad.nll(*tensors(t, y)).item() == pytest.approx(cross_entropy(t, y))


@given(logits(), st.floats(0.1, 2))
def test_embedding_norm(pair, gamma):
    e, _ = pair
    excess = np.sqrt((e**2).sum(1)) - gamma * np.sqrt(e.shape[1])
    assert mad.embedding_norm(*tensors(e), gamma).item() == pytest.approx(np.maximum(excess, 0).mean())


@given(arrays("b c", "b c h w"), st.floats(0, 20))
def test_logit_bound(pair, delta):
    """Of the student's logits, and of the generator's images before their sigmoid."""
    for x in pair:
        expected = np.maximum(np.abs(x) - delta, 0).mean()
        assert mad.logit_bound(*tensors(x), delta).item() == pytest.approx(expected, abs=1e-12)


def test_logit_bound_leaves_the_inside_alone():
    """No force within [−δ, δ], a pull towards it outside, from both sides."""
    x = torch.tensor([[19.0, -20.0, 21.0, -22.0]], requires_grad=True)
    loss = mad.logit_bound(x, 20)
    assert loss.item() == pytest.approx((1 + 2) / 4)
    assert torch.autograd.grad(loss, x)[0].tolist() == [[0, 0, 0.25, -0.25]]


def test_embedding_norm_leaves_the_ball_alone():
    """No force inside the ball of radius γ√d, a pull towards the origin outside."""
    e = torch.tensor([[0.5, 0.5, 0.5, 0.5], [3.0, 0.0, 4.0, 0.0]], requires_grad=True)
    mad.embedding_norm(e, 1.1).backward()
    assert e.grad.tolist() == [[0, 0, 0, 0], pytest.approx([0.3, 0, 0.4, 0])]


@pytest.mark.parametrize("loss", [mad.kl, mad.js])
@few
@given(pair=logits())
def test_gradients_of_discrepancies(loss, pair):
    """By both networks' logits."""
    check_gradient(loss, *pair)


def test_gradients_of_regularisers():
    x = np.random.default_rng(0).normal(size=(5, 7))
    (y,) = tensors(labels(x))
    check_gradient(lambda x: mad.nll(x, y), x)
    # Thresholds in the middle of the values: some pass them, some do not, and none is within a step of its kink.
    gamma = np.sort(norms(x))[1:3].mean() / math.sqrt(7)
    check_gradient(lambda x: mad.embedding_norm(x, float(gamma)), x)
    delta = np.sort(np.abs(x), axis=None)[15:17].mean()
    check_gradient(lambda x: mad.logit_bound(x, float(delta)), x)


@given(logits(), st.floats(-10, 10))
def test_kl_is_zero_exactly_where_probabilities_agree(pair, shift):
    t, s = tensors(*pair)
    assert mad.kl(t, t + shift).item() == pytest.approx(0, abs=1e-12)
    assert mad.kl(t, s).item() > 0


@given(logits(), st.floats(-10, 10), st.floats(-10, 10))
def test_kl_sees_probabilities_only(pair, a, b):
    t, s = tensors(*pair)
    assert mad.kl(t + a, s + b).item() == pytest.approx(mad.kl(t, s).item(), abs=1e-10)


@few
@given(logits())
def test_gradient_of_kl_has_no_part_along_the_ones(pair):
    t, s = (x.requires_grad_() for x in tensors(*pair))
    for gradient in torch.autograd.grad(mad.kl(t, s), (t, s)):
        assert gradient.abs().max() > 0
        assert gradient.sum(1).abs().max() < 1e-10


@given(logits())
def test_js_is_symmetric_and_at_most_ln_2(pair):
    t, s = tensors(*pair)
    assert mad.js(t, s).item() == pytest.approx(mad.js(s, t).item(), abs=1e-12)
    assert 0 < mad.js(t, s).item() <= math.log(2) + 1e-12


@pytest.mark.parametrize("loss", [mad.kl, mad.js])
def test_huge_logits_are_finite(loss):
    assert finite(loss, *huge())


@pytest.mark.parametrize("loss", [mad.kl, mad.js])
def test_a_single_class_is_agreed_upon(loss):
    assert loss(torch.tensor([[3.0], [4.0]]), torch.tensor([[5.0], [-6.0]])).item() == pytest.approx(0, abs=1e-6)


def test_js_of_sure_and_opposite_answers_is_ln_2():
    t, s = torch.tensor([[500.0, -500.0]]), torch.tensor([[-500.0, 500.0]])
    assert mad.js(t, s).item() == pytest.approx(math.log(2))


def test_bn_moments():
    """Two layers, by hand: the second one sees what the first one normalised with its stored moments."""
    random = np.random.default_rng(0)
    first, second = nn.BatchNorm2d(3), nn.BatchNorm2d(3)
    for layer in (first, second):
        layer.running_mean = torch.from_numpy(random.normal(size=3)).float()
        layer.running_var = torch.from_numpy(random.uniform(0.5, 2, size=3)).float()
    teacher = nn.Sequential(first, second, nn.Flatten()).eval()
    x = random.normal(1, 2, size=(4, 3, 5, 5)).astype(np.float32)

    expected, features = 0.0, x.astype(float)
    for layer in (first, second):
        mean, var = layer.running_mean.double().numpy(), layer.running_var.double().numpy()
        expected += ((features.mean((0, 2, 3)) - mean) ** 2).sum() + ((features.var((0, 2, 3)) - var) ** 2).sum()
        features = (features - mean[:, None, None]) / np.sqrt(var + layer.eps)[:, None, None]

    logits, loss = mad.bn_moments(teacher, torch.from_numpy(x))
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    np.testing.assert_allclose(logits.detach(), features.reshape(4, -1), rtol=1e-4, atol=1e-5)


def test_bn_moments_is_zero_where_the_batch_has_the_stored_moments():
    teacher = WideResNet(10, 1).eval()
    x = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))

    def store(layer, inputs):
        layer.running_mean.copy_(inputs[0].mean((0, 2, 3)))
        layer.running_var.copy_(inputs[0].var((0, 2, 3), correction=0))

    handles = [m.register_forward_pre_hook(store) for m in teacher.modules() if isinstance(m, nn.BatchNorm2d)]
    with torch.no_grad():
        teacher(x)
    for handle in handles:
        handle.remove()

    assert mad.bn_moments(teacher, x)[1].item() == pytest.approx(0, abs=1e-9)
    assert mad.bn_moments(teacher, x + 0.1)[1].item() > 1e-3


def test_bn_moments_reaches_the_images():
    x = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0), requires_grad=True)
    teacher = WideResNet(10, 1).eval().requires_grad_(False)
    mad.bn_moments(teacher, x)[1].backward()
    assert x.grad.abs().max() > 0


def test_bn_moments_leaves_no_hook_behind():
    teacher = WideResNet(10, 1).eval()
    mad.bn_moments(teacher, torch.zeros(2, 3, 32, 32))
    assert hooks(teacher) == []


def test_bn_moments_leaves_no_hook_behind_an_exception():
    teacher = nn.Sequential(nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(1, 10)).eval()
    with pytest.raises(RuntimeError):
        mad.bn_moments(teacher, torch.zeros(2, 3, 4, 4))
    assert hooks(teacher) == []


def test_bn_moments_of_a_teacher_without_batchnorm_is_zero():
    teacher, x = LeNet5().eval(), torch.randn(2, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    logits, loss = mad.bn_moments(teacher, x)
    assert loss.item() == 0
    assert torch.equal(logits, teacher(x))
