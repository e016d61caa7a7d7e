"""The losses of HiDFD's student ablation against plain NumPy, and their gradients against finite differences."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from loss_checks import (
    arrays,
    check_gradient,
    few,
    finite,
    huge,
    kl_of_probabilities,
    labels,
    logits,
    norms,
    probabilities,
    tensors,
)

from dfkd_lib.losses import baselines, students

temperatures = st.sampled_from([1.0, 4.0])


def split(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(p_y, 1 − p_y), and the probabilities among the other classes, image by image."""
    p = probabilities(x)
    at_y = p[np.arange(len(y)), y]
    others = np.array([np.delete(row, c) for row, c in zip(p, y, strict=True)])
    rest = others.sum(1)
    return np.stack([at_y, rest], 1), others / rest[:, None]


# --- DKD and NKD -----------------------------------------------------------------------------------------------------


@given(logits(), temperatures, st.floats(0, 2), st.floats(0, 8))
def test_dkd(pair, temperature, alpha, beta):
    t, s = pair[0] / 2, pair[1] / 2
    y = labels(t)
    (b_t, q_t), (b_s, q_s) = split(t / temperature, y), split(s / temperature, y)
    expected = temperature**2 * (alpha * kl_of_probabilities(b_t, b_s) + beta * kl_of_probabilities(q_t, q_s))
    made = students.dkd(*tensors(t, s, y), temperature, alpha, beta).item()
    assert made == pytest.approx(expected, rel=1e-6, abs=1e-9)


@given(logits(), temperatures)
def test_dkd_with_the_coupled_weight_is_kd(pair, temperature):
    """Image by image: 1 for "class y or not", 1 − p_T(y) among the others."""
    for t, s in zip(*pair, strict=True):
        t, s = t[None], s[None]
        y = labels(t)
        beta = split(t / temperature, y)[0][0, 1]
        made = students.dkd(*tensors(t, s, y), temperature, 1, float(beta)).item()
        assert made == pytest.approx(baselines.kd(*tensors(t, s), temperature).item(), rel=1e-6, abs=1e-9)


@given(logits(least_classes=2), temperatures, st.floats(0, 2))
def test_nkd(pair, temperature, gamma):
    t, s = pair[0] / 2, pair[1] / 2
    y = labels(t)
    rows = np.arange(len(y))
    target = -(probabilities(t)[rows, y] * np.log(probabilities(s)[rows, y])).mean()
    q_t, q_s = split(t / temperature, y)[1], split(s / temperature, y)[1]
    expected = target - gamma * temperature**2 * (q_t * np.log(q_s)).sum(1).mean()
    assert students.nkd(*tensors(t, s, y), temperature, gamma).item() == pytest.approx(expected, rel=1e-6, abs=1e-9)


@few
@given(arrays("b c", "b c", c=3), temperatures)
def test_gradients_of_decoupled_losses(pair, temperature):
    y = torch.from_numpy(labels(pair[0]))
    t, s = (x / 5 for x in pair)
    check_gradient(lambda t, s: students.dkd(t, s, y, temperature, 0.7, 3), t, s)
    check_gradient(lambda t, s: students.nkd(t, s, y, temperature, 1.5), t, s)


def test_decoupled_losses_of_equal_shifted_and_huge_logits():
    t, s = huge()
    y = torch.tensor([0, 1, 3])
    x = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
    assert students.dkd(x, x + 5, y, 4, 1, 8).item() == pytest.approx(0, abs=1e-5)
    assert students.nkd(x, x + 5, y).item() == pytest.approx(students.nkd(x, x, y).item(), rel=1e-5)
    assert finite(lambda t, s: students.dkd(t, s, y, 4, 1, 8), t, s)
    assert finite(lambda t, s: students.nkd(t, s, y), t, s)


def test_the_default_constants():
    t, s = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0))
    y = torch.tensor([0, 1, 3])
    assert students.nkd(t, s, y) == students.nkd(t, s, y, temperature=1, gamma=1.5)
    assert students.cc(t, s) == students.cc(t, s, gamma=0.4, order=2)


# --- relations between images ----------------------------------------------------------------------------------------

features = arrays("b width_t", "b width_s", width_t=2, width_s=2)


def kernel(f: np.ndarray, gamma: float, order: int) -> np.ndarray:
    f = f / norms(f)[:, None]
    made = np.empty((len(f), len(f)))
    for i, j in itertools.product(range(len(f)), repeat=2):
        cosine = f[i] @ f[j]
        made[i, j] = sum(np.exp(-2 * gamma) * (2 * gamma * cosine) ** p / math.factorial(p) for p in range(order + 1))
    return made


@given(features, st.floats(0.1, 1), st.integers(0, 3))
def test_cc(pair, gamma, order):
    t, s = (kernel(f, gamma, order) for f in pair)
    expected = ((t - s) ** 2).sum() / len(t) ** 2
    assert students.cc(*tensors(*pair), gamma, order).item() == pytest.approx(expected, abs=1e-12)


@given(features)
def test_cc_approaches_the_gaussian_kernel(pair):
    f = pair[0] / norms(pair[0])[:, None]
    exact = np.exp(-0.4 * ((f[:, None] - f[None]) ** 2).sum(2))
    np.testing.assert_allclose(students.correlations(*tensors(pair[0]), 0.4, 12), exact, atol=1e-9)


def relative_distances(f: np.ndarray) -> np.ndarray:
    pairs = [(i, j) for i, j in itertools.product(range(len(f)), repeat=2) if i != j]
    d = np.array([[np.sqrt(((a - b) ** 2).sum()) for b in f] for a in f])
    return d / np.mean([d[i, j] for i, j in pairs])


def huber(r: np.ndarray) -> np.ndarray:
    return np.where(np.abs(r) < 1, r**2 / 2, np.abs(r) - 0.5)


def cosines(f: np.ndarray) -> np.ndarray:
    n = len(f)
    made = np.zeros((n, n, n))
    for i, j, k in itertools.product(range(n), repeat=3):
        if i not in (j, k):
            a, b = f[j] - f[i], f[k] - f[i]
            made[i, j, k] = a @ b / np.sqrt((a @ a) * (b @ b))
    return made


groups = arrays("b width_t", "b width_s", b=3, width_t=2, width_s=2)


@given(groups)
def test_rkd(pair):
    t, s = (relative_distances(f) for f in pair)
    assert students.rkd_distance(*tensors(*pair)).item() == pytest.approx(huber(t - s).mean(), abs=1e-12)
    t, s = (cosines(f) for f in pair)
    assert students.rkd_angle(*tensors(*pair)).item() == pytest.approx(huber(t - s).mean(), abs=1e-12)


@pytest.mark.parametrize("loss", [students.cc, students.rkd_distance, students.rkd_angle])
@few
@given(pair=groups)
def test_gradients_of_relations(loss, pair):
    """At one scale: features all but on one point are close to a kink."""
    check_gradient(loss, *(f / np.abs(f).mean() for f in pair))


@pytest.mark.parametrize("loss", [students.cc, students.rkd_distance, students.rkd_angle])
def test_relations_know_no_size_and_no_turn(loss):
    generator = torch.Generator().manual_seed(0)
    t, s = torch.randn(2, 5, 4, generator=generator, dtype=torch.float64)
    turn = torch.linalg.qr(torch.randn(4, 4, generator=generator, dtype=torch.float64)).Q
    assert loss(t, 3 * t @ turn).item() == pytest.approx(0, abs=1e-12)
    assert loss(t, 3 * s @ turn).item() == pytest.approx(loss(t, s).item())
    assert loss(t, s).item() > 1e-3


@pytest.mark.parametrize("loss", [students.rkd_distance, students.rkd_angle])
def test_rkd_knows_no_place(loss):
    t, s = torch.randn(2, 5, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert loss(t, s + 3).item() == pytest.approx(loss(t, s).item())


@pytest.mark.parametrize("loss", [students.cc, students.rkd_distance, students.rkd_angle])
@pytest.mark.parametrize("batch", [1, 3])
def test_relations_of_one_image_and_of_collapsed_features(loss, batch):
    """Finite, and moderate: normalising a zero vector must not blow its gradient up."""
    t = torch.randn(batch, 4, generator=torch.Generator().manual_seed(0))
    for dead in (torch.zeros(batch, 4), torch.ones(batch, 4)):
        assert finite(loss, t, dead)
        dead.requires_grad_()
        assert torch.autograd.grad(loss(t, dead), dead)[0].abs().max() <= 1
