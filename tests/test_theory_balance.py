"""Chapter 4's feedback loop of class frequencies: against autograd, brute force, simulation and exact enumeration."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import optimize

from dfkd_lib import theory
from dfkd_lib.losses import hidfd

SEEDS = st.integers(0, 2**32)
classes_ = st.integers(3, 40)
weight_ = st.floats(0.1, 1)


def frequencies(seed: int, classes: int) -> np.ndarray:
    return np.random.default_rng(seed).dirichlet(np.full(classes, 3.0))


@pytest.mark.parametrize("gamma", [0.1, 0.5, 0.9])
def test_counts_remember_as_long_as_the_library_s_recursion(gamma):
    """One class is made once, in iteration 0: its weight in iteration t has that age."""
    counts, weights = torch.zeros(1, dtype=torch.float64), []
    for t in range(2000):
        weights.append(counts.item())
        counts = hidfd.smoothed_counts(counts, torch.tensor([1.0 if t == 0 else 0.0], dtype=torch.float64), gamma)
    k = np.arange(20)
    np.testing.assert_allclose(weights[1:21], gamma * (1 - gamma) ** k)
    assert np.arange(2000) @ weights == pytest.approx(theory.count_age(gamma)) == pytest.approx(1 / gamma)


# --- the regulariser at given frequencies ----------------------------------------------------------------------------


@given(SEEDS, st.integers(1, 30))
def test_preferred_shares_minimise_the_regulariser(seed, classes):
    n = frequencies(seed, classes)
    p = theory.preferred_shares(n)
    assert p.sum() == pytest.approx(1) and (p > 0).all()
    least = (p * np.log(p) / n).sum()
    for other in np.random.default_rng(seed).dirichlet(np.ones(classes), size=50):
        near = 0.99 * p + 0.01 * other
        assert least <= (near * np.log(near) / n).sum() + 1e-12
    theta = torch.tensor(np.log(p), requires_grad=True)
    hidfd.frequency_regulariser(theta[None], torch.tensor(n)).backward()
    assert theta.grad.abs().max() < 1e-8 * (1 / n).max()


@given(SEEDS, classes_)
def test_from_three_classes_on_the_rarer_is_preferred_and_no_class_beyond_one_in_e(seed, classes):
    n = frequencies(seed, classes)
    p = theory.preferred_shares(n)
    order = np.argsort(n)
    assert (np.diff(p[order]) <= 1e-12).all() and p.max() < 1 / math.e
    assert (p <= np.exp(-classes * (math.log(classes) - 1) * n - 1) + 1e-12).all()


@given(st.floats(0.01, 0.49))
def test_of_two_classes_the_more_frequent_is_preferred(rare):
    p = theory.preferred_shares(np.array([rare, 1 - rare]))
    by_hand = optimize.minimize_scalar(
        lambda p: p * math.log(p) / rare + (1 - p) * math.log(1 - p) / (1 - rare),
        bounds=(1e-9, 1 - 1e-9), method="bounded", options={"xatol": 1e-10},
    )  # fmt: skip
    assert p[0] == pytest.approx(by_hand.x, abs=1e-5)
    assert rare < p[0] < 0.5


@pytest.mark.parametrize("classes", [3, 10, 100])
def test_a_missing_class_is_asked_for_one_image_in_e(classes):
    n = np.full(classes, 1 / (classes - 1))
    n[0] = 1e-9
    assert theory.preferred_shares(n / n.sum())[0] == pytest.approx(1 / math.e, abs=1e-3)


@given(SEEDS, st.integers(2, 12))
def test_the_gradient_is_autograd_s(seed, classes):
    rng = np.random.default_rng(seed)
    theta, n = rng.normal(size=classes), frequencies(seed, classes)
    t = torch.tensor(theta, requires_grad=True)
    hidfd.frequency_regulariser(t[None], torch.tensor(n)).backward()
    np.testing.assert_allclose(theory.share_gradient(theta, n), t.grad.numpy(), atol=1e-9 / n.min())


@given(SEEDS, st.integers(2, 20))
def test_with_settled_counts_the_largest_falls_and_the_smallest_rises(seed, classes):
    theta = 2 * np.random.default_rng(seed).normal(size=classes)
    p = np.exp(theta) / np.exp(theta).sum()
    moves = -theory.share_gradient(theta, p)
    assert moves[p.argmin()] > 0 > moves[p.argmax()]
    np.testing.assert_allclose(moves, -(np.log(p) + 1) + p * (np.log(p) + 1).sum(), atol=1e-9)


def test_push_by_hand_and_its_limits():
    p = np.array([1e-6, 1e-3, 0.1])
    log, rest = np.log(p), np.log((1 - p) / 9)
    np.testing.assert_allclose(theory.push(p, 10, "weights"), -(log + 1) + p * (log + 9 * rest + 10), atol=1e-12)
    entropy = -(p * log + (1 - p) * rest)
    np.testing.assert_allclose(theory.push(p, 10, "entropy"), -10 * p * (log + entropy), atol=1e-12)
    assert theory.push(p, 10, "weights")[-1] == pytest.approx(0, abs=1e-12)
    floored = theory.push(p, 10, "weights", floor=0.1)
    assert floored[0] < 0.01 < 10 < theory.push(p, 10, "weights")[0]
    assert floored[2] == pytest.approx(theory.push(p, 10, "weights")[2])


# --- near balance ----------------------------------------------------------------------------------------------------


@given(SEEDS, st.integers(2, 300), weight_)
def test_best_response_multiplies_a_small_imbalance(seed, classes, gamma):
    moved = np.random.default_rng(seed).normal(size=classes)
    moved -= moved.mean()
    n = 1 / classes + 1e-6 / classes * moved
    after = (1 - gamma) * n + gamma * theory.preferred_shares(n)
    factor = (after - 1 / classes) @ moved / ((n - 1 / classes) @ moved)
    assert factor == pytest.approx(theory.best_response_factor(classes, gamma), abs=1e-3)


@given(SEEDS, st.integers(2, 60), weight_, st.floats(0.05, 3))
def test_the_loop_near_balance_is_its_matrix(seed, classes, gamma, eta):
    rng = np.random.default_rng(seed)
    theta = 1e-6 * rng.normal(size=classes)
    shares, counts = theory.balance_loop(theta, gamma, eta, 3)
    deviations = np.stack([shares, counts]) - 1 / classes  # (2, iterations, classes)
    for t in range(3):
        predicted = theory.loop_matrix(classes, gamma, eta) @ deviations[:, t]
        np.testing.assert_allclose(predicted, deviations[:, t + 1], atol=1e-3 * np.abs(deviations).max())


@given(classes_, weight_)
def test_balance_is_stable_up_to_the_largest_step(classes, gamma):
    largest = theory.largest_step(classes, gamma)
    if largest == math.inf:
        assert all(theory.loop_radius(classes, gamma, eta) < 1 for eta in (0.1, 1.0, 10.0, 1000.0))
        return
    for part in (0.01, 0.3, 0.9, 0.999):
        assert theory.loop_radius(classes, gamma, part * largest) < 1
    assert theory.loop_radius(classes, gamma, 1.001 * largest) > 1


@given(st.integers(2, 1000), weight_, st.floats(0.01, 5))
def test_the_two_conditions_are_the_eigenvalues(classes, gamma, eta):
    radius, log = theory.loop_radius(classes, gamma, eta), math.log(classes)
    assume(abs(radius - 1) > 1e-6)
    assert (radius < 1) == (log < 1 / gamma + 1 / eta and (2 - gamma * log) * eta < 4 - 2 * gamma)


@pytest.mark.parametrize("classes", [10, 100])
def test_below_the_largest_step_it_balances_and_above_it_one_class_takes_all(classes):
    theta = 1e-3 * np.random.default_rng(0).normal(size=classes)
    largest = theory.largest_step(classes, 0.5)
    below, _ = theory.balance_loop(theta, 0.5, 0.9 * largest, 2000)
    above, _ = theory.balance_loop(theta, 0.5, 1.1 * largest, 2000)
    assert classes * below[-1] == pytest.approx(np.ones(classes), abs=1e-3)
    assert above[-1].max() > 0.99 and np.isfinite(above).all()


def test_a_rare_class_overshoots_at_steps_that_balance_can_bear():
    shares = np.array([1e-4, *[(1 - 1e-4) / 9] * 9])
    for eta, floor, survives in ((0.03, 0.0, True), (0.3, 0.0, False), (0.3, 0.1, True)):
        p, _ = theory.balance_loop(np.log(shares), 0.5, eta, 3000, floor)
        assert (p[-1].min() > 0.09) == survives, (eta, floor)


def test_the_loop_counts_images_and_honours_the_floor():
    p, n = theory.balance_loop(np.zeros(100), 0.5, 1e-9, 200, floor=0.1, batch=100, seed=1)
    assert p == pytest.approx(np.full_like(p, 0.01), rel=1e-3)
    assert n.min() == pytest.approx(0.1 / 100) and n.mean() == pytest.approx(0.01, rel=0.05)
    variance = 0.5 / 1.5 * 0.99 / 100  # γ/(2 − γ) of a share's variance, B = 100
    _, free = theory.balance_loop(np.zeros(100), 0.5, 1e-12, 200, batch=100, seed=1)
    assert free[50:].var() == pytest.approx(variance / 100, rel=0.1)


# --- weights of a batch's counts -------------------------------------------------------------------------------------


@given(st.integers(2, 6), st.integers(1, 6))
def test_chance_of_an_empty_batch_by_enumeration(classes, batch):
    assume(classes**batch <= 5000)
    batches = list(itertools.product(range(classes), repeat=batch))
    assert theory.empty_chance(classes, batch) == pytest.approx(np.mean([0 not in made for made in batches]))


def mean_power(batch: int, classes: int, gamma: float, moment: int, iterations: int) -> list[float]:
    """E[n^−m] of a class's smoothed count, exactly: every sequence of counts, with its chance."""
    chances = [math.comb(batch, k) * (1 / classes) ** k * (1 - 1 / classes) ** (batch - k) for k in range(batch + 1)]
    n, weight, means = np.array([batch / classes]), np.ones(1), []
    for _ in range(iterations):
        n = ((1 - gamma) * n[:, None] + gamma * np.arange(batch + 1)).ravel()
        weight = (weight[:, None] * chances).ravel()
        means.append(float(weight @ n**-moment))
    return means


@pytest.mark.parametrize(
    ("classes", "gamma", "moment", "bounded"),
    [(2, 0.5, 1, True), (2, 0.5, 2, False), (2, 0.3, 2, True), (4, 0.5, 1, False), (4, 0.7, 1, False)],
)
def test_powers_of_the_weight_grow_without_bound_exactly_beyond_the_condition(classes, gamma, moment, bounded):
    growth = theory.weight_growth(classes, 2, gamma, moment)
    assert (growth < 1) == bounded
    means = mean_power(2, classes, gamma, moment, 11)
    start = 1.0 if classes == 2 else 2.0**moment
    for t, mean in enumerate(means):
        if bounded:
            assert mean <= max(start, gamma**-moment / (1 - growth)) + 1e-9
        else:
            assert mean >= growth ** (t + 1) * start and (t == 0 or mean - means[t - 1] > 0.1)
