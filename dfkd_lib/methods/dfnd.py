"""DFND (Chen et al. 2021): KD on confident images, and labels that are known as noisy.

The images are those of a large source of which the teacher is surest (`collected_by` =
confidence), the same for all seeds. An adaptation matrix learns with the student how
often the teacher says one class in place of another, so that the student may differ
from the teacher's labels.

Deviations from the public code: it has the teacher's test accuracy for each data set,
which the user of a teacher may not know; here it is a setting. Images are drawn with
replacement, and shifted and flipped as for KD.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..losses import Labels, Logits, Scalar, kd
from . import setting
from .kd import KDCollected
from .state import Losses, State, Task

Matrix = Float[Tensor, "classes classes"]


@dataclass(frozen=True)
class DFND(KDCollected):
    """DFND (Chen et al. 2021): T² KL, and the teacher's classes as noisy labels."""

    choices: ClassVar = KDCollected.choices._replace(discrepancy="KL, noisy labels")

    collected_by: Literal["category", "confidence", "random"] = "confidence"
    collected_imbalance: setting.Weight = 0.0  # the surest, of whatever class
    temperature: setting.Temperature = 4.0  # the code's
    teacher_accuracy: setting.Accuracy = 0.95  # of every class; code: CIFAR-10's
    adaptation_lr: setting.Weight = 1e-3  # of the matrix's Adam, the code's

    def start(self, teacher: nn.Module, student: nn.Module, task: Task, seed: int):
        """Networks, the adaptation matrix, their optimisers and noise of a run."""
        s = super().start(teacher, student, task, seed)
        made = Adaptation(task.num_classes, self.teacher_accuracy)
        s.adaptation = made.to(task.device)
        weights = s.adaptation.parameters()
        s.adaptation_optimizer = torch.optim.Adam(weights, self.adaptation_lr)
        return s

    def stage(self, s: State) -> Losses:
        """n_S steps of the student and of the matrix, on the sum of both losses."""
        losses = Losses()
        for _ in range(self.student_steps):
            x = self.images(s)
            wanted, logits = s.teacher(x), s.student(x)
            labels = wanted.argmax(dim=1)
            terms = {
                "KL": kd(wanted, logits, self.temperature),
                "noisy labels": noisy_labels(logits, s.adaptation(), labels),
            }
            s.adaptation_optimizer.zero_grad()
            self.learn(s, losses, terms)
            s.adaptation_optimizer.step()
        return losses


class Adaptation(nn.Module):
    """The adaptation matrix, all errors equally frequent at first."""

    def __init__(self, classes: int, accuracy: float):
        super().__init__()
        self.errors = nn.Parameter(torch.zeros(classes, classes - 1))
        self.accuracy = accuracy

    def forward(self) -> Matrix:
        return adaptation_matrix(self.errors, self.accuracy)


def adaptation_matrix(
    errors: Float[Tensor, "classes others"], accuracy: float
) -> Matrix:
    """Q: the probability that the teacher says class j of an image of class i.

    `accuracy` on the diagonal, which is fixed; a softmax of row i of `errors` divides
    the rest among the other classes, in their order.
    """
    classes = torch.arange(len(errors), device=errors.device)
    others = classes[:-1] + (classes[:-1] >= classes[:, None])
    diagonal = torch.full_like(classes, accuracy, dtype=errors.dtype).diag()
    return diagonal.scatter(1, others, (1 - accuracy) * errors.softmax(dim=1))


def noisy_labels(student: Logits, adaptation: Matrix, y: Labels) -> Scalar:
    """−log (p_S Q)_y of the teacher's classes y, averaged over images."""
    noisy = student.softmax(dim=1) @ adaptation
    return -noisy.gather(1, y[:, None]).log().mean()
