"""Chapter 4: what a mixture of collected and synthetic data is near to, what it costs, what trains the generator, and
what a shared classifier guarantees (HiDFD). The balance of classes is in `balance`.

Distributions are arrays that sum to one, on a finite set; joint ones have a row per image and a column per class.
"""

import math

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

# --- The hybrid data (HiDFD Eq. 2 to 5) -------------------------------------------------------------------------------


def tvd(p: Float[ndarray, "*many points"], q: Float[ndarray, "*any points"]) -> Float[ndarray, "*result"]:
    """Total variation distance: half the sum of ``|p − q|`` along the last axis, in [0, 1] (HiDFD Eq. 2)."""
    return np.asarray(np.abs(p - q).sum(-1) / 2)


def hybrid(
    p: Float[ndarray, " points"], q: Float[ndarray, " points"], alpha: Float[ndarray, "*shape"]
) -> Float[ndarray, "*shape points"]:
    """U = αP + (1 − α)Q, for every α (HiDFD, above Eq. 2)."""
    return alpha[..., None] * p + (1 - alpha[..., None]) * q


def tvd_bound(alpha: Float[ndarray, "*shape"], distance: float) -> Float[ndarray, "*shape"]:
    """(2 − α) TVD(P, Q): the paper's bound on TVD(U, Q) (HiDFD Eq. 5). The distance itself is α TVD(P, Q)."""
    return (2 - alpha) * distance


def loss_gap_bound(alpha: float, loss_range: float, collected_synthetic: float, own_collected: float = 0.0) -> float:
    """range(ℓ) (TVD(O, P) + (1 − α) TVD(P, Q)): how far the mean loss on the hybrid can be from that on O, the
    teacher's own data. Without the last distance: from that on the collected data.
    """
    return loss_range * (own_collected + (1 - alpha) * collected_synthetic)


# --- Inflation, and its price (HiDFD "Student Distillation") ----------------------------------------------------------


def inflated_share(collected: int, synthetic: int, repeats: float) -> float:
    """``α = N|D_c| / (N|D_c| + |D_s|)``."""
    return repeats * collected / (repeats * collected + synthetic)


def effective_size(collected: int, synthetic: int, repeats: float) -> float:
    """``(N|D_c| + |D_s|)² / (N²|D_c| + |D_s|)``: of how many images, once each, the mean has the same variance.

    For independent images whose losses have one variance. It is Kish's effective sample size of weights N and 1.
    """
    return (repeats * collected + synthetic) ** 2 / (repeats**2 * collected + synthetic)


def mean_error(collected: int, synthetic: int, repeats: float, bias: float, spread: float) -> float:
    """E[(mean of ℓ over D − E_P ℓ)²], with `bias` = E_Q ℓ − E_P ℓ and `spread` the standard deviation of ℓ."""
    alpha = inflated_share(collected, synthetic, repeats)
    return ((1 - alpha) * bias) ** 2 + spread**2 / effective_size(collected, synthetic, repeats)


def best_inflation(synthetic: int, bias: float, spread: float) -> float:
    """``N* = 1 + |D_s| (bias / spread)²``: what minimises `mean_error`. The number of collected images is not in it."""
    return 1 + synthetic * (bias / spread) ** 2


# --- What the class terms ask of a generator (HiDFD Eq. 1, 7 and appendix) --------------------------------------------


def kl_divergence(p: Float[ndarray, "*shape"], q: Float[ndarray, "*shape"]) -> float:
    """KL(p ‖ q) over all entries, in nats; infinite where p has mass and q has none."""
    here = p > 0
    if (q[here] == 0).any():
        return math.inf
    return float((p[here] * np.log(p[here] / q[here])).sum())


def optimal_classifier(
    p: Float[ndarray, "images classes"], q: Float[ndarray, "images classes"]
) -> tuple[Float[ndarray, "images classes"], Float[ndarray, "images classes"]]:
    """Ψ*(y⁺ | x) and Ψ*(y⁻ | x): p(x, y) and q(x, y) over p(x) + q(x). Every image must occur in one of the two."""
    total = (p + q).sum(1, keepdims=True)
    return p / total, q / total


def class_term(p: Float[ndarray, "images classes"], q: Float[ndarray, "images classes"]) -> float:
    """E_Q[log Ψ*(y⁻ | x) − log Ψ*(y⁺ | x)]: what a generator minimises under the optimal classifier (Eq. 1)."""
    real, fake = optimal_classifier(p, q)
    here = q > 0
    if (real[here] == 0).any():
        return math.inf
    return float((q[here] * np.log(fake[here] / real[here])).sum())


def class_parts(p: Float[ndarray, "images classes"], q: Float[ndarray, "images classes"]) -> tuple[float, float]:
    """KL(Q_Y ‖ P_Y), and the mean over Q_Y of KL(Q_{X|Y} ‖ P_{X|Y}): together KL(Q_XY ‖ P_XY) (HiDFD Eq. 7).

    Needs KL(Q_XY ‖ P_XY) to be finite.
    """
    p_y, q_y = p.sum(0), q.sum(0)
    within = [share * kl_divergence(q[:, y] / share, p[:, y] / p_y[y]) for y, share in enumerate(q_y) if share > 0]
    return kl_divergence(q_y, p_y), sum(within)


def adversarial_term(p: Float[ndarray, " images"], q: Float[ndarray, " images"]) -> float:
    """max_D L_d = 2 JS(P_X, Q_X) − log 4: what a generator minimises under the optimal discriminator (Eq. 1)."""
    middle = (p + q) / 2
    return kl_divergence(p, middle) + kl_divergence(q, middle) - math.log(4)


# --- How much of the generator's gradient is left (HiDFD Eq. 6) -------------------------------------------------------


def generator_slopes(d: Float[ndarray, "*shape"]) -> dict[str, Float[ndarray, "*shape"]]:
    """The length of each loss's gradient in the discriminator's logits, where it says "real" with probability D.

    The first three by the one logit u with D = σ(u); ``classes`` by the two logits of the class asked for.
    """
    one = np.ones_like(d)
    return {"log": d, "non_saturating": 1 - d, "hinge": one, "classes": math.sqrt(2) * one}


# --- What a shared classifier guarantees (HiDFD Eq. 14) ---------------------------------------------------------------


def feature_radius(
    features: Float[ndarray, "images width"], weight: Float[ndarray, "classes width"], bias: Float[ndarray, " classes"]
) -> Float[ndarray, " images"]:
    """min over k ≠ j of (T_j − T_k) / ‖w_j − w_k‖, with j the largest logit: how far features must at least move
    until the answer may change. It is the distance to the nearest decision boundary.
    """
    logits = features @ weight.T + bias
    rows, best = np.arange(len(logits)), logits.argmax(1)
    margin = logits[rows, best][:, None] - logits
    apart = np.linalg.norm(weight[best][:, None] - weight, axis=2)
    apart[rows, best], margin[rows, best] = 1, np.inf
    with np.errstate(divide="ignore", invalid="ignore"):  # two equal rows: no boundary between them, unless tied
        return np.where(margin > 0, margin / apart, 0.0).min(1)


def norm_radius(
    features: Float[ndarray, "images width"], weight: Float[ndarray, "classes width"], bias: Float[ndarray, " classes"]
) -> Float[ndarray, " images"]:
    """(T_j − the next largest logit) / (2 max_k ‖w_k‖): a cruder `feature_radius`, never larger."""
    logits = np.sort(features @ weight.T + bias, axis=1)
    return (logits[:, -1] - logits[:, -2]) / (2 * np.linalg.norm(weight, axis=1).max())


def agreement(
    teacher: Float[ndarray, "images width"],
    student: Float[ndarray, "images width"],
    weight: Float[ndarray, "classes width"],
    bias: Float[ndarray, " classes"],
) -> dict[str, float]:
    """Shares of images: on which equal answers are guaranteed by the norms of the classifier's rows, by the distances
    between them (`feature_radius`), and on which the answers are equal.
    """
    moved = np.linalg.norm(student - teacher, axis=1)
    same: Bool[ndarray, " images"] = (teacher @ weight.T + bias).argmax(1) == (student @ weight.T + bias).argmax(1)
    return {
        "by_norms": float((moved < norm_radius(teacher, weight, bias)).mean()),
        "by_distances": float((moved < feature_radius(teacher, weight, bias)).mean()),
        "observed": float(same.mean()),
    }


def disagreement_bound(radii: Float[ndarray, " images"], mean_distance: float) -> float:
    """min over s of (share of radii ≤ s) + mean distance / s: no more images than this can change their answer, if
    their features move by `mean_distance` on average (Markov). At most 1.
    """
    s = np.sort(radii)
    # Just below each radius the share of smaller ones is constant and the other term least.
    below = np.searchsorted(s, s, side="left") / len(s)
    with np.errstate(divide="ignore", invalid="ignore"):
        bound = np.where(s > 0, below + mean_distance / s, 1.0)
    return float(min(bound.min(), 1.0))
