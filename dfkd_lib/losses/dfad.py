"""Losses of *Data-Free Adversarial Distillation* (Fang et al. 2019)."""

from jaxtyping import Float
from torch import Tensor


def mae(teacher: Float[Tensor, "batch classes"], student: Float[Tensor, "batch classes"]) -> Float[Tensor, ""]:
    """Mean absolute error between raw logits: DFAD's model discrepancy (DFAD Eq. 2 and 5).

    The mean runs over images and classes. No temperature.
    """
    return (teacher - student).abs().mean()
