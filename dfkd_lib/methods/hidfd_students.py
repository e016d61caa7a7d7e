"""How HiDFD's student learns: Eq. 14, and the losses that Table 2 compares it with.

- ``align``: features drawn to the teacher's, before the teacher's classifier (Eq. 14);
- ``simkd``: maps drawn to the teacher's, before all that the teacher has after them
  (the public code; Chen et al. 2022);
- ``kd``, ``dkd``, ``nkd``, ``cc``, ``rkd``: the student's own classifier learns; CC and
  RKD are added to KD, with the weights of their own papers.
"""

import copy
import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import UserError
from ..losses import Images, Labels, Logits, Rows, Scalar, distance, kd, mse, unit
from ..models import Classifier, classifier_of, embedding_and_logits


def student_for(
    name: str, student: Classifier, teacher: nn.Module, shape: tuple[int, int, int]
) -> nn.Module:
    """The student as it is, or before what it shares with the fixed teacher."""
    if name == "simkd":
        return _simkd(student, teacher, shape)
    if name != "align":
        return student
    classifier = copy.deepcopy(classifier_of(teacher)).requires_grad_(False)
    have, want = student.classifier.in_features, classifier.in_features
    project = [] if have == want else [nn.Linear(have, want)]
    return _like(student, nn.Sequential(*student.features, *project), classifier)


def student_terms(
    name: str,
    temperature: float,
    teacher: nn.Module,
    student: nn.Module,
    x: Images,
    y: Labels,
) -> dict[str, Tensor]:
    """The named terms of the student's loss on a batch."""
    if name == "simkd":
        with torch.no_grad():
            wanted = teacher.stages(x).maps[-1]
        return {"maps": mse(wanted, student.stages(x).maps[-1])}
    with torch.no_grad():
        wanted, answers = embedding_and_logits(teacher, x)
    features, logits = embedding_and_logits(student, x)
    if name == "align":
        return {"L_align": alignment(wanted, features)}
    if name == "dkd":
        return {"DKD": dkd(answers, logits, y, temperature, alpha=1.0, beta=8.0)}
    if name == "nkd":
        return {"NKD": nkd(answers, logits, y)}
    terms = {"KL": kd(answers, logits, temperature)}
    if name == "cc":
        terms["CC"] = cc(wanted, features)
    if name == "rkd":
        terms["distances"] = 25 * rkd_distance(wanted, features)
        terms["angles"] = 50 * rkd_angle(wanted, features)
    return terms


def merged(name: str, student: nn.Module) -> nn.Module:
    """The student with a linear projector and the linear classifier made one."""
    if name != "align" or not isinstance(student.features[-1], nn.Linear):
        return student
    *features, project = copy.deepcopy(student.features)
    last = copy.deepcopy(student.classifier)
    with torch.no_grad():
        weight, bias = last.weight @ project.weight, last.weight @ project.bias
        bias += 0 if last.bias is None else last.bias
    one = nn.Linear(project.in_features, last.out_features)
    one.weight, one.bias = nn.Parameter(weight), nn.Parameter(bias)
    return _like(student, nn.Sequential(*features), one)


def _like(student: Classifier, features: nn.Sequential, last: nn.Linear) -> Classifier:
    sizes = student.size, student.smallest
    return Classifier(features, last, student.cuts, *sizes)


def _simkd(
    student: Classifier, teacher: nn.Module, shape: tuple[int, int, int]
) -> Classifier:
    """The student's maps, a projector of convolutions, and the teacher's end."""
    if not isinstance(teacher, Classifier):
        raise UserError(
            "distill: simkd looks inside the teacher and knows only the library's own "
            "networks; give align"
        )
    device = next(teacher.parameters()).device
    x = torch.zeros(2, *shape, device=device)
    with torch.no_grad():  # in evaluation mode: zeros must not move any statistics
        have, want = (n.eval().stages(x).maps[-1].shape[1:] for n in (student, teacher))
    if have[1:] != want[1:]:
        raise UserError(
            f"distill: simkd needs maps of one size; the student's last have {have[1]} "
            f"pixels a side, the teacher's {want[1]}; give align, or another student"
        )
    cut, end = student.cuts[-1] + 1, copy.deepcopy(teacher).requires_grad_(False)
    hidden = max(want[0] // 2, 1)
    projector = nn.Sequential(
        nn.Conv2d(have[0], hidden, 1, bias=False), nn.BatchNorm2d(hidden), nn.ReLU(),
        nn.Conv2d(hidden, hidden, 3, 1, 1, bias=False), nn.BatchNorm2d(hidden),
        nn.ReLU(),
        nn.Conv2d(hidden, want[0], 1, bias=False), nn.BatchNorm2d(want[0]), nn.ReLU(),
    )  # fmt: skip
    after = end.features[teacher.cuts[-1] + 1 :]
    features = nn.Sequential(*student.features[:cut], projector, *after)
    made = _like(student, features, end.classifier)
    made.cuts = (*student.cuts[:-1], cut)
    return made


def alignment(teacher: Rows, student: Rows) -> Scalar:
    """L_align: ‖Φ_S(x) − Φ_T(x)‖₂, averaged over images (HiDFD Eq. 14)."""
    return distance(teacher, student).mean()


def _others(logits: Logits, y: Labels) -> Float[Tensor, "n others"]:
    """The logits of all classes but y."""
    index = torch.arange(logits.shape[1] - 1, device=y.device)
    return logits.gather(1, index + (index >= y[:, None]))


def _target_or_not(logits: Logits, y: Labels) -> Float[Tensor, "n 2"]:
    """log p_y and log(1 − p_y), the latter from the other classes."""
    log_p = F.log_softmax(logits, dim=1)
    rest = _others(log_p, y).logsumexp(dim=1)
    return torch.stack([log_p.gather(1, y[:, None])[:, 0], rest], dim=1)


def dkd(
    teacher: Logits,
    student: Logits,
    y: Labels,
    temperature: float,
    alpha: float,
    beta: float,
) -> Scalar:
    """T² (α·TCKD + β·NCKD) (Zhao et al. 2022, DKD).

    KL of "class y or not", and KL among the other classes; KD is the same sum with
    weights 1 and 1 − p_T(y), image by image. Needs at least two classes.
    """
    teacher, student = teacher / temperature, student / temperature
    pairs = [
        (_target_or_not(student, y), _target_or_not(teacher, y)),
        tuple(
            F.log_softmax(_others(logits, y), dim=1) for logits in (student, teacher)
        ),
    ]
    target, others = (
        F.kl_div(s, t, reduction="batchmean", log_target=True) for s, t in pairs
    )
    return temperature**2 * (alpha * target + beta * others)


def nkd(
    teacher: Logits,
    student: Logits,
    y: Labels,
    temperature: float = 1.0,
    gamma: float = 1.5,
) -> Scalar:
    """−p_T(y) log p_S(y) − γT² Σ_{c≠y} q_T(c) log q_S(c) (Yang et al. 2023, NKD).

    q are the probabilities among the other classes, softened by T; p is not softened.
    """
    log_p = F.log_softmax(student, dim=1).gather(1, y[:, None])[:, 0]
    p = teacher.softmax(dim=1).gather(1, y[:, None])[:, 0]
    q = (_others(teacher, y) / temperature).softmax(dim=1)
    log_q = F.log_softmax(_others(student, y) / temperature, dim=1)
    return -(p * log_p).mean() - gamma * temperature**2 * (q * log_q).sum(1).mean()


def correlations(features: Rows, gamma: float, order: int) -> Float[Tensor, "n n"]:
    """exp(−γ‖f_i − f_j‖²) of unit features, its Taylor series cut after `order`."""
    f = unit(features)
    cosines = f @ f.T
    powers = range(order + 1)
    series = [(2 * gamma) ** p / math.factorial(p) * cosines**p for p in powers]
    return math.exp(-2 * gamma) * torch.stack(series).sum(dim=0)


def cc(
    teacher: Float[Tensor, "n width_t"],
    student: Float[Tensor, "n width_s"],
    gamma: float = 0.4,
    order: int = 2,
) -> Scalar:
    """MSE of both networks' correlations between images (Peng et al. 2019, CC)."""
    return mse(correlations(teacher, gamma, order), correlations(student, gamma, order))


def _relative_distances(features: Rows) -> Float[Tensor, "n n"]:
    """‖f_i − f_j‖₂ over its mean over pairs of distinct images."""
    n = len(features)
    exact = "donot_use_mm_for_euclid_dist"
    d = torch.cdist(features, features, compute_mode=exact)
    mean = d.sum() / max(n * (n - 1), 1)
    return d / mean.clamp_min(torch.finfo(d.dtype).tiny)  # all features may be equal


def rkd_distance(
    teacher: Float[Tensor, "n width_t"], student: Float[Tensor, "n width_s"]
) -> Scalar:
    """Huber loss of relative distances, over all n² pairs (Park et al. 2019, RKD)."""
    return F.smooth_l1_loss(_relative_distances(student), _relative_distances(teacher))


def _cosines(features: Rows) -> Float[Tensor, "b b b"]:
    """cos of the angle at the first image between the two others."""
    directions = unit(features[None] - features[:, None])
    return directions @ directions.mT


def rkd_angle(
    teacher: Float[Tensor, "n width_t"], student: Float[Tensor, "n width_s"]
) -> Scalar:
    """Huber loss of cosines of angles, over all n³ triples (Park et al. 2019, RKD)."""
    return F.smooth_l1_loss(_cosines(student), _cosines(teacher))
