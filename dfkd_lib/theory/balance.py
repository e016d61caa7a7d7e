"""Chapter 4: HiDFD's category frequency smoothing as a feedback loop (Eq. 10 to 12).

Class fractions p among the synthetic images, smoothed frequencies n̂, and the
regulariser L_reg = Σ_c p_c log p_c / n̂_c. The model of the generator is p = softmax(θ),
where θ descends the gradient of L_reg with step η, once per iteration.
"""

import math

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from scipy.optimize import brentq
from scipy.special import softmax

Classes = Float[ndarray, " classes"]
Many = Float[ndarray, "*many classes"]
Shares = Float[ndarray, " shares"]


def preferred_shares(frequencies: Classes) -> Classes:
    """The minimiser of L_reg at given positive n̂: e^{μ n̂_c − 1}, of sum one."""

    def excess(mu: float) -> float:
        return float(np.exp(mu * frequencies - 1).sum() - 1)

    # At the low end no term exceeds 1/C; at the high one the largest is 1.
    low = min(1.01 * (1 - math.log(len(frequencies))) / frequencies.min(), 0.0)
    high = 1 / frequencies.max()
    mu = brentq(excess, low, high, xtol=1e-14, rtol=1e-14, maxiter=1000)
    return np.exp(mu * frequencies - 1)


def share_gradient(theta: Many, frequencies: Many) -> Many:
    """∂L_reg/∂θ: p_k (g_k − Σ_c p_c g_c), with g_c = (log p_c + 1) / n̂_c."""
    log_p = theta - np.logaddexp.reduce(theta, axis=-1, keepdims=True)
    p = np.exp(log_p)
    pg = p * (log_p + 1) / frequencies  # in this order: zero where p is zero
    return pg - p * pg.sum(-1, keepdims=True)


def push(p: Shares, classes: int, kind: str, floor: float = 0.0) -> Shares:
    """−∂L/∂θ of one class with fraction p, when the others share the rest equally.

    ``weights``: L_reg at n̂ = max(p, floor/C). ``entropy``: L_reg at n̂ = 1/C.
    """
    rest = (1 - p) / (classes - 1)
    shares = np.stack([p, *[rest] * (classes - 1)], axis=-1)
    n = np.maximum(shares, floor / classes)
    if kind == "entropy":
        n = np.full_like(shares, 1 / classes)
    return -share_gradient(np.log(shares), n)[..., 0]


def loop_radius(classes: int, gamma: float, eta: float) -> float:
    """Spectral radius of the loop linearised at balance; it is stable below one."""
    matrix = [[1 - eta, -eta * (math.log(classes) - 1)], [gamma, 1 - gamma]]
    return float(np.abs(np.linalg.eigvals(matrix)).max())


def largest_step(classes: int, gamma: float) -> float:
    """The step η at which balance becomes unstable, for C ≥ 3; infinite if none does.

    Stable: log C < 1/γ + 1/η (else it oscillates) and (2 − γ log C) η < 4 − 2γ (else it
    changes sign in every iteration).
    """
    delay = gamma * math.log(classes)
    swing = gamma / (delay - 1) if delay > 1 else math.inf
    flip = (4 - 2 * gamma) / (2 - delay) if delay < 2 else math.inf
    return min(swing, flip)


def balance_loop(
    theta: Classes,
    gamma: float,
    eta: float,
    iterations: int,
    floor: float = 0.0,
    batch: int = 0,
    seed: int = 0,
) -> tuple[Float[ndarray, "steps classes"], Float[ndarray, "steps classes"]]:
    """Fractions p and frequencies n̂ over the iterations, starting at θ with n̂ = p.

    `batch`: the counts are those of this many images drawn from p; 0: p itself. n̂ is
    at least floor/C, and at least 1e-100, so that an extinct class stays finite.
    """
    rng, classes = np.random.default_rng(seed), len(theta)
    theta, n = theta.copy(), softmax(theta)
    shares, frequencies = np.empty((2, iterations + 1, classes))
    for t in range(iterations + 1):
        p = softmax(theta)
        shares[t], frequencies[t] = p, np.maximum(n, max(floor / classes, 1e-100))
        theta -= eta * share_gradient(theta, frequencies[t])
        made = rng.multinomial(batch, p) / batch if batch else p
        n = (1 - gamma) * n + gamma * made
    return shares, frequencies


def weight_growth(classes: int, batch: int, gamma: float, moment: int) -> float:
    """(1 − 1/C)^B / (1 − γ)^m: E[n̂^−m] is bounded exactly if this is below 1."""
    return (1 - 1 / classes) ** batch / (1 - gamma) ** moment
