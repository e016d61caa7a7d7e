"""Chapter 3's closed forms, each against a direct sum, a simulation or a search."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dfkd_lib import theory

momenta = st.floats(0, 0.99)
SEEDS = st.integers(0, 2**32)


def normal(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


@given(st.integers(0, 30), st.floats(0, 1), SEEDS)
def test_ema_is_the_weighted_sum_of_its_past(t, momentum, seed):
    theta = normal(seed, t + 1, 3)
    weights = theory.ema_weights(t, momentum)
    assert weights.sum() == pytest.approx(1)
    np.testing.assert_allclose(
        theory.ema(theta, momentum)[t], weights @ theta, atol=1e-12
    )


@given(momenta)
def test_ema_gain_is_the_spectrum_of_the_impulse_response(momentum):
    n = 4096  # 0.99^4096 is 1e-18
    response = (1 - momentum) * momentum ** np.arange(n)
    gain = theory.ema_gain(2 * np.pi * np.fft.fftfreq(n), momentum)
    np.testing.assert_allclose(gain, np.abs(np.fft.fft(response)) ** 2, atol=1e-10)
    # For a periodic function the mean over these frequencies is the integral over ω.
    assert gain.mean() == pytest.approx(theory.white_ratio(momentum))


@given(st.floats(0, 0.9), SEEDS)
def test_a_steady_drift_passes_whole_and_late(momentum, seed):
    velocity = normal(seed, 3)
    theta = np.arange(400)[:, None] * velocity
    averaged = theory.ema(theta, momentum)
    np.testing.assert_allclose(averaged[-1] - averaged[-2], velocity, rtol=1e-9)
    late = theta[-1] - theory.mean_age(momentum) * velocity
    np.testing.assert_allclose(averaged[-1], late, rtol=1e-9)


@given(momenta, st.floats(-0.95, 0.95))
def test_coloured_ratio_is_the_gain_over_the_spectrum(momentum, memory):
    """Autocorrelation β^k means the spectrum (1 − β²) / |1 − β e^−iω|²."""
    omega = (np.arange(100_000) + 0.5) * np.pi / 100_000
    spectrum = (1 - memory**2) / (1 - 2 * memory * np.cos(omega) + memory**2)
    expected = (theory.ema_gain(omega, momentum) * spectrum).mean()
    ratio = theory.coloured_ratio(momentum, memory)
    assert ratio == pytest.approx(expected, rel=1e-6)


def test_autocorrelation_of_drift_noise_and_oscillation():
    drift = np.ones((30, 1)) * normal(0, 4)
    np.testing.assert_allclose(theory.autocorrelation(drift, 20), 1)
    noise = theory.autocorrelation(normal(0, 2000, 50), 5)
    np.testing.assert_allclose(noise[1:], 0, atol=4 / math.sqrt(2000 * 50))
    u = (-1.0) ** np.arange(10)[:, None]
    np.testing.assert_allclose(theory.autocorrelation(u, 3), [1, -1, 1, -1])


@pytest.mark.parametrize("colour", [-0.6, 0.8])
def test_filtered_ratio_is_the_spectrum_weighted_by_the_gain(colour):
    u = theory.ema(normal(0, 8000, 4), colour)  # an AR(1) series
    omega, power = theory.power_spectrum(u)
    by_spectrum = (theory.ema_gain(omega, 0.9) * power).sum() / power.sum()
    ratio = theory.filtered_ratio(u, 0.9)
    assert ratio == pytest.approx(by_spectrum, rel=0.01)
    assert (ratio > theory.white_ratio(0.9)) == (colour > 0)


def test_adam_on_noise_is_torchs_adam():
    w = torch.zeros(512, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([w], lr=1.0, betas=(0.8, 0.999))
    rng, path = np.random.default_rng(0), [np.zeros(512)]
    for rate in (1.0, 0.5):
        optimizer.param_groups[0]["lr"] = rate
        for _ in range(2):
            w.grad = torch.tensor(rng.normal(size=512))
            optimizer.step()
        path.append(w.detach().numpy().copy())
    ours = theory.adam_on_noise(np.array([1.0, 0.5]), 2, beta1=0.8)
    assert ours == pytest.approx(np.diff(np.stack(path), axis=0), abs=1e-9)


@given(st.integers(1, 5), SEEDS)
def test_wasserstein1_is_the_best_of_all_assignments(n, seed):
    x, y = normal(seed, 2, n, 3)
    distance = np.linalg.norm(x[:, None] - y, axis=2)
    orders = itertools.permutations(range(n))
    best = min(distance[np.arange(n), list(order)].mean() for order in orders)
    assert theory.wasserstein1(x, y) == pytest.approx(best)


def test_only_the_same_noise_bounds_the_distance_by_the_mean_move():
    z, other = normal(0, 2, 30, 20)
    move = 0.1 * math.sqrt(20)
    assert theory.wasserstein1(z + 0.1, z) <= move + 1e-12
    assert theory.wasserstein1(other + 0.1, z) > 5 * move


@given(st.integers(2, 40))
def test_simplex_scale_is_attained_by_the_regular_simplex(classes):
    points = np.eye(classes) - 1 / classes
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    apart = [np.linalg.norm(a - b) for a, b in itertools.combinations(points, 2)]
    np.testing.assert_allclose(apart, 2 / theory.simplex_scale(classes))


@given(st.integers(2, 12), st.integers(1, 15), SEEDS)
def test_no_points_do_better_than_the_simplex(classes, d, seed):
    """Rankin: K points of the unit ball have a pair no farther apart than its edges."""
    points = normal(seed, classes, d)
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    pairs = itertools.combinations(points, 2)
    nearest = min(np.linalg.norm(a - b) for a, b in pairs)
    assert nearest <= 2 / theory.simplex_scale(classes) + 1e-12


@given(st.integers(2, 1000))
def test_most_disjoint_balls_inverts_simplex_scale(classes):
    assert theory.most_disjoint_balls(theory.simplex_scale(classes)) == classes
    assert theory.most_disjoint_balls(1.1) == 2
    assert theory.most_disjoint_balls(1.5) == math.inf
