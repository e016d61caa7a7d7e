"""Chapter 4: HiDFD's mixtures of collected and synthetic data, its Eq. 1 to 7 and 14.

Distributions are arrays that sum to one; joint ones have a row per image and a column
per class. The second part is Eq. 10 to 12, category frequency smoothing, as a feedback
loop: class fractions p among the synthetic images, smoothed frequencies n̂, and the
regulariser L_reg = Σ_c p_c log p_c / n̂_c. The model of the generator is p = softmax(θ),
where θ descends the gradient of L_reg with step η, once per iteration.
"""

import math

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from scipy.optimize import brentq
from scipy.special import rel_entr

Pointwise = Float[ndarray, "*shape"]
PerImage = Float[ndarray, " images"]
Joint = Float[ndarray, "images classes"]
Features = Float[ndarray, "images width"]
Weight = Float[ndarray, "classes width"]
Classes = Float[ndarray, " classes"]
Many = Float[ndarray, "*many classes"]


def tvd(p: Float[ndarray, "*many n"], q: Float[ndarray, "*any n"]) -> Pointwise:
    """Total variation distance along the last axis, in [0, 1] (HiDFD Eq. 2)."""
    return np.asarray(np.abs(p - q).sum(-1) / 2)


def effective_size(collected: int, synthetic: int, repeats: float) -> float:
    """``(N|D_c| + |D_s|)² / (N²|D_c| + |D_s|)``: Kish's effective sample size."""
    total = repeats * collected + synthetic
    return total**2 / (repeats**2 * collected + synthetic)


def mean_error(
    collected: int, synthetic: int, repeats: float, bias: float, spread: float
) -> float:
    """E[(mean of ℓ over D − E_P ℓ)²]; `bias` E_Q ℓ − E_P ℓ, `spread` the s.d. of ℓ."""
    alpha = repeats * collected / (repeats * collected + synthetic)
    size = effective_size(collected, synthetic, repeats)
    return ((1 - alpha) * bias) ** 2 + spread**2 / size


def kl_divergence(p: Pointwise, q: Pointwise) -> float:
    """KL(p ‖ q) over all entries, in nats; infinite where only p has mass."""
    return float(rel_entr(p, q).sum())


def optimal_classifier(p: Joint, q: Joint) -> tuple[Joint, Joint]:
    """Ψ*(y⁺ | x) and Ψ*(y⁻ | x): p(x, y) and q(x, y) over p(x) + q(x) > 0."""
    total = (p + q).sum(1, keepdims=True)
    return p / total, q / total


def class_term(p: Joint, q: Joint) -> float:
    """E_Q[log Ψ*(y⁻ | x) − log Ψ*(y⁺ | x)]: a generator's loss under Ψ* (Eq. 1)."""
    real, fake = optimal_classifier(p, q)
    return float((rel_entr(fake, real) * (p + q).sum(1, keepdims=True)).sum())


def adversarial_term(p: PerImage, q: PerImage) -> float:
    """max_D L_d = 2 JS(P_X, Q_X) − log 4: a generator's loss under D* (Eq. 1)."""
    middle = (p + q) / 2
    return kl_divergence(p, middle) + kl_divergence(q, middle) - math.log(4)


def feature_radius(features: Features, weight: Weight, bias: Classes) -> PerImage:
    """min_k (T_j − T_k) / ‖w_j − w_k‖: the distance to the decision boundary."""
    logits = features @ weight.T + bias
    rows, best = np.arange(len(logits)), logits.argmax(1)
    margin = logits[rows, best][:, None] - logits
    apart = np.linalg.norm(weight[best][:, None] - weight, axis=2)
    apart[rows, best], margin[rows, best] = 1, np.inf
    with np.errstate(divide="ignore", invalid="ignore"):  # equal rows have no boundary
        return np.where(margin > 0, margin / apart, 0.0).min(1)


def norm_radius(features: Features, weight: Weight, bias: Classes) -> PerImage:
    """(T_j − next largest logit) / (2 max_k ‖w_k‖): never above `feature_radius`."""
    *_, second, first = np.sort(features @ weight.T + bias, axis=1).T
    return (first - second) / (2 * np.linalg.norm(weight, axis=1).max())


def disagreement_bound(radii: PerImage, mean_distance: float) -> float:
    """min over s of (fraction of radii ≤ s) + mean distance / s, at most 1.

    By Markov, no more answers change if features move by `mean_distance` on average.
    """
    s = np.sort(radii)
    # Just below each radius the fraction is constant and the other term is least.
    below = np.searchsorted(s, s, side="left") / len(s)
    with np.errstate(divide="ignore", invalid="ignore"):
        bound = np.where(s > 0, below + mean_distance / s, 1.0)
    return float(min(bound.min(), 1.0))


# --- the balance of classes -----------------------------------------------------------


def preferred_shares(frequencies: Classes) -> Classes:
    """The minimiser of L_reg at given positive n̂: e^{μ n̂_c − 1}, of sum one."""
    # At the low end no term exceeds 1/C; at the high one the largest is 1.
    low = min(1.01 * (1 - math.log(len(frequencies))) / frequencies.min(), 0.0)
    high = 1 / frequencies.max()
    options = {"xtol": 1e-14, "rtol": 1e-14, "maxiter": 1000}
    mu = brentq(lambda m: np.exp(m * frequencies - 1).sum() - 1, low, high, **options)
    return np.exp(mu * frequencies - 1)


def share_gradient(theta: Many, frequencies: Many) -> Many:
    """∂L_reg/∂θ: p_k (g_k − Σ_c p_c g_c), with g_c = (log p_c + 1) / n̂_c."""
    log_p = theta - np.logaddexp.reduce(theta, axis=-1, keepdims=True)
    p = np.exp(log_p)
    pg = p * (log_p + 1) / frequencies  # in this order: zero where p is zero
    return pg - p * pg.sum(-1, keepdims=True)


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
