"""Losses of *Momentum Adversarial Distillation* (Do et al. 2022). Means over the batch, natural logarithms."""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F


def kl(teacher: Float[Tensor, "batch classes"], student: Float[Tensor, "batch classes"]) -> Float[Tensor, ""]:
    """KL(p_T ‖ p_S) of the class probabilities, in nats (MAD Eq. 3). Arguments are logits.

    Summed over classes, averaged over images: ABM's public code also divides by the number of classes.
    """
    log_s = F.log_softmax(student, dim=1)
    log_t = F.log_softmax(teacher, dim=1)
    return F.kl_div(log_s, log_t, reduction="batchmean", log_target=True)


def js(teacher: Float[Tensor, "batch classes"], student: Float[Tensor, "batch classes"]) -> Float[Tensor, ""]:
    """Jensen–Shannon divergence of the networks' class probabilities, in nats, at most ln 2 (MAD Section 5.2.3)."""
    log_t, log_s = F.log_softmax(teacher, dim=1), F.log_softmax(student, dim=1)
    log_m = torch.logaddexp(log_t, log_s) - math.log(2)
    to_middle = F.kl_div(log_m, log_t, reduction="batchmean", log_target=True)
    return (to_middle + F.kl_div(log_m, log_s, reduction="batchmean", log_target=True)) / 2


def nll(teacher: Float[Tensor, "batch classes"], y: Int[Tensor, " batch"]) -> Float[Tensor, ""]:
    """−log p_T(y | x): the teacher should see the class the generator was told (MAD Eq. 7)."""
    return F.cross_entropy(teacher, y)


def embedding_norm(e: Float[Tensor, "batch z"], gamma: float) -> Float[Tensor, ""]:
    """max(‖e_y‖ − γ√d, 0): no class embedding leaves the ball of radius γ√d (MAD Eq. 8)."""
    return F.relu(e.norm(dim=1) - gamma * math.sqrt(e.shape[1])).mean()


def logit_bound(logits: Float[Tensor, "batch *shape"], delta: float) -> Float[Tensor, ""]:
    """``max(|logit| − δ, 0)``, averaged over all logits: none leaves [−δ, δ] for free (MAD Eq. 10 and 11).

    For the student's logits, and for the generator's images before their sigmoid. The equations are lost from the text
    we have: this form and δ = 20 are inferred, the weights are ours to choose.
    """
    return F.relu(logits.abs() - delta).mean()


def moment_gaps(
    teacher: nn.Module, x: Float[Tensor, "batch channels height width"]
) -> tuple[Float[Tensor, "batch classes"], list[tuple[Float[Tensor, " _"], Float[Tensor, " _"]]]]:
    """The teacher's logits on x, and for each of its BatchNorm layers by how much the batch's mean and (biased)
    variance of that layer's inputs exceed those stored in training. One pass.
    """
    gaps: list[tuple[Tensor, Tensor]] = []

    def compare(layer: nn.BatchNorm2d, inputs: tuple[Tensor]) -> None:
        x = inputs[0].float() if inputs[0].dtype == torch.bfloat16 else inputs[0]  # its moments have three digits
        var, mean = torch.var_mean(x, dim=(0, 2, 3), correction=0)
        gaps.append((mean - layer.running_mean, var - layer.running_var))

    # One that tracks no statistics has stored nothing.
    layers = [m for m in teacher.modules() if isinstance(m, nn.BatchNorm2d) and m.running_mean is not None]
    handles = [layer.register_forward_pre_hook(compare) for layer in layers]
    try:
        logits = teacher(x)
    finally:  # a hook left behind would hold every later graph alive
        for handle in handles:
            handle.remove()
    if len(gaps) < len(layers):  # a compiled network may not know of its hooks
        raise RuntimeError("BNmm: not every BatchNorm layer of the teacher was seen; run without compiling")
    return logits, gaps


def bn_moments(
    teacher: nn.Module, x: Float[Tensor, "batch channels height width"]
) -> tuple[Float[Tensor, "batch classes"], Float[Tensor, ""]]:
    """The teacher's logits on x, and BNmm: the squared distance of its features' batch moments from those that its
    BatchNorm layers stored in training, summed over layers (MAD Eq. 9). Zero for a teacher without BatchNorm.
    """
    logits, gaps = moment_gaps(teacher, x)
    terms = [gap.square().sum() for layer in gaps for gap in layer]
    return logits, torch.stack(terms).sum() if terms else logits.new_zeros(())
