"""Students' losses that HiDFD's ablation (Table 2) compares with: DKD, NKD, CC, RKD. VKD is `baselines.kd`.

Its OFAKD, SemCKD and CATKD need networks of their own, and are left out.
"""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from .vectors import unit


def _without(logits: Float[Tensor, "batch classes"], y: Int[Tensor, " batch"]) -> Float[Tensor, "batch others"]:
    """The logits of all classes but y."""
    index = torch.arange(logits.shape[1] - 1, device=y.device)
    return logits.gather(1, index + (index >= y[:, None]))  # not a mask: that would wait for the GPU


def _target_or_not(logits: Float[Tensor, "batch classes"], y: Int[Tensor, " batch"]) -> Float[Tensor, "batch 2"]:
    """log p_y and log(1 − p_y), the latter from the other classes: exact where p_y rounds to one."""
    log_p = F.log_softmax(logits, dim=1)
    return torch.stack([log_p.gather(1, y[:, None])[:, 0], _without(log_p, y).logsumexp(dim=1)], dim=1)


def dkd(
    teacher: Float[Tensor, "batch classes"],
    student: Float[Tensor, "batch classes"],
    y: Int[Tensor, " batch"],
    temperature: float,
    alpha: float,
    beta: float,
) -> Float[Tensor, ""]:
    """T² (α·TCKD + β·NCKD): KL of "class y or not", and KL among the other classes (Zhao et al. 2022, DKD).

    KD is the same sum with weights 1 and 1 − p_T(y), image by image. Two classes at least.
    """
    teacher, student = teacher / temperature, student / temperature
    target = F.kl_div(_target_or_not(student, y), _target_or_not(teacher, y), reduction="batchmean", log_target=True)
    log_t, log_s = (F.log_softmax(_without(logits, y), dim=1) for logits in (teacher, student))
    others = F.kl_div(log_s, log_t, reduction="batchmean", log_target=True)
    return temperature**2 * (alpha * target + beta * others)


def nkd(
    teacher: Float[Tensor, "batch classes"],
    student: Float[Tensor, "batch classes"],
    y: Int[Tensor, " batch"],
    temperature: float = 1.0,
    gamma: float = 1.5,
) -> Float[Tensor, ""]:
    """−p_T(y) log p_S(y) − γT² Σ_{c≠y} q_T(c) log q_S(c), averaged over images (Yang et al. 2023, NKD).

    q are the probabilities among the other classes, softened by T; p is not softened. At equality the loss is
    not zero. Two classes at least.
    """
    log_p = F.log_softmax(student, dim=1).gather(1, y[:, None])[:, 0]
    p = teacher.softmax(dim=1).gather(1, y[:, None])[:, 0]
    q = (_without(teacher, y) / temperature).softmax(dim=1)
    log_q = F.log_softmax(_without(student, y) / temperature, dim=1)
    return -(p * log_p).mean() - gamma * temperature**2 * (q * log_q).sum(dim=1).mean()


def correlations(features: Float[Tensor, "batch width"], gamma: float, order: int) -> Float[Tensor, "batch batch"]:
    """The Gaussian kernel exp(−γ‖f_i − f_j‖²) of unit features, its Taylor series in ⟨f_i, f_j⟩ cut behind `order`."""
    f = unit(features)
    cosines = f @ f.T
    series = [(2 * gamma) ** p / math.factorial(p) * cosines**p for p in range(order + 1)]
    return math.exp(-2 * gamma) * torch.stack(series).sum(dim=0)


def cc(
    teacher: Float[Tensor, "batch width_t"],
    student: Float[Tensor, "batch width_s"],
    gamma: float = 0.4,
    order: int = 2,
) -> Float[Tensor, ""]:
    """Mean squared error of the two networks' correlations between the batch's images (Peng et al. 2019, CC).

    γ and the order are those of public reimplementations. A widely copied code under this name multiplies neighbours'
    errors instead, and is not this loss.
    """
    return (correlations(teacher, gamma, order) - correlations(student, gamma, order)).square().mean()


def _relative_distances(features: Float[Tensor, "batch width"]) -> Float[Tensor, "batch batch"]:
    """‖f_i − f_j‖₂, over its mean over pairs of distinct images."""
    n = len(features)
    d = torch.cdist(features, features, compute_mode="donot_use_mm_for_euclid_dist")
    mean = d.sum() / max(n * (n - 1), 1)
    return d / mean.clamp_min(torch.finfo(d.dtype).tiny)  # one image, or all features equal


def rkd_distance(teacher: Float[Tensor, "batch width_t"], student: Float[Tensor, "batch width_s"]) -> Float[Tensor, ""]:
    """Huber loss between relative distances, averaged over all n² pairs (Park et al. 2019, distance-wise RKD).

    As in its code; an image with itself adds nothing. Its usual weight is 25.
    """
    return F.smooth_l1_loss(_relative_distances(student), _relative_distances(teacher))


def _cosines(features: Float[Tensor, "batch width"]) -> Float[Tensor, "batch batch batch"]:
    """cos of the angle at the first image between the directions to the second and to the third."""
    directions = unit(features[None] - features[:, None])
    return directions @ directions.mT


def rkd_angle(teacher: Float[Tensor, "batch width_t"], student: Float[Tensor, "batch width_s"]) -> Float[Tensor, ""]:
    """Huber loss between cosines of angles, averaged over all n³ triples (Park et al. 2019, angle-wise RKD).

    As in its code; triples with an image twice add nothing. Its usual weight is 50. Memory grows with n²·width + n³.
    """
    return F.smooth_l1_loss(_cosines(student), _cosines(teacher))
