"""HiDFD's loop of class frequencies: against autograd, search and simulation."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dfkd_lib import theory
from dfkd_lib.methods import hidfd

SEEDS = st.integers(0, 2**32)
classes_ = st.integers(3, 40)
weight_ = st.floats(0.1, 1)


def frequencies(seed, classes):
    return np.random.default_rng(seed).dirichlet(np.full(classes, 3.0))


@given(SEEDS, st.integers(1, 30))
def test_preferred_shares_minimise_the_regulariser(seed, classes):
    n = frequencies(seed, classes)
    p = theory.preferred_shares(n)
    assert p.sum() == pytest.approx(1) and (p > 0).all()
    least = (p * np.log(p) / n).sum()
    for other in np.random.default_rng(seed).dirichlet(np.ones(classes), size=50):
        near = 0.99 * p + 0.01 * other
        assert least <= (near * np.log(near) / n).sum() + 1e-12


@given(SEEDS, classes_)
def test_of_three_classes_the_rarer_is_preferred_and_none_beyond_one_in_e(
    seed, classes
):
    n = frequencies(seed, classes)
    p = theory.preferred_shares(n)
    assert (np.diff(p[np.argsort(n)]) <= 1e-12).all() and p.max() < 1 / math.e
    assert (p <= np.exp(-classes * (math.log(classes) - 1) * n - 1) + 1e-12).all()


@given(SEEDS, st.integers(2, 12))
def test_the_gradient_is_autograds(seed, classes):
    theta = np.random.default_rng(seed).normal(size=classes)
    n, t = frequencies(seed, classes), torch.tensor(theta, requires_grad=True)
    hidfd.frequency_regulariser(t[None], torch.tensor(n)).backward()
    ours = theory.share_gradient(theta, n)
    np.testing.assert_allclose(ours, t.grad.numpy(), atol=1e-9 / n.min())


@given(SEEDS, st.integers(2, 300), weight_)
def test_best_response_multiplies_a_small_imbalance(seed, classes, gamma):
    moved = np.random.default_rng(seed).normal(size=classes)
    moved -= moved.mean()
    n = 1 / classes + 1e-6 / classes * moved
    after = (1 - gamma) * n + gamma * theory.preferred_shares(n)
    factor = (after - 1 / classes) @ moved / ((n - 1 / classes) @ moved)
    assert factor == pytest.approx(1 - gamma * math.log(classes), abs=1e-3)


@given(st.integers(2, 60), weight_, st.floats(0.05, 3))
def test_the_loop_near_balance_is_linear(classes, gamma, eta):
    """A step of θ along the gradient, then of n̂, from a small imbalance."""
    matrix = np.array([[1 - eta, -eta * (math.log(classes) - 1)], [gamma, 1 - gamma]])
    radius = np.abs(np.linalg.eigvals(matrix)).max()
    assert theory.loop_radius(classes, gamma, eta) == pytest.approx(radius)
    v = np.zeros(classes)
    v[:2] = 1, -1
    p, n = (1 + 1e-6 * v) / classes, (1 - 2e-6 * v) / classes
    theta = np.log(p) - eta * theory.share_gradient(np.log(p), n)
    after = np.exp(theta) / np.exp(theta).sum(), (1 - gamma) * n + gamma * p
    moved = [(x[0] * classes - 1) / 1e-6 for x in after]
    assert moved == pytest.approx(matrix @ [1, -2], abs=1e-3)


@given(classes_, weight_)
def test_balance_is_stable_up_to_the_largest_step(classes, gamma):
    largest = theory.largest_step(classes, gamma)
    steps = (0.1, 1.0, 1000.0)
    if largest < math.inf:
        steps = (0.01 * largest, 0.9 * largest, 0.999 * largest)
        assert theory.loop_radius(classes, gamma, 1.001 * largest) > 1
    assert all(theory.loop_radius(classes, gamma, step) < 1 for step in steps)
