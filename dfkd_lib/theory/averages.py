"""Chapter 3: EMA as a filter (MAD Eq. 5); the bound on embeddings (MAD Eq. 8)."""

import math
from itertools import accumulate

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

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


def mean_age(momentum: float) -> float:
    """α / (1 − α) stages: the mean age of the averaged versions, the lag of a drift."""
    return momentum / (1 - momentum) if momentum < 1 else math.inf


def ema_gain(omega: Frequencies, momentum: float) -> Frequencies:
    """Power gain ``|H(ω)|²`` = (1 − α)² / (1 − 2α cos ω + α²), ω in radians a stage."""
    if momentum == 1:
        return np.zeros_like(omega)  # the formula is 0 / 0 at ω = 0
    return (1 - momentum) ** 2 / (1 - 2 * momentum * np.cos(omega) + momentum**2)


def white_ratio(momentum: float) -> float:
    """(1 − α) / (1 + α): the power that remains of uncorrelated increments."""
    return (1 - momentum) / (1 + momentum)


def coloured_ratio(momentum: float, memory: float) -> float:
    """(1 − α)(1 + αβ) / ((1 + α)(1 − αβ)): the same for an autocorrelation of β^k."""
    return white_ratio(momentum) / white_ratio(momentum * memory)


def adam_on_noise(
    rates: Float[ndarray, " stages"], steps: int, beta1: float = 0.9
) -> Increments:
    """Adam's increments per stage of `steps` steps if all gradients are N(0, 1)."""
    rng, beta2, m, v = np.random.default_rng(0), 0.999, 0, 0
    increments = np.zeros((len(rates), 512))
    for t in range(len(rates) * steps):
        g = rng.normal(size=512)
        m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g**2
        scale = np.sqrt(v / (1 - beta2 ** (t + 1))) + 1e-8
        increments[t // steps] -= rates[t // steps] * m / (1 - beta1 ** (t + 1)) / scale
    return increments


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


def wasserstein1(x: Float[ndarray, "n pixels"], y: Float[ndarray, "n pixels"]) -> float:
    """Exact W₁ of two empirical distributions of n points each, Euclidean cost."""
    cost = cdist(x, y)
    return float(cost[linear_sum_assignment(cost)].mean())


def simplex_scale(classes: int) -> float:
    """γ = √(2(K − 1)/K): least for K points within γ√d to be 2√d apart, d ≥ K − 1."""
    return math.sqrt(2 * (classes - 1) / classes)


def most_disjoint_balls(gamma: float) -> float:
    """How many balls of radius √d, centres within γ√d, are disjoint at most (γ ≥ 1)."""
    room = 2 - gamma**2
    return math.floor(2 / room * (1 + 1e-9)) if room > 0 else math.inf
