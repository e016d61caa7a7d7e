"""Data-Free Learning (Chen et al. 2019): the generator pleases the teacher alone.

Deviations from its code: there, generator and student step at once on one batch; here
they take turns on fresh batches, as all games of this book do. The activation term is
the plain L1 norm of AR+VI Eq. 3, which DAFL's code divides by the number of features;
of maps with logits for pixels, it is the mean over places.
"""

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from ..losses import activation, information_entropy, kd, one_hot, rows
from ..models import embedding_and_logits
from . import setting
from .state import Choices, Losses, State, Task


@dataclass(frozen=True)
class DAFL:
    """KL for the student; firm, strong and balanced answers of T for the generator."""

    choices: ClassVar = Choices(
        "KL", "one-hot, activation, information entropy; no discrepancy", "G", "z"
    )
    data: ClassVar = None

    lambda_onehot: setting.Weight = 1.0
    lambda_activation: setting.Weight = 1e-3
    lambda_entropy: setting.Weight = 5.0  # of the information entropy
    temperature: setting.Temperature = 1.0
    generator_steps: setting.Count = 1
    batch: setting.Size = 128  # images per generator step
    generator: setting.Generator = "generator_a"
    generator_width: setting.Size = 8
    z_dim: setting.Size = 100
    generator_lr: setting.Weight = 1e-3  # Adam
    generator_beta1: setting.BelowOne = 0.9
    generator_weight_decay: setting.Weight = 0.0
    student_steps: setting.Count = 5
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
        """Networks, optimisers and noise of a run."""
        s = State(teacher, student, task, seed)
        s.make_generator(self)
        s.optimize_student(self)
        s.optimize_generator(self)
        return s

    def stage(self, s: State) -> Losses:
        """The generator's total loss L_oh + α L_a + β L_ie, then the student's KL."""
        losses = Losses()
        for _ in range(self.generator_steps):
            x = s.generator(*s.noise(self.batch))
            features, logits = embedding_and_logits(s.teacher, x)
            terms = {
                "one-hot": self.lambda_onehot * one_hot(logits),
                "activation": self.lambda_activation * activation(rows(features)),
                "entropy": self.lambda_entropy * information_entropy(logits),
            }
            loss = losses.add("generator", terms)
            s.generator_optimizer.zero_grad()
            loss.backward()
            s.generator_optimizer.step()
        s.watched()

        for _ in range(self.student_steps):
            x = s.draw(s.generator, self.student_batch)
            terms = {"KL": kd(s.teacher(x), s.student(x), self.temperature)}
            loss = losses.add("student", terms)
            s.student_optimizer.zero_grad()
            loss.backward()
            s.student_optimizer.step()
            s.samples += len(x)
        return losses
