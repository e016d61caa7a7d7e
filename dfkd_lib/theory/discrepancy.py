"""Chapter 1: when a generator's mean discrepancy bounds the true one, and what reaches whom of its gradient (DFAD)."""

import math

import numpy as np
from jaxtyping import Float
from numpy import ndarray

# --- The bound (DFAD Eq. 2 to 4) ------------------------------------------------------------------------------------


def discrepancy(
    teacher: Float[ndarray, "points classes"], student: Float[ndarray, "points classes"]
) -> Float[ndarray, " points"]:
    """d(x) = ‖T(x) − S(x)‖₁ / C at every point, in units of the logits (the bracket in DFAD Eq. 2)."""
    return np.abs(teacher - student).mean(1)


def gap(generated: Float[ndarray, " n"], uniform: Float[ndarray, " m"]) -> tuple[float, float]:
    """E_G[d] − E_u[d] from discrepancies on independent samples of the two, and its standard error."""
    parts = [(d.mean(), d.var(ddof=1) / len(d)) for d in (generated, uniform)]
    (on_generated, v), (on_uniform, v_u) = parts
    return float(on_generated - on_uniform), math.sqrt(v + v_u)


def covariance(w: Float[ndarray, " n"], d: Float[ndarray, " n"]) -> tuple[float, float]:
    """Cov_u(w, d) from a sample of the uniform distribution, and its standard error to first order in 1/√n.

    With w = p_G / p_u it equals E_G[d] − E_u[d].
    """
    products = (w - w.mean()) * (d - d.mean())
    return float(products.sum() / (len(w) - 1)), float(products.std(ddof=1) / math.sqrt(len(w)))


def folded_ratio(
    x: Float[ndarray, "points dims"], centres: Float[ndarray, "centres dims"], sigma: float, radius: float
) -> Float[ndarray, " points"]:
    """w at x, against the uniform distribution on [−radius, radius]^dims, of points drawn from `centres`, moved by
    N(0, σ²) in every coordinate, and folded back into the box at its walls: a density for a generator that has none.

    Reflections beyond the sixth box on either side are left out: for σ up to the radius they weigh nothing.
    """
    boxes = 4 * radius * np.arange(-3, 4)
    ratio = np.ones((len(x), len(centres)))
    for here, centre in zip(x.T, centres.T, strict=True):
        mirrored = np.concatenate([boxes[:, None] + centre, boxes[:, None] + 2 * radius - centre])
        distance = (here[:, None, None] - mirrored) / sigma  # (points, reflections, centres)
        density = np.exp(-(distance**2) / 2).sum(1) / (sigma * math.sqrt(2 * math.pi))
        ratio *= 2 * radius * density
    return ratio.mean(1)


def fold(x: Float[ndarray, "*shape"], radius: float) -> Float[ndarray, "*shape"]:
    """Points reflected at the walls of [−radius, radius] until they are inside. It moves no two points apart."""
    return radius - np.abs((x + radius) % (4 * radius) - 2 * radius)


# --- The gradients (DFAD Eq. 6, Section 3.2.1 and Fig. 4) -----------------------------------------------------------


def softmax(logits: Float[ndarray, "images classes"]) -> Float[ndarray, "images classes"]:
    """Class probabilities."""
    e = np.exp(logits - logits.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def logit_gradients(
    teacher: Float[ndarray, "images classes"], student: Float[ndarray, "images classes"]
) -> dict[str, Float[ndarray, "images classes"]]:
    """The gradient of each image's loss in the student's logits, for the four candidates of DFAD Fig. 4.

    MAE's where logits are equal is the subgradient 0, as in torch.
    """
    residual, classes = student - teacher, teacher.shape[1]
    mae, mse = np.sign(residual) / classes, 2 * residual / classes
    return {"mae": mae, "mse": mse, "kl": softmax(student) - softmax(teacher), "mse_mae": mse + mae}


def kl_curvature(p: Float[ndarray, " classes"]) -> Float[ndarray, "classes classes"]:
    """F = diag(p) − ppᵀ: KL(p_T ‖ p_S) is ½ rᵀFr for a small residual r of logits, and its gradient Fr."""
    return np.diag(p) - np.outer(p, p)


def slope(x: Float[ndarray, " n"], y: Float[ndarray, " n"]) -> float:
    """The least-squares slope of log y over log x: the order a of y ∝ x^a. Both positive."""
    return float(np.polyfit(np.log(x), np.log(y), 1)[0])
