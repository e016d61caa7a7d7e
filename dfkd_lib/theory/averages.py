"""Chapter 3: the EMA generator as a filter, and how far apart class embeddings can be (MAD)."""

import math

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

# --- The EMA generator as a filter (MAD Eq. 5) ----------------------------------------------------------------------


def ema(theta: Float[ndarray, "stages_1 *shape"], momentum: float) -> Float[ndarray, "stages_1 *shape"]:
    """θ̃_t = α θ̃_{t−1} + (1 − α) θ_t with θ̃_0 = θ_0, for a whole trajectory θ_0 … θ_t (MAD Eq. 5)."""
    averaged = np.empty_like(theta)
    averaged[0] = theta[0]
    for t in range(1, len(theta)):
        averaged[t] = momentum * averaged[t - 1] + (1 - momentum) * theta[t]
    return averaged


def ema_weights(t: int, momentum: float) -> Float[ndarray, " t_1"]:
    """What θ̃_t is made of: α^t of θ_0 and (1 − α) α^{t−k} of θ_k. They sum to one."""
    ages = t - np.arange(t + 1.0)
    weights = (1 - momentum) * momentum**ages
    weights[0] = momentum**t
    return weights


def mean_age(momentum: float) -> float:
    """α / (1 − α) stages: how old the average is once the initial weights are forgotten; how far it trails a drift."""
    return momentum / (1 - momentum) if momentum < 1 else math.inf


def half_life(momentum: float) -> float:
    """ln 2 / −ln α stages, until a version's weight has halved."""
    if momentum in (0, 1):
        return math.inf if momentum else 0.0
    return math.log(2) / -math.log(momentum)


def ema_gain(omega: Float[ndarray, " frequencies"], momentum: float) -> Float[ndarray, " frequencies"]:
    """``|H(ω)|²`` = (1 − α)² / (1 − 2α cos ω + α²), ω in radians per stage: what is left of a frequency's power."""
    if momentum == 1:
        return np.zeros_like(omega)  # an average that never moves; the formula is 0 / 0 at ω = 0
    return (1 - momentum) ** 2 / (1 - 2 * momentum * np.cos(omega) + momentum**2)


def white_ratio(momentum: float) -> float:
    """(1 − α) / (1 + α): the power that the average leaves of uncorrelated increments; the mean of ``|H|²`` over ω."""
    return (1 - momentum) / (1 + momentum)


def coloured_ratio(momentum: float, memory: float) -> float:
    """(1 − α)(1 + αβ) / ((1 + α)(1 − αβ)): what is left of increments with autocorrelation β^k, as Adam makes them."""
    return white_ratio(momentum) * (1 + momentum * memory) / (1 - momentum * memory)


def adam_on_noise(
    learning_rates: Float[ndarray, " stages"],
    steps: int,
    beta1: float = 0.9,
    beta2: float = 0.999,
    coordinates: int = 512,
    seed: int = 0,
) -> Float[ndarray, "stages coordinates"]:
    """Increments per stage of `steps` steps, if every gradient were independent standard normal noise: what Adam's own
    memory does to a movement that nothing guides (Kingma and Ba 2015, Algorithm 1).
    """
    rng = np.random.default_rng(seed)
    m = v = np.zeros(coordinates)
    increments = np.zeros((len(learning_rates), coordinates))
    for t in range(len(learning_rates) * steps):
        g = rng.normal(size=coordinates)
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        step = (m / (1 - beta1 ** (t + 1))) / (np.sqrt(v / (1 - beta2 ** (t + 1))) + 1e-8)
        increments[t // steps] -= learning_rates[t // steps] * step
    return increments


def power_spectrum(
    increments: Float[ndarray, "stages coordinates"],
) -> tuple[Float[ndarray, " frequencies"], Float[ndarray, " frequencies"]]:
    """Frequencies in [0, π] and the power at each, summed over coordinates; the powers sum to the mean ‖u_t‖²."""
    n = len(increments)
    power = (np.abs(np.fft.rfft(increments, axis=0)) ** 2).sum(1) / n**2
    power[1 : (n + 1) // 2] *= 2  # the mirrored, negative frequencies
    return 2 * math.pi * np.fft.rfftfreq(n), power


def autocorrelation(increments: Float[ndarray, "stages coordinates"], lags: int) -> Float[ndarray, " lags_1"]:
    """Mean ⟨u_t, u_{t+k}⟩ / mean ‖u_t‖² for k = 0 … `lags`: 1 at every lag for a drift, 0 beyond 0 for white noise."""
    products = [(increments[: len(increments) - k] * increments[k:]).sum(1).mean() for k in range(lags + 1)]
    return np.array(products) / products[0]


def filtered_ratio(increments: Float[ndarray, "stages coordinates"], momentum: float) -> float:
    """Σ‖ũ_t‖² / Σ‖u_t‖²: the power of the average's increments over the generator's, by filtering them."""
    start = np.zeros_like(increments[:1])
    averaged = ema(np.concatenate([start, increments]), momentum)[1:]
    return float((averaged**2).sum() / (increments**2).sum())


def wasserstein1(x: Float[ndarray, "n pixels"], y: Float[ndarray, "n pixels"]) -> float:
    """W₁ of two empirical distributions of n points each, exactly: the cheapest assignment, Euclidean cost."""
    cost = cdist(x, y)
    return float(cost[linear_sum_assignment(cost)].mean())


# --- The bound on class embeddings (MAD Eq. 8 and Appendix C) -------------------------------------------------------


def volume_scale(classes: int, d: int) -> float:
    """γ = K^{1/d}: in a ball of radius γ√d there is volume for K balls of radius √d. Necessary for disjointness."""
    return classes ** (1 / d)


def simplex_scale(classes: int) -> float:
    """γ = √(2(K − 1)/K): the least γ at which K points within γ√d can be pairwise 2√d apart (needs d ≥ K − 1)."""
    return math.sqrt(2 * (classes - 1) / classes)


def most_disjoint_balls(gamma: float) -> float:
    """How many balls of radius √d with centres within γ√d can be disjoint, at most, for 1 ≤ γ < √2: 2 / (2 − γ²)."""
    return math.floor(2 / (2 - gamma**2) * (1 + 1e-9)) if gamma < math.sqrt(2) else math.inf
