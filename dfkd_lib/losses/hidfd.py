"""Losses of *Hybrid Data-Free Knowledge Distillation* (Tang et al. 2025). Means over the batch, natural logarithms.

Eq. 2–7 are theory. Eq. 13 is a weighted sum of what is here: the method makes it.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from ..errors import one_of
from .baselines import log_class_share
from .vectors import distance

# --- ADCGAN (HiDFD Eq. 1) -----------------------------------------------------------------------------------------
# The discriminator gives one logit u with N_D = σ(u), and 2C logits of classes: first C for "real and of class y" (y⁺),
# then C for "fake and of class y" (y⁻).

GAN = ("log", "non_saturating", "hinge")


def gan_discriminator(
    real: Float[Tensor, " real"], fake: Float[Tensor, " fake"], form: str = "log"
) -> Float[Tensor, ""]:
    """−L_d: what the discriminator minimises to tell real from fake, from its logits u (HiDFD Eq. 1).

    ``log`` and ``non_saturating``: −log σ(u_real) − log(1 − σ(u_fake)). ``hinge`` (the public code): the sum of
    max(1 − u_real, 0) and max(1 + u_fake, 0).
    """
    if one_of("form", form, GAN) == "hinge":
        return F.relu(1 - real).mean() + F.relu(1 + fake).mean()
    return F.softplus(-real).mean() + F.softplus(fake).mean()


def gan_generator(fake: Float[Tensor, " fake"], form: str = "log") -> Float[Tensor, ""]:
    """L_g: what the generator minimises to pass for real, from the discriminator's logits u (HiDFD Eq. 1).

    ``log``: log(1 − σ(u)), whose gradient vanishes with σ(u) (HiDFD Eq. 6). ``non_saturating``: −log σ(u).
    ``hinge`` (the public code): −u. Neither of these two vanishes.
    """
    match one_of("form", form, GAN):
        case "log":
            return -F.softplus(fake).mean()
        case "non_saturating":
            return F.softplus(-fake).mean()
        case "hinge":
            return -fake.mean()


def class_discriminator(
    real: Float[Tensor, "real two_classes"],
    y_real: Int[Tensor, " real"],
    fake: Float[Tensor, "fake two_classes"],
    y_fake: Int[Tensor, " fake"],
) -> Float[Tensor, ""]:
    """−E_P log Ψ(y⁺ | x) − E_Q log Ψ(y⁻ | x) (HiDFD Eq. 1, with the sign mended).

    Eq. 1 prints both with a plus: minimised, that trains the classifier to fail. The paper's appendix maximises them,
    and its code has them as here.
    """
    return F.cross_entropy(real, y_real) + F.cross_entropy(fake, y_fake + fake.shape[1] // 2)


def class_generator(fake: Float[Tensor, "fake two_classes"], y: Int[Tensor, " fake"]) -> Float[Tensor, ""]:
    """−E_Q log Ψ(y⁺ | x) + E_Q log Ψ(y⁻ | x) (HiDFD Eq. 1): a difference of logits, so it never saturates."""
    classes = fake.shape[1] // 2
    rows = torch.arange(len(y), device=y.device)
    return (fake[rows, y + classes] - fake[rows, y]).mean()


# --- feature integration (HiDFD Eq. 8 and 9) ----------------------------------------------------------------------
# Features Φ_T of the teacher and Φ_D of the discriminator, the latter projected to the teacher's width: the paper names
# no projector, though the two differ. Row i of `real` and row i of `fake` are of one class.

READINGS = ("formula", "sentence")


def blend_gate(p: Float[Tensor, " batch"], q: float, reading: str = "formula") -> Float[Tensor, " batch"]:
    """I(p > q) for p drawn from U(0, 1): one where an image pair is blended, else zero (HiDFD Eq. 8).

    ``formula``: p > q, so with probability 1 − q, 0.3 at the paper's q = 0.7. ``sentence``: p < q, so "with a
    probability of q" as the text below the equation says. One draw for all images: expand it.
    """
    return (p > q if one_of("reading", reading, READINGS) == "formula" else p < q).to(p.dtype)


def blend(
    teacher_real: Float[Tensor, "batch width"],
    teacher_fake: Float[Tensor, "batch width"],
    discriminator_real: Float[Tensor, "batch width"],
    discriminator_fake: Float[Tensor, "batch width"],
    gate: Float[Tensor, " batch"],
) -> Float[Tensor, ""]:
    """L_blend: Φ_D of fakes drawn to Φ_T of real images, and the other way round (HiDFD Eq. 8).

    The mean runs over all pairs, those with gate 0 too. In the public code this and `transfer` carry no gradient.
    """
    return (gate * (distance(teacher_real, discriminator_fake) + distance(teacher_fake, discriminator_real))).mean()


def transfer(
    teacher_real: Float[Tensor, "batch width"],
    teacher_fake: Float[Tensor, "batch width"],
    discriminator_real: Float[Tensor, "batch width"],
    discriminator_fake: Float[Tensor, "batch width"],
) -> Float[Tensor, ""]:
    """L_trans: Φ_D drawn to Φ_T of the same image, real and fake (HiDFD Eq. 9)."""
    return (distance(teacher_real, discriminator_real) + distance(teacher_fake, discriminator_fake)).mean()


# --- category frequency smoothing ---------------------------------------------------------------------------------


def class_counts(teacher: Float[Tensor, "batch classes"]) -> Float[Tensor, " classes"]:
    """n̄: how many synthetic images the teacher puts into each class (for HiDFD Eq. 10).

    The paper does not say whose class: its code takes the teacher's, and by the label asked for they would be balanced.
    """
    return F.one_hot(teacher.argmax(dim=1), teacher.shape[1]).to(teacher.dtype).sum(dim=0)


def smoothed_counts(
    counts: Float[Tensor, " classes"], made: Float[Tensor, " classes"], gamma: float
) -> Float[Tensor, " classes"]:
    """n^t = (1 − γ) n^{t−1} + γ n̄^{t−1}, from the counts before and what was made in that iteration (HiDFD Eq. 10)."""
    return (1 - gamma) * counts + gamma * made


def class_frequencies(counts: Float[Tensor, " classes"], floor: float) -> Float[Tensor, " classes"]:
    """n̂ = n / Σ n, and at least `floor` times a fair share 1/C (HiDFD Eq. 11; the floor is ours).

    Eq. 12 divides by n̂, and a class that is never made has n̂ → 0: the floor keeps weights to C / floor. What is lifted
    is not taken from the other classes, so the sum may exceed one. ``floor=0`` is the paper's equation.
    """
    return (counts / counts.sum()).clamp_min(floor / len(counts))


def frequency_regulariser(
    teacher: Float[Tensor, "batch classes"], frequencies: Float[Tensor, " classes"]
) -> Float[Tensor, ""]:
    """L_reg = Σ_c p_c log p_c / n̂_c, with p the mean class probabilities of a synthetic batch (HiDFD Eq. 12)."""
    log_p = log_class_share(teacher)
    return (log_p.exp() * log_p / frequencies).sum()


# --- the student --------------------------------------------------------------------------------------------------


def alignment(teacher: Float[Tensor, "batch width"], student: Float[Tensor, "batch width"]) -> Float[Tensor, ""]:
    """L_align: ‖Φ_S(x) − Φ_T(x)‖₂, averaged over images (HiDFD Eq. 14). No logits, no labels: the classifier is shared.

    The public code takes the mean squared error of feature maps instead: `baselines.hint`.
    """
    return distance(teacher, student).mean()
