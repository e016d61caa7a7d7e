"""Losses of *Data-Free Adversarial Distillation* (Fang et al. 2019): discrepancies of raw logits, no temperature.

The student minimises a discrepancy (DFAD Eq. 5), the generator its negative (DFAD Eq. 7). Means run over images and
over a network's outputs: classes, and for segmentation the pixels too.
"""

from jaxtyping import Float
from torch import Tensor

from . import mad


def mae(
    teacher: Float[Tensor, "batch classes *pixels"], student: Float[Tensor, "batch classes *pixels"]
) -> Float[Tensor, ""]:
    """Mean absolute error between raw logits: DFAD's model discrepancy (DFAD Eq. 2, 3 and 5).

    The mean runs over images and classes. No temperature.
    """
    return (teacher - student).abs().mean()


def mse(
    teacher: Float[Tensor, "batch classes *pixels"], student: Float[Tensor, "batch classes *pixels"]
) -> Float[Tensor, ""]:
    """Mean squared error between raw logits (DFAD Fig. 4)."""
    return (teacher - student).square().mean()


def mse_mae(
    teacher: Float[Tensor, "batch classes *pixels"], student: Float[Tensor, "batch classes *pixels"]
) -> Float[Tensor, ""]:
    """MSE + MAE, equally weighted: DFAD Fig. 4 names the sum and no weights."""
    return mse(teacher, student) + mae(teacher, student)


def log_mae(
    teacher: Float[Tensor, "batch classes *pixels"], student: Float[Tensor, "batch classes *pixels"]
) -> Float[Tensor, ""]:
    """log(1 + MAE), whose negative DFAD's code gives the generator in segmentation. Not in the paper.

    Its gradient is MAE's, divided by 1 + MAE.
    """
    return mae(teacher, student).log1p()


# The candidates of DFAD Fig. 4.
DISCREPANCIES = {"mae": mae, "mse": mse, "kl": mad.kl, "mse_mae": mse_mae}
