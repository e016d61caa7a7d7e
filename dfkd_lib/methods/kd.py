"""Knowledge distillation on given images, what data-free methods are compared with.

KD-ORI, KD-REL and KD-UNR on original, related and unrelated images (DFAD Section
4.1.3), KD on few collected images, and RANDOM, on white noise, without labels; and the
student alone, with labels and no teacher.

Images are drawn with replacement (ours), so that a step is a step whatever the amount
of data; they are shifted and flipped as for a teacher.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..losses import kd
from . import setting
from .state import Choices, Losses, State, Task


@dataclass(frozen=True)
class Student:
    """The settings and the step of a baseline's student."""

    student_steps: setting.Count = 5  # a stage
    student_batch: setting.Size = 128
    student_optimizer: setting.Optimizer = "sgd"
    student_lr: setting.Weight = 0.03
    student_momentum: setting.Fraction = 0.9
    student_weight_decay: setting.Weight = 5e-4
    schedule: setting.Schedule = "cosine"
    milestones: tuple[float, ...] = (1 / 3, 2 / 3)  # of "step", as fractions
    stages: setting.Count = 160
    stages_per_epoch: setting.Count = 10  # how often the student is tested

    __post_init__ = setting.check

    def start(self, teacher: nn.Module, student: nn.Module, task: Task, seed: int):
        """Networks, optimiser and noise of a run."""
        s = State(teacher, student, task, seed)
        s.optimize_student(self)
        return s

    def batch_of(self, s: State) -> tuple[Tensor, Tensor]:
        """Images, and their labels where they are known."""
        images, size = s.task.images, (self.student_batch,)
        device = s.task.device
        index = torch.randint(len(images), size, generator=s.random, device=device)
        return images.labelled(index, s.random)

    def learn(self, s: State, losses: Losses, terms: dict[str, Tensor]) -> None:
        """A step of the student on the sum of these terms."""
        loss = losses.add("student", terms)
        s.student_optimizer.zero_grad()
        loss.backward()
        s.student_optimizer.step()
        s.samples += self.student_batch


@dataclass(frozen=True)
class KD(Student):
    """T² KL on the original training images, without labels (Hinton et al. 2015)."""

    choices: ClassVar = Choices("KL", "no generator", "the original images", "–")
    data: ClassVar = "original"

    temperature: setting.Temperature = 1.0
    data_share: setting.PositiveFraction = 1.0  # of the images that it may see

    def images(self, s: State) -> Tensor:
        """The images of one step."""
        return self.batch_of(s)[0]

    def stage(self, s: State) -> Losses:
        """n_S steps of the student."""
        losses = Losses()
        for _ in range(self.student_steps):
            x = self.images(s)
            terms = {"KL": kd(s.teacher(x), s.student(x), self.temperature)}
            self.learn(s, losses, terms)
        return losses


@dataclass(frozen=True)
class KDRelated(KD):
    """KD on images of a related source: KD-REL."""

    choices: ClassVar = KD.choices._replace(samples_from="related images")
    data: ClassVar = "related"


@dataclass(frozen=True)
class KDUnrelated(KD):
    """KD on images of an unrelated source: KD-UNR."""

    choices: ClassVar = KD.choices._replace(samples_from="unrelated images")
    data: ClassVar = "unrelated"


@dataclass(frozen=True)
class KDCollected(KD):
    """KD on few collected images alone, which HiDFD's synthetic images must beat."""

    choices: ClassVar = KD.choices._replace(samples_from="collected images")
    data: ClassVar = "collected"

    data_share: float = setting.fixed(1.0)
    collected_from: str = "auto"  # a data set; auto: the first related one here
    collected_ratio: setting.Positive = 0.2  # ρ: per training image of the teacher's
    collected_by: Literal["category", "confidence", "random"] = "category"
    collected_imbalance: setting.Weight = 5.0  # largest class : smallest; 0: as it is


@dataclass(frozen=True)
class Alone(Student):
    """The student alone, trained on the original images and labels, without T."""

    choices: ClassVar = Choices("labels", "no generator", "the original images", "–")
    data: ClassVar = "original"

    data_share: setting.PositiveFraction = 1.0  # of the images that it may see

    def stage(self, s: State) -> Losses:
        """n_S steps of the student."""
        losses = Losses()
        for _ in range(self.student_steps):
            x, y = self.batch_of(s)
            terms = {"labels": F.cross_entropy(s.student(x), y)}
            self.learn(s, losses, terms)
        return losses


@dataclass(frozen=True)
class Random(KD):
    """KL on white noise, standard normal in the teacher's input space (ours)."""

    choices: ClassVar = KD.choices._replace(samples_from="white noise")
    data: ClassVar = None

    data_share: float = setting.fixed(1.0)

    def images(self, s: State) -> Tensor:
        """Noise images."""
        shape = self.student_batch, *s.task.shape
        return torch.randn(shape, generator=s.random, device=s.task.device)
