"""How HiDFD's student learns: Eq. 14, and the losses that Table 2 compares it with.

- ``align``: features drawn to the teacher's, before the teacher's classifier (Eq. 14);
- ``simkd``: maps drawn to the teacher's, before all that the teacher has after them
  (the public code; Chen et al. 2022);
- ``kd``, ``dkd``, ``nkd``, ``cc``, ``rkd``: the student's own classifier learns; CC and
  RKD are added to KD, with the weights of their own papers;
- ``catkd``, ``ofa``, ``semckd``: see `hidfd_maps`.
"""

import copy
import math
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from ..losses import Images, Labels, Logits, Rows, Scalar, distance, kd, mse, unit
from ..models import Classifier, classifier_of, embedding_and_logits
from ..models.network import Shape
from .features import map_shapes
from .hidfd_maps import map_terms
from .state import State

Distill = Literal[
    "align", "catkd", "cc", "dkd", "kd", "nkd", "ofa", "rkd", "semckd", "simkd",
]  # fmt: skip
Wide = Float[Tensor, "n width_t"]  # the teacher's features; the student's are `Rows`


def student_for(
    name: str, student: Classifier, teacher: nn.Module, shape: Shape
) -> nn.Module:
    """The student as it is, or before what it shares with the fixed teacher."""
    if name == "simkd":
        return _simkd(student, teacher, shape)
    if name != "align":
        return student
    classifier = copy.deepcopy(classifier_of(teacher)).requires_grad_(False)
    have, want = student.classifier.in_features, classifier.in_features
    project = [] if have == want else [nn.Linear(have, want)]
    return _like(student, [*student.features, *project], classifier)


def student_terms(settings: Any, s: State, x: Images, y: Labels) -> dict[str, Tensor]:
    """The named terms of the student's loss on a batch."""
    name, temperature = settings.distill, settings.temperature
    if name in ("catkd", "ofa", "semckd"):
        return map_terms(settings, s, x, y)
    if name == "simkd":
        with torch.no_grad():
            wanted = s.teacher.stages(x).maps[-1]
        return {"maps": mse(wanted, s.student.stages(x).maps[-1])}
    with torch.no_grad():
        wanted, answers = embedding_and_logits(s.teacher, x)
    features, logits = embedding_and_logits(s.student, x)
    if name == "align":
        return {"L_align": alignment(wanted, features)}
    if name == "dkd":
        return {"DKD": dkd(answers, logits, y, temperature)}
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
    last, weight = student.classifier, project.weight
    one = nn.Linear(project.in_features, last.out_features, device=weight.device)
    with torch.no_grad():
        one.weight.copy_(last.weight @ weight)
        one.bias.copy_(last(project.bias))
    return _like(student, features, one)


def _like(student: Classifier, layers: list[nn.Module], last: nn.Linear) -> Classifier:
    features = nn.Sequential(*layers)
    return Classifier(features, last, student.cuts, student.size, student.smallest)


def _simkd(student: Classifier, teacher: nn.Module, shape: Shape) -> Classifier:
    """The student's maps, a projector of convolutions, and the teacher's end."""
    [(want, *_)], [(have, *_)] = map_shapes(teacher, student, shape, first=-1)
    cut, end = student.cuts[-1] + 1, copy.deepcopy(teacher).requires_grad_(False)
    layers, hidden = [], max(want // 2, 1)
    for c_in, c_out, k in (have, hidden, 1), (hidden, hidden, 3), (hidden, want, 1):
        layers.append(nn.Conv2d(c_in, c_out, k, 1, k // 2, bias=False))
        layers += [nn.BatchNorm2d(c_out), nn.ReLU()]
    before, after = student.features[:cut], end.features[teacher.cuts[-1] + 1 :]
    made = _like(student, [*before, nn.Sequential(*layers), *after], end.classifier)
    made.cuts = (*student.cuts[:-1], cut)
    return made


def alignment(teacher: Rows, student: Rows) -> Scalar:
    """L_align: ‖Φ_S(x) − Φ_T(x)‖₂, averaged over images (HiDFD Eq. 14)."""
    return distance(teacher, student).mean()


def _split(logits: Logits, y: Labels) -> tuple[Float[Tensor, "n 2"], Rows]:
    """Log-probabilities: of class y or not, and of the other classes among them."""
    index = torch.arange(logits.shape[1] - 1, device=y.device)
    others = logits.gather(1, index + (index >= y[:, None]))
    target, rest = logits.gather(1, y[:, None]), others.logsumexp(dim=1, keepdim=True)
    return F.log_softmax(torch.cat([target, rest], 1), 1), F.log_softmax(others, 1)


def dkd(
    teacher: Logits, student: Logits, y: Labels, temperature: float,
    alpha: float = 1.0, beta: float = 8.0,
) -> Scalar:  # fmt: skip
    """T² (α·TCKD + β·NCKD) (Zhao et al. 2022, DKD).

    KL of "class y or not", and KL among the other classes; KD is the same sum with
    weights 1 and 1 − p_T(y), image by image. Needs at least two classes.
    """
    (p_t, q_t), (p_s, q_s) = (_split(x / temperature, y) for x in (teacher, student))
    target = F.kl_div(p_s, p_t, reduction="batchmean", log_target=True)
    others = F.kl_div(q_s, q_t, reduction="batchmean", log_target=True)
    return temperature**2 * (alpha * target + beta * others)


def nkd(teacher: Logits, student: Logits, y: Labels) -> Scalar:
    """−p_T(y) log p_S(y) − 1.5 Σ_{c≠y} q_T(c) log q_S(c) (Yang et al. 2023, NKD).

    q are the probabilities among the other classes. Both temperatures are 1.
    """
    (p_t, q_t), (p_s, q_s) = _split(teacher, y), _split(student, y)
    target = (p_t[:, 0].exp() * p_s[:, 0]).mean()
    return -target - 1.5 * (q_t.exp() * q_s).sum(dim=1).mean()


def correlations(features: Rows) -> Float[Tensor, "n n"]:
    """exp(−γ‖f_i − f_j‖²) of unit features, γ = 0.4, as a Taylor series to order 2."""
    f = unit(features)
    c = 0.8 * f @ f.T
    return math.exp(-0.8) * (1 + c + c**2 / 2)


def cc(teacher: Wide, student: Rows) -> Scalar:
    """MSE of both networks' correlations between images (Peng et al. 2019, CC)."""
    return mse(correlations(teacher), correlations(student))


def _relative_distances(features: Rows) -> Float[Tensor, "n n"]:
    """‖f_i − f_j‖₂ over its mean over pairs of distinct images."""
    n, exact = len(features), "donot_use_mm_for_euclid_dist"
    d = torch.cdist(features, features, compute_mode=exact)
    mean = d.sum() / max(n * (n - 1), 1)
    return d / mean.clamp_min(torch.finfo(d.dtype).tiny)  # all features may be equal


def rkd_distance(teacher: Wide, student: Rows) -> Scalar:
    """Huber loss of relative distances, over all n² pairs (Park et al. 2019, RKD)."""
    return F.smooth_l1_loss(_relative_distances(student), _relative_distances(teacher))


def _cosines(features: Rows) -> Float[Tensor, "b b b"]:
    """cos of the angle at the first image between the two others."""
    directions = unit(features[None] - features[:, None])
    return directions @ directions.mT


def rkd_angle(teacher: Wide, student: Rows) -> Scalar:
    """Huber loss of cosines of angles, over all n³ triples (Park et al. 2019, RKD)."""
    return F.smooth_l1_loss(_cosines(student), _cosines(teacher))
