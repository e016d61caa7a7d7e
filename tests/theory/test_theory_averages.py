"""Chapter 3's closed forms, each against a direct sum, a simulation or a search."""

import math

import numpy as np
import pytest
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
    late = theta[-1] - momentum / (1 - momentum) * velocity
    np.testing.assert_allclose(averaged[-1], late, rtol=1e-9)


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
