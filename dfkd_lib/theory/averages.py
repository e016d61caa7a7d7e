"""Chapter 3: EMA as a filter (MAD Eq. 5)."""

import math
from itertools import accumulate

import numpy as np
from jaxtyping import Float
from numpy import ndarray

Trajectory = Float[ndarray, "stages_1 *shape"]
Increments = Float[ndarray, "stages coordinates"]
Frequencies = Float[ndarray, " frequencies"]


def ema(theta: Trajectory, momentum: float) -> Trajectory:
    """θ̃_t = α θ̃_{t−1} + (1 − α) θ_t, θ̃_0 = θ_0, for all of θ_0 … θ_t (MAD Eq. 5)."""
    steps = accumulate(theta, lambda old, new: momentum * old + (1 - momentum) * new)
    return np.stack([*steps])


def ema_weights(t: int, momentum: float) -> Float[ndarray, " t_1"]:
    """The weights of θ_0 … θ_t in θ̃_t: α^t, then (1 − α) α^{t−k}. Their sum is one."""
    fresh = (1 - momentum) * momentum ** np.arange(t - 1.0, -1, -1)
    return np.append(momentum**t, fresh)


def ema_gain(omega: Frequencies, momentum: float) -> Frequencies:
    """Power gain ``|H(ω)|²`` = (1 − α)² / (1 − 2α cos ω + α²), ω in radians a stage."""
    if momentum == 1:
        return np.zeros_like(omega)  # the formula is 0 / 0 at ω = 0
    return (1 - momentum) ** 2 / (1 - 2 * momentum * np.cos(omega) + momentum**2)


def white_ratio(momentum: float) -> float:
    """(1 − α) / (1 + α): the power that remains of uncorrelated increments."""
    return (1 - momentum) / (1 + momentum)


def power_spectrum(increments: Increments) -> tuple[Frequencies, Frequencies]:
    """Frequencies in [0, π], and the power at each; their sum is the mean ‖u_t‖²."""
    n = len(increments)
    power = (np.abs(np.fft.rfft(increments, axis=0)) ** 2).sum(1) / n**2
    power[1 : (n + 1) // 2] *= 2  # the mirrored, negative frequencies
    return 2 * math.pi * np.fft.rfftfreq(n), power


def autocorrelation(increments: Increments, lags: int) -> Float[ndarray, " lags_1"]:
    """Mean ⟨u_t, u_{t+k}⟩ / mean ‖u_t‖² for k = 0 … `lags`."""
    u, n = increments, len(increments)
    products = [(u[: n - k] * u[k:]).sum(1).mean() for k in range(lags + 1)]
    return np.array(products) / products[0]


def filtered_ratio(increments: Increments, momentum: float) -> float:
    """Σ‖ũ_t‖² / Σ‖u_t‖²: the power of the averaged increments over the original one."""
    averaged = ema(np.concatenate([0 * increments[:1], increments]), momentum)
    return float((averaged**2).sum() / (increments**2).sum())
