"""KD³ (Tang et al. 2023): distillation on collected images of another distribution.

Once a stage, the images are selected of which teacher and student together are sure.
The student's features are drawn to the teacher's, before the teacher's own classifier.
A contrastive loss makes them insensitive to the mean and deviation of an image's
channels (MixDistribution).

Deviations from the public code: the features are those that the classifier reads, after
a linear projector that is merged at the end, in place of maps after three convolutions;
the contrastive loss reads the same features; its second term, for the teacher, is left
out, because it trains only a head that no other loss reads. The selection sees images
as they are, in place of random crops, and takes all if none passes; images are drawn
with replacement; epochs are fractions of the run.
"""

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from ..losses import Images, Logits, Rows, Scalar, distance, unit
from ..models import classifier_of, embedding_and_logits
from . import setting
from .hidfd_students import merged, student_for
from .kd import KDCollected, Student
from .state import Losses, State, Task, drawn_beta

Vector = Float[Tensor, " n"]


@dataclass(frozen=True)
class KD3(Student):
    """KD³ (Tang et al. 2023): features of selected images, and T's own classifier."""

    choices: ClassVar = KDCollected.choices._replace(discrepancy="features, contrast")
    data: ClassVar = "collected"

    collected_from: str = "auto"  # a data set; auto: the first related one here
    collected_ratio: setting.Positive = 0.2  # ρ: per training image of the teacher's
    collected_by: Literal["category", "confidence", "random"] = "category"
    collected_imbalance: setting.Weight = 5.0  # largest class : smallest; 0: as it is
    cutoff: setting.Fraction = 0.95  # of the most frequent class; these are the code's
    lambda_contrast: setting.Weight = 1e-3
    contrast_temperature: setting.Temperature = 0.3
    head_width: setting.Size = 128  # of the vectors compared
    mixup_a: setting.Positive = 0.1  # λ of MixDistribution: Beta(a, a)

    def start(self, teacher: nn.Module, student: nn.Module, task: Task, seed: int):
        """Networks, the contrast's head, optimiser, and T's logits on all images."""
        s = State(teacher, student, task, seed)
        student = student_for("align", s.student, s.teacher, task.shape)
        head = nn.Linear(classifier_of(student).in_features, self.head_width)
        s.student, s.head = task.place(student).train(), task.place(head)
        learns = [p for p in s.student.parameters() if p.requires_grad]
        s.optimize_student(self, [*learns, *s.head.parameters()])
        s.answers = self.logits(s, s.teacher)
        return s

    def stage(self, s: State) -> Losses:
        """Select images; n_S steps of the student on them."""
        losses, images = Losses(), s.task.images
        share = teacher_share(s.stage / self.stages)
        found = selected(s.answers, self.logits(s, s.student), share, self.cutoff)
        given = {"generator": s.random, "device": s.task.device}
        for _ in range(self.student_steps):
            index = found[torch.randint(len(found), (self.student_batch,), **given)]
            x, _ = images.labelled(index, s.random)
            lam = drawn_beta(self.mixup_a, len(x), s.random)
            mixed = mix_distribution(x, lam, torch.randperm(len(x), **given))
            with torch.no_grad():
                wanted, answers = embedding_and_logits(s.teacher, x)
            features, logits = embedding_and_logits(s.student, x)
            views = features, embedding_and_logits(s.student, mixed)[0]
            nce = contrast(*map(s.head, views), self.contrast_temperature)
            terms = {
                "features": weighted_features(wanted, features, answers, logits),
                "contrast": self.lambda_contrast * nce,
            }
            self.learn(s, losses, terms)
        return losses

    @torch.no_grad()
    def logits(self, s: State, network: nn.Module) -> Logits:
        """A network's logits on all collected images, as they are."""
        images, training = s.task.images, network.training
        network.eval()
        index = torch.arange(len(images), device=s.task.device)
        parts = index.split(self.student_batch)
        made = torch.cat([network(images.batch(part)) for part in parts])
        network.train(training)
        return made

    def finished(self, s: State) -> nn.Module:
        """The student as a network of its own kind, its projector merged."""
        return merged("align", s.student)


def teacher_share(progress: float) -> float:
    """The teacher's part in the combined logits after a fraction of the run.

    It falls from 0.99 to 0.27; from one half on, the student selects alone.
    """
    return 1 - math.exp(-5 * (1.5 * progress - 1) ** 2) if progress < 0.5 else 0.0


def selected(
    teacher: Logits, student: Logits, share: float, cutoff: float
) -> Int[Tensor, " _"]:
    """The images of which the combined logits are sure; all, if of none.

    A class's cutoff is `cutoff` · σ / (2 − σ), where σ is its number of images over
    that of the most frequent class: rare classes need less.
    """
    sure, y = (share * teacher + (1 - share) * student).softmax(dim=1).max(dim=1)
    counts = y.bincount(minlength=teacher.shape[1])
    frequent = counts / counts.max()
    kept = sure > (cutoff * frequent / (2 - frequent))[y]
    return (kept | ~kept.any()).nonzero()[:, 0]


def weighted_features(
    wanted: Rows, features: Rows, teacher: Logits, student: Logits
) -> Scalar:
    """MSE of features, an image's weight being σ(‖T(x) − S(x)‖₂), without gradient."""
    weight = distance(teacher, student).sigmoid().detach()
    return (weight[:, None] * (wanted - features).square()).mean()


def mix_distribution(x: Images, lam: Vector, other: Int[Tensor, " n"]) -> Images:
    """Images whose channels have λ of their mean and deviation, 1 − λ of another's."""
    var, mean = torch.var_mean(x, dim=(2, 3), correction=0, keepdim=True)
    std, lam = (var + 1e-6).sqrt(), lam[:, None, None, None]
    mixed_mean, mixed_std = (m[other].lerp(m, lam) for m in (mean, std))
    return (x - mean) / std * mixed_std + mixed_mean


def contrast(one: Rows, other: Rows, temperature: float) -> Scalar:
    """−log of the share of an image's other view in Σ exp(cos / τ) over all others.

    The mean over both views of all images (NT-Xent).
    """
    views, n = unit(torch.cat([one, other])), len(one)
    itself = torch.eye(2 * n, dtype=torch.bool, device=views.device)
    alike = (views @ views.T / temperature).masked_fill(itself, -torch.inf)
    return F.cross_entropy(alike, torch.arange(2 * n, device=views.device).roll(n))
