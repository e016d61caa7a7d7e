"""Losses of *Enhancing Data-Free Adversarial Distillation with Activation Regularization and Virtual Interpolation*
(Qu et al. 2021). The paper leaves open all weights, the distribution of λ, and the discrepancy of Eq. 7–9.
"""

from collections.abc import Callable

from jaxtyping import Float
from torch import Tensor

from . import baselines

Discrepancy = Callable[[Tensor, Tensor], Tensor]  # of two networks' logits, the target first: dfad.mae, mad.kl, …


def logit_activation(teacher: Float[Tensor, "batch classes"]) -> Float[Tensor, ""]:
    """R_l: cross entropy of the teacher's logits against its own answer (AR+VI Eq. 2); DAFL's one-hot term.

    Its gradient by the logits, softmax − one-hot, vanishes where the teacher is sure.
    """
    return baselines.one_hot(teacher)


def feature_activation(features: Float[Tensor, "batch *shape"]) -> Float[Tensor, ""]:
    """R_m: −‖f_T(x)‖₁, averaged over images (AR+VI Eq. 3); DAFL's activation term. Unbounded below.

    The norm is the plain sum over a feature's elements: the paper names no scale, so a weight depends on the width.
    Which features are meant is open too.
    """
    return baselines.activation(features)


def mixup(
    x: Float[Tensor, "batch *shape"], z: Float[Tensor, "batch *shape"], lam: Float[Tensor, " batch"]
) -> Float[Tensor, "batch *shape"]:
    """λx + (1 − λ)z with each image's own λ (AR+VI Eq. 4). λ = 1 gives x and λ = 0 gives z, bit for bit."""
    return z.lerp(x, lam.reshape(-1, *[1] * (x.ndim - 1)))


def chord(
    at_x: Float[Tensor, "batch *shape"], at_z: Float[Tensor, "batch *shape"], lam: Float[Tensor, " batch"]
) -> Float[Tensor, "batch *shape"]:
    """λf(x) + (1 − λ)f(z), from a network's outputs at both ends (AR+VI Eq. 6, left side)."""
    return mixup(at_x, at_z, lam)


def linearity_gap(
    at_x: Float[Tensor, "batch classes"],
    at_z: Float[Tensor, "batch classes"],
    at_mixture: Float[Tensor, "batch classes"],
    lam: Float[Tensor, " batch"],
    discrepancy: Discrepancy,
) -> Float[Tensor, ""]:
    """L(f(λx + (1 − λ)z), λf(x) + (1 − λ)f(z)): one network against its own chord (AR+VI Eq. 7).

    Under MAE or MSE it is zero for all pairs and all λ only where f is affine between the points.
    """
    return discrepancy(chord(at_x, at_z, lam), at_mixture)


def interpolation(
    teacher_x: Float[Tensor, "batch classes"],
    teacher_z: Float[Tensor, "batch classes"],
    student_mixture: Float[Tensor, "batch classes"],
    lam: Float[Tensor, " batch"],
    discrepancy: Discrepancy,
) -> Float[Tensor, ""]:
    """L(f_S(λx + (1 − λ)z), λf_T(x) + (1 − λ)f_T(z)): the student against the teacher's chord (AR+VI Eq. 8 and 9).

    Eq. 9 is Eq. 8 on generated images. A student equal to the teacher keeps the teacher's own linearity gap.
    """
    return discrepancy(chord(teacher_x, teacher_z, lam), student_mixture)
