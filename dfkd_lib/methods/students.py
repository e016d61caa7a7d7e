"""How HiDFD's student learns from hybrid data: under the teacher's own classifier, or as its ablation compares."""

import copy

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from ..errors import UserError
from ..losses import baselines, hidfd, students
from ..models import Classifier, classifier_of, embedding_and_logits
from .method import Terms


class StudentLoss:
    """A student's loss by its name, and the student network that it asks for.

    - ``align``: features drawn to the teacher's, in front of the teacher's classifier (HiDFD Eq. 14);
    - ``simkd``: maps drawn to the teacher's, in front of all that the teacher has behind them (the public code);
    - ``kd``, ``dkd``, ``nkd``, ``cc``, ``rkd``: the student's own classifier learns (HiDFD Table 2; CC and RKD are
      added to KD, with their own papers' weights).
    """

    def __init__(self, name: str, temperature: float):
        self.name, self.temperature = name, temperature

    def student(self, student: Classifier, teacher: nn.Module, shape: tuple[int, int, int]) -> nn.Module:
        """The student as it is, or behind a projector and under what it shares with the teacher, which stays fixed."""
        if self.name == "align":
            classifier = copy.deepcopy(classifier_of(teacher)).requires_grad_(False)
            have, want = student.classifier.in_features, classifier.in_features
            project = [] if have == want else [nn.Linear(have, want)]
            return Classifier(
                nn.Sequential(*student.features, *project), classifier, student.cuts, student.size, student.smallest
            )
        return _simkd(student, teacher, shape) if self.name == "simkd" else student

    def merged(self, student: Classifier) -> nn.Module:
        """The student as a network of its own kind: a linear projector and the linear classifier behind it are one.

        SimKD's convolutions cannot be merged: there the student keeps them, and the teacher's end.
        """
        if self.name != "align" or not isinstance(student.features[-1], nn.Linear):
            return student
        *features, project = copy.deepcopy(student.features)
        classifier = copy.deepcopy(student.classifier)
        with torch.no_grad():
            weight, bias = classifier.weight @ project.weight, classifier.weight @ project.bias
            bias += 0 if classifier.bias is None else classifier.bias
        one = nn.Linear(project.in_features, classifier.out_features)
        one.weight, one.bias = nn.Parameter(weight), nn.Parameter(bias)
        return Classifier(nn.Sequential(*features), one, student.cuts, student.size, student.smallest)

    def __call__(
        self,
        teacher: nn.Module,
        student: nn.Module,
        x: Float[Tensor, "batch channels height width"],
        y: Int[Tensor, " batch"],
    ) -> Terms:
        if self.name == "align":
            with torch.no_grad():
                wanted = embedding_and_logits(teacher, x)[0]
            return {"L_align": hidfd.alignment(wanted, student.features(x))}
        if self.name == "simkd":
            with torch.no_grad():
                wanted = teacher.stages(x).maps[-1]
            return {"maps": baselines.hint(wanted, student.stages(x).maps[-1])}
        with torch.no_grad():
            wanted, answers = embedding_and_logits(teacher, x)
        features, logits = embedding_and_logits(student, x)
        if self.name == "dkd":
            return {"DKD": students.dkd(answers, logits, y, self.temperature, alpha=1.0, beta=8.0)}
        if self.name == "nkd":
            return {"NKD": students.nkd(answers, logits, y)}
        terms = {"KL": baselines.kd(answers, logits, self.temperature)}
        if self.name == "cc":
            terms["CC"] = students.cc(wanted, features)
        if self.name == "rkd":
            terms["distances"] = 25 * students.rkd_distance(wanted, features)
            terms["angles"] = 50 * students.rkd_angle(wanted, features)
        return terms


def _simkd(student: Classifier, teacher: nn.Module, shape: tuple[int, int, int]) -> Classifier:
    """SimKD (Chen et al. 2022): the student's maps, a projector of convolutions, and the teacher's end."""
    if not isinstance(teacher, Classifier):
        raise UserError(
            "distill: simkd looks inside the teacher, and knows only the library's own networks; give align"
        )
    with torch.no_grad():
        x = torch.zeros(2, *shape)  # in evaluation mode: zeros are nobody's statistics; the method trains the student
        have, want = (network.eval().stages(x).maps[-1].shape[1:] for network in (student, teacher))
    if have[1:] != want[1:]:
        raise UserError(
            f"distill: simkd needs maps of one size; the student's last have {have[1]}×{have[2]} pixels, the teacher's "
            f"{want[1]}×{want[2]}; give align, or another student"
        )
    cut, end = student.cuts[-1] + 1, copy.deepcopy(teacher).requires_grad_(False)
    hidden = max(want[0] // 2, 1)
    projector = nn.Sequential(
        nn.Conv2d(have[0], hidden, 1, bias=False), nn.BatchNorm2d(hidden), nn.ReLU(),
        nn.Conv2d(hidden, hidden, 3, 1, 1, bias=False), nn.BatchNorm2d(hidden), nn.ReLU(),
        nn.Conv2d(hidden, want[0], 1, bias=False), nn.BatchNorm2d(want[0]), nn.ReLU(),
    )  # fmt: skip
    features = nn.Sequential(*student.features[:cut], projector, *end.features[teacher.cuts[-1] + 1 :])
    return Classifier(features, end.classifier, (*student.cuts[:-1], cut), student.size, student.smallest)
