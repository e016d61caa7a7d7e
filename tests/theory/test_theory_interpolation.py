"""Chapter 2's closed forms, against direct sums, quadrature and autograd."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

from dfkd_lib import theory
from dfkd_lib.losses import one_hot

SEEDS = st.integers(0, 2**32)


@given(st.integers(0, 12), SEEDS)
def test_bends_of_any_piecewise_affine_function_sum_to_its_gap(bends, seed):
    rng = np.random.default_rng(seed)
    t = np.sort(rng.uniform(size=bends))
    at = np.concatenate([[0.0], t, [1.0]])
    if np.diff(at).min() < 1e-6:
        return
    values, lam = rng.normal(size=(bends + 2, 3)), rng.uniform(size=50)
    here = np.stack([np.interp(lam, at, column) for column in values.T], 1)
    gap = lam[:, None] * values[-1] + (1 - lam[:, None]) * values[0] - here
    changes = theory.slope_changes(t, values)
    # Slopes are differences over short intervals: rounding is relative to the largest.
    close = 1e-13 * (1 + np.abs(changes).sum())
    np.testing.assert_allclose(theory.gap_of_bends(lam, t, changes), gap, atol=close)


@given(st.floats(0, 1), st.floats(-3, 3), st.floats(-3, 3))
def test_for_smooth_functions_bends_are_second_derivatives(lam, a, b):
    """g(t) = sin(a t + b)."""
    t = (np.arange(20_000) + 0.5) / 20_000
    bends = -(a**2) * np.sin(a * t + b) / len(t)
    found = theory.gap_of_bends(np.array([lam]), t, bends[:, None])
    gap = lam * math.sin(a + b) + (1 - lam) * math.sin(b) - math.sin(a * lam + b)
    assert found.item() == pytest.approx(gap, abs=1e-7)


@given(st.floats(0.2, 20))
def test_moments_of_mixing_coefficients(a):
    one, two, three, four = (stats.beta(a, a).moment(k) for k in (1, 2, 3, 4))
    assert theory.mean_weight(a) == pytest.approx(one - two, rel=1e-7)
    square = two - 2 * three + four
    assert theory.mean_square_weight(a) == pytest.approx(square, rel=1e-7)


def over_lambda(m, f):
    """∫ f(λ, a, b) dλ, with x − z from a to b where x = m + (1 − λ)v, z = m − λv."""

    def inside(lam):
        low = max((-1 - m) / (1 - lam), (m - 1) / lam)
        return f(lam, low, min((1 - m) / (1 - lam), (m + 1) / lam))

    corners = sorted({0.0, (1 + m) / 2, (1 - m) / 2, 1.0})
    pieces = zip(corners, corners[1:], strict=False)
    return sum(integrate.quad(inside, a, b)[0] for a, b in pieces)


@settings(max_examples=15)
@given(st.floats(-0.99, 0.99))
def test_square_bias_by_quadrature(m):
    top = over_lambda(m, lambda lam, a, b: lam * (1 - lam) * (b**3 - a**3) / 3)
    expected = top / over_lambda(m, lambda _, a, b: b - a)
    assert theory.square_bias(np.array([m]))[0] == pytest.approx(expected, rel=1e-6)


@given(SEEDS)
def test_the_best_student_of_chords_is_the_teacher_plus_its_mean_gap(seed):
    """Points 0 … 4 on a line and λ = ½: pairs share mixtures; least squares on them."""
    rng = np.random.default_rng(seed)
    teacher, pairs = rng.normal(size=9), rng.integers(5, size=(200, 2))
    mixture, chord = pairs.sum(1), teacher[2 * pairs].mean(1)
    student, *_ = np.linalg.lstsq(np.eye(9)[mixture], chord, rcond=None)
    gap = chord - teacher[mixture]
    for m in set(mixture):
        assert student[m] - teacher[m] == pytest.approx(gap[mixture == m].mean())


@given(st.integers(2, 10), st.floats(0.1, 30), SEEDS)
def test_one_hot_gradient_and_what_it_does_to_margins(classes, size, seed):
    x = size * np.random.default_rng(seed).normal(size=(4, classes))
    logits = torch.tensor(x, requires_grad=True)
    one_hot(logits).backward()
    gradient = theory.one_hot_gradient(x)
    np.testing.assert_allclose(gradient, 4 * logits.grad.numpy(), atol=1e-12)
    p = logits.detach().softmax(1).amax(1).numpy()
    norms = np.linalg.norm(gradient, axis=1)
    assert (norms <= math.sqrt(2) * (1 - p) + 1e-12).all()
    rates = gradient - gradient[range(4), x.argmax(1)][:, None]  # of each margin
    assert (rates > -1e-12).all()
