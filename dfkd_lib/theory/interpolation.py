"""Chapter 2: the gap of a function along a chord, and its effect on a student (AR+VI).

A chord runs from z (position 0) to x (position 1). The gap of a function f is
λf(x) + (1 − λ)f(z) − f(λx + (1 − λ)z), which AR+VI Eq. 6 asks to be zero.
"""

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from scipy.special import softmax

Points = Float[ndarray, "*points"]
Logits = Float[ndarray, "images classes"]
Bends = Float[ndarray, " bends"]
Changes = Float[ndarray, "bends classes"]  # of the slope


def gap_of_bends(
    lam: Float[ndarray, " n"], t: Bends, changes: Changes
) -> Float[ndarray, "n classes"]:
    """Σ_j Δ_j min(λ, t_j) (1 − max(λ, t_j)): the exact gap of a piecewise affine f."""
    lam = lam[:, None]
    return np.minimum(lam, t) * (1 - np.maximum(lam, t)) @ changes


def slope_changes(t: Bends, values: Float[ndarray, "bends_2 classes"]) -> Changes:
    """Δ_j at increasing t_j in (0, 1), from the values at 0, at every t_j, and at 1."""
    steps = np.diff(np.concatenate([[0.0], t, [1.0]]))
    return np.diff(np.diff(values, axis=0) / steps[:, None], axis=0)


def one_hot_gradient(logits: Logits) -> Logits:
    """softmax − one-hot of the largest: the gradient of R_l in each image's logits.

    AR+VI Eq. 2. Its norm is at most √2 (1 − p_max).
    """
    p = softmax(logits, 1)
    p[np.arange(len(p)), logits.argmax(1)] -= 1
    return p
