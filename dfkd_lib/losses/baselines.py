"""Losses of the methods that the four papers compare with: DAFL, DeepInversion, KD, FitNets, AT, FT.

The feature losses are means over images *and* elements, as public code has them: published weights are for means.
"""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from . import mad
from .vectors import unit

# --- DAFL (Chen et al. 2019): what its generator minimises ---------------------------------------------------------


def one_hot(teacher: Float[Tensor, "batch classes"]) -> Float[Tensor, ""]:
    """Cross entropy of the teacher's logits against their own argmax: −log max p_T, averaged (DAFL, one-hot term)."""
    return F.cross_entropy(teacher, teacher.argmax(dim=1))


def activation(features: Float[Tensor, "batch *shape"]) -> Float[Tensor, ""]:
    """−‖f_T(x)‖₁, averaged over images (DAFL, activation term).

    DAFL's code divides by the number of a feature's elements as well: divide its weights by that number here.
    """
    return -features.flatten(1).abs().sum(dim=1).mean()


def log_class_share(teacher: Float[Tensor, "batch classes"]) -> Float[Tensor, " classes"]:
    """log of the mean class probabilities over a batch, from logits; finite where a class has probability 0."""
    return F.log_softmax(teacher, dim=1).logsumexp(dim=0) - math.log(len(teacher))


def information_entropy(teacher: Float[Tensor, "batch classes"]) -> Float[Tensor, ""]:
    """−H of the mean class probabilities, in nats: at least −ln C, where all classes are equally frequent (DAFL,
    information entropy term).

    DAFL's code takes the logarithm to base 10, its paper divides by the number of classes.
    """
    log_p = log_class_share(teacher)
    return (log_p.exp() * log_p).sum()


# --- DeepInversion (Yin et al. 2020): what its images minimise -----------------------------------------------------


def total_variation(x: Float[Tensor, "batch channels height width"]) -> Float[Tensor, ""]:
    """Differences between neighbours, across, down and along both diagonals: the sum of four norms, each ‖·‖₂ over the
    *whole* batch, as DeepInversion's code has it; so it grows with the square root of the batch.
    """
    across = x[..., :, 1:] - x[..., :, :-1]
    down = x[..., 1:, :] - x[..., :-1, :]
    falling = x[..., 1:, 1:] - x[..., :-1, :-1]
    rising = x[..., 1:, :-1] - x[..., :-1, 1:]
    return across.norm() + down.norm() + falling.norm() + rising.norm()


def image_norm(x: Float[Tensor, "batch channels height width"]) -> Float[Tensor, ""]:
    """‖x‖₂, averaged over images (DeepInversion, the prior's second term)."""
    return x.flatten(1).norm(dim=1).mean()


def bn_statistics(
    teacher: nn.Module, x: Float[Tensor, "batch channels height width"]
) -> tuple[Float[Tensor, "batch classes"], Float[Tensor, ""]]:
    """The teacher's logits on x, and Σ_l ‖μ_l(x) − μ_l‖₂ + ‖σ²_l(x) − σ²_l‖₂ over its BatchNorm layers
    (DeepInversion, feature term). Norms, where MAD Eq. 9 (`mad.bn_moments`) has their squares: near the stored moments
    the pull does not fade. Zero for a teacher without BatchNorm.
    """
    logits, gaps = mad.moment_gaps(teacher, x)
    terms = [gap.norm() for layer in gaps for gap in layer]
    return logits, torch.stack(terms).sum() if terms else logits.new_zeros(())


def competition(
    teacher: Float[Tensor, "batch classes"], student: Float[Tensor, "batch classes"], temperature: float = 1.0
) -> Float[Tensor, ""]:
    """1 − JS(p_T, p_S), in nats, so in [1 − ln 2, 1]: images on which the networks differ (Adaptive DeepInversion).

    Its code softens both networks by 3, clips probabilities, and swaps the arguments of KL.
    """
    return 1 - mad.js(teacher / temperature, student / temperature)


# --- with data ----------------------------------------------------------------------------------------------------


def kd(
    teacher: Float[Tensor, "batch classes"], student: Float[Tensor, "batch classes"], temperature: float
) -> Float[Tensor, ""]:
    """T² KL(p_T ‖ p_S) of probabilities softened by T (Hinton et al. 2015, Section 2). HiDFD's "VKD".

    T² keeps the gradient from vanishing: at large T it is that of half the squared error of centred logits, over C.
    """
    return temperature**2 * mad.kl(teacher / temperature, student / temperature)


def kd_with_labels(
    teacher: Float[Tensor, "batch classes"],
    student: Float[Tensor, "batch classes"],
    y: Int[Tensor, " batch"],
    temperature: float,
    alpha: float,
) -> Float[Tensor, ""]:
    """α·KD + (1 − α)·cross entropy with the labels, the latter at temperature 1 (Hinton et al. 2015, Section 2)."""
    return alpha * kd(teacher, student, temperature) + (1 - alpha) * F.cross_entropy(student, y)


def hint(teacher: Float[Tensor, "batch *shape"], student: Float[Tensor, "batch *shape"]) -> Float[Tensor, ""]:
    """Mean squared error between a hint layer's features and the student's, behind its regressor (FitNets Eq. 3).

    The equation has ½‖·‖² per image: this, times half the number of a feature's elements.
    """
    return (teacher - student).square().mean()


def attention_map(features: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch pixels"]:
    """Squares summed over channels, then of unit length per image (AT Section 3.1, F²_sum)."""
    return unit(features.square().sum(dim=1).flatten(1))


def attention(
    teacher: Float[Tensor, "batch channels_t height width"], student: Float[Tensor, "batch channels_s height width"]
) -> Float[Tensor, ""]:
    """Mean squared error between attention maps of one pair of layers (Zagoruyko and Komodakis 2017, Eq. 2).

    The equation has the norm per image; its code the mean of squares over images and pixels, for which β = 1000 is.
    """
    return (attention_map(teacher) - attention_map(student)).square().mean()


def paraphrase(
    teacher: Float[Tensor, "batch channels height width"], reconstruction: Float[Tensor, "batch channels height width"]
) -> Float[Tensor, ""]:
    """Mean squared error of the paraphraser's reconstruction of the teacher's features (FT, reconstruction loss)."""
    return (teacher - reconstruction).square().mean()


def factor_transfer(
    teacher: Float[Tensor, "batch channels height width"], student: Float[Tensor, "batch channels height width"]
) -> Float[Tensor, ""]:
    """Mean absolute error between the paraphraser's and the translator's factors, each of unit length per image (Kim et
    al. 2018, factor transfer loss with p = 1). The equation has the sum over a factor's elements.
    """
    return (unit(teacher.flatten(1)) - unit(student.flatten(1))).abs().mean()
