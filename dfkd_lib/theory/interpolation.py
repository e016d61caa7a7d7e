"""Chapter 2: what Mixup measures along a chord, and what a student that fits the teacher's chords becomes (AR+VI).

A chord runs from z, at position 0, to x, at position 1; the mixture λx + (1 − λ)z lies at position λ. The *gap* of a
function is its chord minus itself: λf(x) + (1 − λ)f(z) − f(λx + (1 − λ)z), which AR+VI Eq. 6 asks to be zero.
"""

import numpy as np
from jaxtyping import Float
from numpy import ndarray

# --- One function against its own chord (AR+VI Eq. 5 to 7) ------------------------------------------------------------


def tent(lam: Float[ndarray, "*shape"], t: Float[ndarray, "*shape"]) -> Float[ndarray, "*shape"]:
    """min(λ, t) · (1 − max(λ, t)): the gap at λ of a unit bend at t. Zero at both ends, highest at λ = t.

    It is also the kernel for smooth functions: the gap is ∫ tent(λ, t) g''(t) dt, with g the function along the chord.
    """
    return np.minimum(lam, t) * (1 - np.maximum(lam, t))


def gap_of_bends(
    lam: Float[ndarray, " positions"], t: Float[ndarray, " bends"], changes: Float[ndarray, "bends classes"]
) -> Float[ndarray, "positions classes"]:
    """Σ_j Δ_j tent(λ, t_j): the gap of a continuous, piecewise affine function, exactly, from its slope changes."""
    return tent(*np.broadcast_arrays(lam[:, None], t)) @ changes


def slope_changes(
    t: Float[ndarray, " bends"], values: Float[ndarray, "bends_2 classes"]
) -> Float[ndarray, "bends classes"]:
    """Δ_j at increasing positions t_j in (0, 1), from the values at 0, at every t_j, and at 1.

    Right for functions that are affine between neighbouring positions.
    """
    slopes = np.diff(values, axis=0) / np.diff(np.concatenate([[0.0], t, [1.0]]))[:, None]
    return np.diff(slopes, axis=0)


def mean_weight(a: float) -> float:
    """E[λ(1 − λ)] = a / (2(2a + 1)) for λ ~ Beta(a, a); 1/6 for U(0, 1), which is a = 1. Towards 1/4 for large a."""
    return a / (2 * (2 * a + 1))


def mean_square_weight(a: float) -> float:
    """E[λ²(1 − λ)²] = a(a + 1) / (4(2a + 1)(2a + 3)) for λ ~ Beta(a, a); 1/30 for U(0, 1)."""
    return a * (a + 1) / (4 * (2 * a + 1) * (2 * a + 3))


# --- A student against the teacher's chords (AR+VI Eq. 8 and 9), for T(x) = x² ----------------------------------------


def mixture_density(m: Float[ndarray, " points"]) -> Float[ndarray, " points"]:
    """Density of m = λx + (1 − λ)z on (−1, 1), for x, z ~ U(−1, 1) and λ ~ U(0, 1), independent.

    It is the entropy, in nats, of a coin with probability p = (1 + m)/2.
    """
    p, q = (1 + m) / 2, (1 - m) / 2
    return -p * np.log(p) - q * np.log(q)


def square_bias(m: Float[ndarray, " points"]) -> Float[ndarray, " points"]:
    """E[λx² + (1 − λ)z² | m] − m² on (−1, 1), in that set-up: what fitting the chords of T(x) = x² by MSE adds to T.

    (4/3)(pq + p³ ln p + q³ ln q) / h(p), with p = (1 + m)/2, q = 1 − p and h the `mixture_density`. Highest at m = 0:
    (1 − ln 2) / (3 ln 2) = 0.1476.
    """
    p, q = (1 + m) / 2, (1 - m) / 2
    return 4 / 3 * (p * q + p**3 * np.log(p) + q**3 * np.log(q)) / mixture_density(m)


# --- What the regularisers push for (AR+VI Eq. 2 and 3) ---------------------------------------------------------------


def one_hot_gradient(logits: Float[ndarray, "batch classes"]) -> Float[ndarray, "batch classes"]:
    """Gradient of R_l by each image's logits, without the mean over images: softmax − one-hot of the largest.

    Its norm is at most √2 (1 − p_max): it vanishes where the network is sure.
    """
    p = np.exp(logits - logits.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    p[np.arange(len(p)), logits.argmax(1)] -= 1
    return p
