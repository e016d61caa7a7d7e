"""Chapter 4: HiDFD's category frequency smoothing as a feedback loop (its Eq. 10 to 12).

Shares p of the classes among synthetic images; smoothed frequencies n̂; L_reg = Σ_c p_c log p_c / n̂_c. The model of a
generator: p = softmax(θ), and θ moves down the gradient of L_reg with step η, once per iteration. The frequencies of an
iteration are made of the shares before it, as in `methods.HiDFD`.
"""

import math

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from scipy.optimize import brentq

from .averages import mean_age
from .discrepancy import softmax


def count_age(gamma: float) -> float:
    """1/γ iterations: the mean age of what Eq. 10 remembers. `mean_age` of the average, and one for its delay."""
    return 1 + mean_age(1 - gamma)


# --- The regulariser at given frequencies -----------------------------------------------------------------------------


def preferred_shares(frequencies: Float[ndarray, " classes"]) -> Float[ndarray, " classes"]:
    """The shares that minimise L_reg at given positive frequencies: e^{μ n̂_c − 1}, with μ such that they sum to one."""
    classes = len(frequencies)

    def excess(mu: float) -> float:
        return float(np.exp(mu * frequencies - 1).sum() - 1)

    # At the low end no term exceeds 1/C; at the high one the largest is 1.
    low = min(1.01 * (1 - math.log(classes)) / frequencies.min(), 0.0)
    mu = brentq(excess, low, 1 / frequencies.max(), xtol=1e-14, rtol=1e-14, maxiter=1000)
    return np.exp(mu * frequencies - 1)


def share_gradient(
    theta: Float[ndarray, "*many classes"], frequencies: Float[ndarray, "*many classes"]
) -> Float[ndarray, "*many classes"]:
    """The gradient of L_reg in θ, where p = softmax(θ): p_k (g_k − Σ_c p_c g_c), with g_c = (log p_c + 1) / n̂_c."""
    log_p = theta - np.logaddexp.reduce(theta, axis=-1, keepdims=True)
    p = np.exp(log_p)
    pg = p * (log_p + 1) / frequencies  # in this order: where p is zero, so is the product
    return pg - p * pg.sum(-1, keepdims=True)


def push(p: Float[ndarray, " shares"], classes: int, kind: str, floor: float = 0.0) -> Float[ndarray, " shares"]:
    """−∂L/∂θ of one class with share p, the others sharing the rest alike, once the frequencies have settled.

    ``weights``: L_reg with n̂ = p, and at least floor/C. ``entropy``: Σ p log p · C, as if all frequencies were 1/C.
    """
    rest = (1 - p) / (classes - 1)
    shares = np.stack([p, *[rest] * (classes - 1)], axis=-1)
    n = np.maximum(shares, floor / classes) if kind == "weights" else np.full_like(shares, 1 / classes)
    return -share_gradient(np.log(shares), n)[..., 0]


# --- The loop near balance --------------------------------------------------------------------------------------------


def best_response_factor(classes: int, gamma: float) -> float:
    """1 − γ log C: by what a small imbalance of n̂ is multiplied if the generator minimises L_reg in every iteration."""
    return 1 - gamma * math.log(classes)


def loop_matrix(classes: int, gamma: float, eta: float) -> Float[ndarray, "2 2"]:
    """What takes the small deviations (p_c − 1/C, n̂_c − 1/C) to those of the next iteration."""
    return np.array([[1 - eta, -eta * (math.log(classes) - 1)], [gamma, 1 - gamma]])


def loop_radius(classes: int, gamma: float, eta: float) -> float:
    """The largest modulus of the eigenvalues of `loop_matrix`: below one, balance is stable."""
    return float(np.abs(np.linalg.eigvals(loop_matrix(classes, gamma, eta))).max())


def largest_step(classes: int, gamma: float) -> float:
    """The step η at which balance stops being stable, for at least three classes; infinite if no step does it.

    Two conditions: log C < 1/γ + 1/η, beyond which it oscillates, and (2 − γ log C) η < 4 − 2γ, beyond which
    it changes its sign in every iteration.
    """
    delay = gamma * math.log(classes)
    swing = gamma / (delay - 1) if delay > 1 else math.inf
    flip = (4 - 2 * gamma) / (2 - delay) if delay < 2 else math.inf
    return min(swing, flip)


def balance_loop(
    theta: Float[ndarray, " classes"],
    gamma: float,
    eta: float,
    iterations: int,
    floor: float = 0.0,
    batch: int = 0,
    seed: int = 0,
) -> tuple[Float[ndarray, "iterations_1 classes"], Float[ndarray, "iterations_1 classes"]]:
    """Shares p and frequencies n̂ over iterations, from θ and settled counts: n̂ = p.

    With a `batch` the counts are those of so many images drawn from p, else p itself. `floor` is that of
    `losses.hidfd.class_frequencies`; without one, n̂ is at least 1e-100, so that a class that died stays a number.
    """
    rng, classes = np.random.default_rng(seed), len(theta)
    theta, n = theta.copy(), softmax(theta[None])[0]
    shares, frequencies = np.empty((2, iterations + 1, classes))
    for t in range(iterations + 1):
        p = softmax(theta[None])[0]
        shares[t], frequencies[t] = p, np.maximum(n, max(floor / classes, 1e-100))
        theta -= eta * share_gradient(theta, frequencies[t])
        made = rng.multinomial(batch, p) / batch if batch else p
        n = (1 - gamma) * n + gamma * made
    return shares, frequencies


# --- The weight 1/n̂ of a batch's counts -------------------------------------------------------------------------------


def empty_chance(classes: int, batch: int) -> float:
    """(1 − 1/C)^B: the chance that a balanced batch holds no image of a given class."""
    return (1 - 1 / classes) ** batch


def weight_growth(classes: int, batch: int, gamma: float, moment: int) -> float:
    """P₀ / (1 − γ)^m: E[n̂^−m] stays bounded over the iterations exactly if this is below one (γ < 1)."""
    return empty_chance(classes, batch) / (1 - gamma) ** moment
