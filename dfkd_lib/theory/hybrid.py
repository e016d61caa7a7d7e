"""Chapter 4: HiDFD's mixtures of collected and synthetic data, its Eq. 1 to 7 and 14.

Distributions are arrays that sum to one, on a finite set; joint ones have a row per
image and a column per class. The balance of classes is in `balance`.
"""

import math

import numpy as np
from jaxtyping import Float
from numpy import ndarray

Pointwise = Float[ndarray, "*shape"]
PerImage = Float[ndarray, " images"]
Joint = Float[ndarray, "images classes"]
Features = Float[ndarray, "images width"]
Weight = Float[ndarray, "classes width"]
Bias = Float[ndarray, " classes"]


def tvd(p: Float[ndarray, "*many n"], q: Float[ndarray, "*any n"]) -> Pointwise:
    """Total variation distance along the last axis, in [0, 1] (HiDFD Eq. 2)."""
    return np.asarray(np.abs(p - q).sum(-1) / 2)


def inflated_share(collected: int, synthetic: int, repeats: float) -> float:
    """``α = N|D_c| / (N|D_c| + |D_s|)``."""
    return repeats * collected / (repeats * collected + synthetic)


def effective_size(collected: int, synthetic: int, repeats: float) -> float:
    """``(N|D_c| + |D_s|)² / (N²|D_c| + |D_s|)``: Kish's effective sample size."""
    total = repeats * collected + synthetic
    return total**2 / (repeats**2 * collected + synthetic)


def mean_error(
    collected: int, synthetic: int, repeats: float, bias: float, spread: float
) -> float:
    """E[(mean of ℓ over D − E_P ℓ)²]; `bias` E_Q ℓ − E_P ℓ, `spread` the s.d. of ℓ."""
    alpha = inflated_share(collected, synthetic, repeats)
    size = effective_size(collected, synthetic, repeats)
    return ((1 - alpha) * bias) ** 2 + spread**2 / size


def best_inflation(synthetic: int, bias: float, spread: float) -> float:
    """``N* = 1 + |D_s| (bias / spread)²`` minimises `mean_error` for any ``|D_c|``."""
    return 1 + synthetic * (bias / spread) ** 2


def kl_divergence(p: Pointwise, q: Pointwise) -> float:
    """KL(p ‖ q) over all entries, in nats; infinite where only p has mass."""
    here = p > 0
    with np.errstate(divide="ignore"):
        return float((p[here] * np.log(p[here] / q[here])).sum())


def optimal_classifier(p: Joint, q: Joint) -> tuple[Joint, Joint]:
    """Ψ*(y⁺ | x) and Ψ*(y⁻ | x): p(x, y) and q(x, y) over p(x) + q(x) > 0."""
    total = (p + q).sum(1, keepdims=True)
    return p / total, q / total


def class_term(p: Joint, q: Joint) -> float:
    """E_Q[log Ψ*(y⁻ | x) − log Ψ*(y⁺ | x)]: a generator's loss under Ψ* (Eq. 1)."""
    real, fake = optimal_classifier(p, q)
    here = q > 0
    with np.errstate(divide="ignore"):
        return float((q[here] * np.log(fake[here] / real[here])).sum())


def adversarial_term(p: PerImage, q: PerImage) -> float:
    """max_D L_d = 2 JS(P_X, Q_X) − log 4: a generator's loss under D* (Eq. 1)."""
    middle = (p + q) / 2
    return kl_divergence(p, middle) + kl_divergence(q, middle) - math.log(4)


def feature_radius(features: Features, weight: Weight, bias: Bias) -> PerImage:
    """min_k (T_j − T_k) / ‖w_j − w_k‖: the distance to the decision boundary."""
    logits = features @ weight.T + bias
    rows, best = np.arange(len(logits)), logits.argmax(1)
    margin = logits[rows, best][:, None] - logits
    apart = np.linalg.norm(weight[best][:, None] - weight, axis=2)
    apart[rows, best], margin[rows, best] = 1, np.inf
    with np.errstate(divide="ignore", invalid="ignore"):  # equal rows have no boundary
        return np.where(margin > 0, margin / apart, 0.0).min(1)


def norm_radius(features: Features, weight: Weight, bias: Bias) -> PerImage:
    """(T_j − next largest logit) / (2 max_k ‖w_k‖): never above `feature_radius`."""
    logits = np.sort(features @ weight.T + bias, axis=1)
    largest = np.linalg.norm(weight, axis=1).max()
    return (logits[:, -1] - logits[:, -2]) / (2 * largest)


def agreement(
    teacher: Features, student: Features, weight: Weight, bias: Bias
) -> dict[str, float]:
    """Fractions of images with equal answers: guaranteed by either radius; observed."""
    moved = np.linalg.norm(student - teacher, axis=1)
    one, other = ((x @ weight.T + bias).argmax(1) for x in (teacher, student))
    return {
        "by_norms": float((moved < norm_radius(teacher, weight, bias)).mean()),
        "by_distances": float((moved < feature_radius(teacher, weight, bias)).mean()),
        "observed": float((one == other).mean()),
    }


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
