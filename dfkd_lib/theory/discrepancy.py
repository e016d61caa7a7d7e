"""Chapter 1: DFAD's bound (Eq. 2 to 4), and its losses' gradients (Eq. 6, Fig. 4)."""

import math

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from scipy.special import softmax

Logits = Float[ndarray, "images classes"]
Sample = Float[ndarray, " n"]


def discrepancy(teacher: Logits, student: Logits) -> Float[ndarray, " images"]:
    """d(x) = ‖T(x) − S(x)‖₁ / C for every image, in logits (DFAD Eq. 2)."""
    return np.abs(teacher - student).mean(1)


def gap(generated: Sample, uniform: Float[ndarray, " m"]) -> tuple[float, float]:
    """E_G[d] − E_u[d] from independent samples of both, and its standard error."""
    error = math.hypot(*(d.std(ddof=1) / len(d) ** 0.5 for d in (generated, uniform)))
    return float(generated.mean() - uniform.mean()), error


def covariance(w: Sample, d: Sample) -> tuple[float, float]:
    """Cov_u(w, d) from a uniform sample, and its standard error to first order in 1/√n.

    With w = p_G / p_u it equals E_G[d] − E_u[d].
    """
    products = (w - w.mean()) * (d - d.mean())
    error = products.std(ddof=1) / math.sqrt(len(w))
    return float(products.sum() / (len(w) - 1)), float(error)


def logit_gradients(teacher: Logits, student: Logits) -> dict[str, Logits]:
    """Gradients of each image's loss in the student's logits, for DFAD Fig. 4's losses.

    For MAE at equal logits it is the subgradient 0, as in torch.
    """
    residual, classes = student - teacher, teacher.shape[1]
    mae, mse = np.sign(residual) / classes, 2 * residual / classes
    kl = softmax(student, 1) - softmax(teacher, 1)
    return {"mae": mae, "mse": mse, "kl": kl, "mse_mae": mse + mae}
