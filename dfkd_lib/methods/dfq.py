"""The game of data-free quantisation (Choi et al. 2020), as a distillation baseline.

The generator looks for disagreement as in ABM, among images with the teacher's
BatchNorm moments, firm classes, and all classes equally often.

Deviations, those of CMI's public code too: one generator and one student, neither
quantised; norms of the moments' gaps, where the paper has a divergence of Gaussians;
the one-hot term in place of the entropy of each image's classes.
"""

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from ..losses import bn_norms, information_entropy, kd, kl, one_hot
from . import setting
from .state import Choices, Losses, State, Task, frozen


@dataclass(frozen=True)
class DFQ:
    """KL, which G maximises among images whose moments and classes fit the teacher."""

    choices: ClassVar = Choices(
        "KL", "BatchNorm, one-hot, information entropy", "G", "z"
    )
    data: ClassVar = None

    lambda_adv: setting.Weight = 1.0  # the weights are those of CMI's code
    lambda_bn: setting.Weight = 1.0
    lambda_onehot: setting.Weight = 1.0
    lambda_entropy: setting.Weight = 20.0  # of the information entropy
    temperature: setting.Temperature = 1.0  # of the student's loss
    generator_steps: setting.Count = 1
    batch: setting.Size = 128  # images per generator step
    generator: setting.Generator = "generator_a"
    generator_width: setting.Size = 8
    z_dim: setting.Size = 100
    generator_lr: setting.Weight = 1e-3  # Adam
    generator_beta1: setting.BelowOne = 0.5
    generator_weight_decay: setting.Weight = 0.0
    student_steps: setting.Count = 5
    student_batch: setting.Size = 128
    student_optimizer: setting.Optimizer = "sgd"
    student_lr: setting.Weight = 0.03
    student_momentum: setting.Fraction = 0.9
    student_weight_decay: setting.Weight = 5e-4
    schedule: setting.Schedule = "cosine"  # of both learning rates
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
        """The generator's four terms, then the student's KL."""
        losses = Losses()
        for _ in range(self.generator_steps):
            with frozen(s.student):
                x = s.generator(*s.noise(self.batch))
                logits, bn = bn_norms(s.teacher, x)
                terms = {
                    "-KL": -self.lambda_adv * kl(logits, s.student(x)),
                    "BatchNorm": self.lambda_bn * bn,
                    "one-hot": self.lambda_onehot * one_hot(logits),
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
