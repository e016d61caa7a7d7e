"""Chapter 3's closed forms, each against a direct sum, a simulation or a search."""

import itertools
import math

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given
from hypothesis import strategies as st

from dfkd_lib import theory

momenta = st.floats(0, 0.99)
SEEDS = st.integers(0, 2**32)


def normal(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


# --- the EMA as a filter ---------------------------------------------------------------------------------------------


@given(st.integers(0, 30), st.floats(0, 1), SEEDS)
def test_ema_is_the_weighted_sum_of_its_past(t, momentum, seed):
    theta = normal(seed, t + 1, 3)
    weights = theory.ema_weights(t, momentum)
    assert weights.sum() == pytest.approx(1)
    np.testing.assert_allclose(theory.ema(theta, momentum)[t], weights @ theta, atol=1e-12)


def test_ema_at_the_ends_of_its_range():
    theta = normal(0, 5, 2)
    np.testing.assert_array_equal(theory.ema(theta, 0.0), theta)
    np.testing.assert_array_equal(theory.ema(theta, 1.0), np.broadcast_to(theta[0], theta.shape))


def test_an_average_that_never_moves_keeps_nothing():
    assert theory.ema_gain(np.linspace(0, np.pi, 5), 1.0).tolist() == [0] * 5
    assert theory.white_ratio(1.0) == theory.filtered_ratio(normal(0, 5, 2), 1.0) == 0


@given(st.floats(0, 0.98))
def test_mean_age(momentum):
    ages = np.arange(5000)
    assert theory.mean_age(momentum) == pytest.approx(((1 - momentum) * momentum**ages * ages).sum(), abs=1e-9)


@given(st.integers(1, 60))
def test_half_life(stages):
    """With this momentum the newest `stages` versions hold exactly half of the weight."""
    momentum = 0.5 ** (1 / stages)
    assert ((1 - momentum) * momentum ** np.arange(stages)).sum() == pytest.approx(0.5)
    assert theory.half_life(momentum) == pytest.approx(stages)


@given(momenta)
def test_ema_gain_is_the_spectrum_of_the_impulse_response(momentum):
    n = 4096  # 0.99^4096 is 1e-18
    response = (1 - momentum) * momentum ** np.arange(n)
    gain = theory.ema_gain(2 * np.pi * np.fft.fftfreq(n), momentum)
    np.testing.assert_allclose(gain, np.abs(np.fft.fft(response)) ** 2, atol=1e-10)
    # The mean over equally spaced frequencies is the integral over ω, for a periodic function.
    assert gain.mean() == pytest.approx(theory.white_ratio(momentum))


@given(momenta, SEEDS)
def test_increments_of_the_average_are_the_averaged_increments(momentum, seed):
    theta = normal(seed, 12, 3).cumsum(0)
    u = np.diff(theta, axis=0)
    expected = (np.diff(theory.ema(theta, momentum), axis=0) ** 2).sum() / (u**2).sum()
    assert theory.filtered_ratio(u, momentum) == pytest.approx(expected)


@pytest.mark.parametrize("momentum", [0.5, 0.9, 0.95])
def test_of_uncorrelated_increments_the_average_keeps_white_ratio(momentum):
    n, coordinates = 5000, 20
    ratio = theory.filtered_ratio(normal(0, n, coordinates), momentum)
    # A mean of squares over about n · coordinates · white_ratio independent values.
    error = math.sqrt(2 / (n * coordinates * theory.white_ratio(momentum)))
    assert ratio == pytest.approx(theory.white_ratio(momentum), rel=4 * error)


def test_white_ratio_of_the_paper():
    assert theory.white_ratio(0.95) == pytest.approx(0.0256, abs=5e-5)


@given(st.floats(0, 0.9), SEEDS)
def test_a_steady_drift_passes_whole_and_late(momentum, seed):
    stages, velocity = 400, normal(seed, 3)
    theta = np.arange(stages)[:, None] * velocity
    averaged = theory.ema(theta, momentum)
    np.testing.assert_allclose(averaged[-1] - averaged[-2], velocity, rtol=1e-9)
    np.testing.assert_allclose(averaged[-1], theta[-1] - theory.mean_age(momentum) * velocity, rtol=1e-9)


@given(momenta, st.floats(-0.95, 0.95))
def test_coloured_ratio_sums_the_filters_answers_to_an_autocorrelation(momentum, memory):
    """Σ_jk h_j h_k β^|j−k| for the impulse response h: the power left of increments with autocorrelation β^k."""
    n = np.arange(2000)
    h = (1 - momentum) * momentum**n
    # ⟨h, h⟩ at lag k is (1 − α)/(1 + α) α^k; both signs of k but for 0.
    lagged = np.array([(h[: len(h) - k] * h[k:]).sum() for k in range(1000)])
    expected = lagged[0] + 2 * (lagged[1:] * memory ** n[1:1000]).sum()
    assert theory.coloured_ratio(momentum, memory) == pytest.approx(expected, rel=1e-6, abs=1e-12)


def test_coloured_ratio_of_an_ar1_series():
    u = theory.ema(normal(0, 20_000, 4), 0.8)
    assert theory.filtered_ratio(u, 0.9) == pytest.approx(theory.coloured_ratio(0.9, 0.8), rel=0.05)


@given(st.integers(1, 20), st.integers(1, 4), SEEDS)
def test_power_spectrum_sums_to_the_mean_square(n, coordinates, seed):
    u = normal(seed, n, coordinates)
    frequency, power = theory.power_spectrum(u)
    assert power.sum() == pytest.approx((u**2).sum(1).mean())
    assert len(frequency) == len(power)


@pytest.mark.parametrize("n", [16, 17])
def test_power_spectrum_finds_an_oscillation(n):
    omega = 2 * math.pi * 5 / n
    frequency, power = theory.power_spectrum(3 * np.cos(omega * np.arange(n))[:, None])
    assert frequency[power.argmax()] == pytest.approx(omega)
    assert power.max() == pytest.approx(4.5)  # a²/2, and nothing elsewhere
    assert power.sum() == pytest.approx(4.5)


def test_autocorrelation_of_drift_and_of_noise():
    np.testing.assert_allclose(theory.autocorrelation(np.ones((30, 1)) * normal(0, 4), 20), 1)
    noise = theory.autocorrelation(normal(0, 2000, 50), 5)
    assert noise[0] == 1
    np.testing.assert_allclose(noise[1:], 0, atol=4 / math.sqrt(2000 * 50))


def test_autocorrelation_of_an_oscillation_alternates():
    u = (-1.0) ** np.arange(10)[:, None]
    np.testing.assert_allclose(theory.autocorrelation(u, 3), [1, -1, 1, -1])


@pytest.mark.parametrize("colour", [-0.6, 0.8])
def test_filtered_ratio_is_the_spectrum_weighted_by_the_gain(colour):
    """Increments that persist pass more easily than increments that alternate; the spectrum says how much."""
    white = normal(0, 8000, 4)
    u = theory.ema(white, colour)  # an AR(1) series
    omega, power = theory.power_spectrum(u)
    by_spectrum = (theory.ema_gain(omega, 0.9) * power).sum() / power.sum()
    ratio = theory.filtered_ratio(u, 0.9)
    assert ratio == pytest.approx(by_spectrum, rel=0.01)
    assert (ratio > theory.white_ratio(0.9)) == (colour > 0)


# --- from parameters to samples --------------------------------------------------------------------------------------


@given(st.integers(1, 5), SEEDS)
def test_wasserstein1_is_the_best_of_all_assignments(n, seed):
    x, y = normal(seed, 2, n, 3)
    distance = np.sqrt(((x[:, None] - y[None]) ** 2).sum(2))
    best = min(distance[np.arange(n), list(order)].mean() for order in itertools.permutations(range(n)))
    assert theory.wasserstein1(x, y) == pytest.approx(best)


@given(st.integers(1, 12), SEEDS, st.floats(0, 3))
def test_wasserstein1_is_at_most_the_mean_move_of_the_same_noise(n, seed, size):
    before, move = normal(seed, 2, n, 4)
    after = before + size * move
    moved = np.sqrt(((after - before) ** 2).sum(1)).mean()
    assert theory.wasserstein1(after, before) <= moved + 1e-12


def test_independent_draws_break_that_bound():
    """A small move of a generator, but fresh noise on one side: the distance is the one between two samples."""
    z, other = normal(0, 2, 30, 20)
    assert theory.wasserstein1(z + 0.1, z) <= 0.1 * math.sqrt(20) + 1e-12
    assert theory.wasserstein1(other + 0.1, z) > 5 * 0.1 * math.sqrt(20)


# --- the bound on class embeddings -----------------------------------------------------------------------------------


def test_volume_scale_of_the_paper():
    assert theory.volume_scale(1000, 256) == pytest.approx(1.0274, abs=5e-5)


@given(st.integers(1, 1000), st.integers(1, 300))
def test_volume_scale_makes_room_for_the_balls(classes, d):
    assert theory.volume_scale(classes, d) ** d == pytest.approx(classes)


@given(st.integers(2, 40))
def test_simplex_scale_is_attained_by_the_regular_simplex(classes):
    points = np.eye(classes) - 1 / classes
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    apart = [np.linalg.norm(a - b) for a, b in itertools.combinations(points, 2)]
    np.testing.assert_allclose(apart, 2 / theory.simplex_scale(classes))


@given(st.integers(2, 12), st.integers(1, 15), SEEDS)
def test_no_points_do_better_than_the_simplex(classes, d, seed):
    """Rankin: within the unit ball, K points have a pair no farther apart than the regular simplex's."""
    points = normal(seed, classes, d)
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    nearest = min(np.linalg.norm(a - b) for a, b in itertools.combinations(points, 2))
    assert nearest <= 2 / theory.simplex_scale(classes) + 1e-12


@pytest.mark.parametrize(("gamma", "balls"), [(1.0, 2), (1.1, 2), (1.2, 3), (1.3, 6), (1.4, 50), (1.5, math.inf)])
def test_most_disjoint_balls(gamma, balls):
    assert theory.most_disjoint_balls(gamma) == balls


@given(st.integers(2, 1000))
def test_most_disjoint_balls_inverts_simplex_scale(classes):
    assert theory.most_disjoint_balls(theory.simplex_scale(classes)) == classes


# --- intervals -------------------------------------------------------------------------------------------------------


@given(st.lists(st.floats(-100, 100), min_size=2, max_size=10, unique=True), st.floats(0.5, 0.999))
def test_mean_interval(values, level):
    mean, half = theory.mean_interval(values, level)
    low, high = scipy.stats.t.interval(level, len(values) - 1, np.mean(values), scipy.stats.sem(values))
    assert (mean - half, mean + half) == pytest.approx((low, high))


def test_one_seed_has_no_interval():
    mean, half = theory.mean_interval([3.0])
    assert mean == 3 and math.isnan(half)


@given(st.floats(0, 0.95), st.floats(0, 0.95))
def test_coloured_ratio_is_the_gain_over_the_spectrum(momentum, memory):
    """Increments with autocorrelation β^k have the spectrum (1 − β²) / |1 − β e^{−iω}|²."""
    omega = (np.arange(100_000) + 0.5) * np.pi / 100_000
    spectrum = (1 - memory**2) / (1 - 2 * memory * np.cos(omega) + memory**2)
    expected = (theory.ema_gain(omega, momentum) * spectrum).mean()
    assert theory.coloured_ratio(momentum, memory) == pytest.approx(expected, rel=1e-6)


def test_adam_without_memory_on_noise_is_noise():
    u = theory.adam_on_noise(np.ones(400), steps=1, beta1=0.0)
    assert np.abs(theory.autocorrelation(u, 5)[1:]).max() < 0.02
    assert theory.filtered_ratio(u, 0.9) == pytest.approx(theory.white_ratio(0.9), rel=0.1)


def test_adams_memory_is_the_correlation_of_its_steps():
    """Behind the start, whose bias correction makes the first steps long."""
    u = theory.adam_on_noise(np.ones(3000), steps=1)[500:]
    assert theory.autocorrelation(u, 5) == pytest.approx(0.9 ** np.arange(6), abs=0.02)


def test_adam_on_noise_is_torchs_adam():
    w = torch.zeros(7, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([w], lr=1.0, betas=(0.8, 0.95))
    rng, path = np.random.default_rng(3), [np.zeros(7)]
    for rate in (1.0, 0.5):
        optimizer.param_groups[0]["lr"] = rate
        for _ in range(2):
            w.grad = torch.tensor(rng.normal(size=7))
            optimizer.step()
        path.append(w.detach().numpy().copy())
    ours = theory.adam_on_noise(np.array([1.0, 0.5]), 2, beta1=0.8, beta2=0.95, coordinates=7, seed=3)
    assert ours == pytest.approx(np.diff(np.stack(path), axis=0), abs=1e-9)
