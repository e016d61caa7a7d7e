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


def test_push_by_hand_and_its_limits():
    p = np.array([1e-6, 1e-3, 0.1])
    log, rest = np.log(p), np.log((1 - p) / 9)
    by_hand = -(log + 1) + p * (log + 9 * rest + 10)
    np.testing.assert_allclose(theory.push(p, 10, "weights"), by_hand, atol=1e-12)
    entropy = -(p * log + (1 - p) * rest)
    by_hand = -10 * p * (log + entropy)
    np.testing.assert_allclose(theory.push(p, 10, "entropy"), by_hand, atol=1e-12)
    floored, free = (theory.push(p, 10, "weights", f) for f in (0.1, 0.0))
    assert floored[0] < 0.01 < 10 < free[0]
    assert floored[2] == pytest.approx(free[2])


@given(SEEDS, st.integers(2, 300), weight_)
def test_best_response_multiplies_a_small_imbalance(seed, classes, gamma):
    moved = np.random.default_rng(seed).normal(size=classes)
    moved -= moved.mean()
    n = 1 / classes + 1e-6 / classes * moved
    after = (1 - gamma) * n + gamma * theory.preferred_shares(n)
    factor = (after - 1 / classes) @ moved / ((n - 1 / classes) @ moved)
    assert factor == pytest.approx(1 - gamma * math.log(classes), abs=1e-3)


@given(SEEDS, st.integers(2, 60), weight_, st.floats(0.05, 3))
def test_the_loop_near_balance_is_linear(seed, classes, gamma, eta):
    theta = 1e-6 * np.random.default_rng(seed).normal(size=classes)
    deviations = np.stack(theory.balance_loop(theta, gamma, eta, 3)) - 1 / classes
    matrix = np.array([[1 - eta, -eta * (math.log(classes) - 1)], [gamma, 1 - gamma]])
    radius = np.abs(np.linalg.eigvals(matrix)).max()
    assert theory.loop_radius(classes, gamma, eta) == pytest.approx(radius)
    close = 1e-3 * np.abs(deviations).max()
    for t in range(3):
        after = matrix @ deviations[:, t]
        np.testing.assert_allclose(after, deviations[:, t + 1], atol=close)


@given(classes_, weight_)
def test_balance_is_stable_up_to_the_largest_step(classes, gamma):
    largest = theory.largest_step(classes, gamma)
    steps = (0.1, 1.0, 1000.0)
    if largest < math.inf:
        steps = (0.01 * largest, 0.9 * largest, 0.999 * largest)
        assert theory.loop_radius(classes, gamma, 1.001 * largest) > 1
    assert all(theory.loop_radius(classes, gamma, step) < 1 for step in steps)


def test_the_loop_counts_images_and_honours_the_floor():
    _, n = theory.balance_loop(np.zeros(100), 0.5, 1e-9, 200, 0.1, batch=100, seed=1)
    assert n.min() == pytest.approx(0.1 / 100) and n.mean() == pytest.approx(
        0.01, rel=0.05
    )
    variance = 0.5 / 1.5 * 0.99 / 100  # γ/(2 − γ) of a fraction's variance, B = 100
    _, free = theory.balance_loop(np.zeros(100), 0.5, 1e-12, 200, batch=100, seed=1)
    assert free[50:].var() == pytest.approx(variance / 100, rel=0.1)
