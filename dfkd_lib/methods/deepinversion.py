"""DeepInversion (Yin et al. 2020): images are found by descent on their pixels.

Adaptive DeepInversion, since the student competes. Deviations from its code: no jitter
and no flips between the updates, one resolution, natural logarithms. Images enter a
memory, from which the student learns while more are found.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..losses import Images, Labels, Scalar, bn_norms, js, kd
from . import setting
from .state import Choices, Losses, Memory, State, Task, frozen

_FOR_PIXELS = "for pixels: label, smoothness, norm, BatchNorm, disagreement"


@dataclass(frozen=True)
class DeepInversion:
    """KL on smooth images that T classifies firmly and whose BatchNorm moments fit."""

    choices: ClassVar = Choices("KL", _FOR_PIXELS, "memory", "–", "a memory")
    data: ClassVar = None

    inversion_steps: setting.Count = 100  # updates of one batch of images
    inversion_lr: setting.Weight = 0.05
    lambda_tv: setting.Weight = 1e-3
    lambda_l2: setting.Weight = 1e-4
    lambda_bn: setting.Weight = 1.0
    lambda_compete: setting.Weight = 1.0  # the student's disagreement
    memory: setting.Size = 8192  # images kept
    temperature: setting.Temperature = 1.0
    batch: setting.Size = 128  # images that are found at once
    generator_steps: setting.Count = 1  # batches of images a stage
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
        """Networks, optimiser, noise and memory of a run."""
        s = State(teacher, student, task, seed)
        s.optimize_student(self)
        s.memory = Memory(self.memory, task.shape, task.device)
        return s

    def stage(self, s: State) -> Losses:
        """Find images, keep them, and let the student learn from those kept."""
        losses = Losses()
        shape, device = (self.batch, *s.task.shape), s.task.device
        for _ in range(self.generator_steps):
            classes = s.task.num_classes
            y = torch.randint(classes, shape[:1], generator=s.random, device=device)
            x = torch.randn(shape, generator=s.random, device=device).requires_grad_()
            optimizer = torch.optim.Adam([x], self.inversion_lr)
            s.student.eval()  # its BatchNorm statistics are not the images' business
            with frozen(s.student):
                for _ in range(self.inversion_steps):
                    terms = self.image_loss(s, x, y)
                    optimizer.zero_grad()
                    sum(terms.values()).backward()
                    optimizer.step()
            s.student.train()
            losses.add("generator", terms)  # those of the last update
            s.memory.add(x.detach(), s.random)
        s.watched()

        for _ in range(self.student_steps):
            x = s.memory.draw(self.student_batch, s.random)
            terms = {"KL": kd(s.teacher(x), s.student(x), self.temperature)}
            loss = losses.add("student", terms)
            s.student_optimizer.zero_grad()
            loss.backward()
            s.student_optimizer.step()
            s.samples += len(x)
        return losses

    def image_loss(self, s: State, x: Images, y: Labels) -> dict[str, Tensor]:
        """Classification loss, prior and feature term, competition with the student."""
        logits, bn = bn_norms(s.teacher, x)
        terms = {
            "label": F.cross_entropy(logits, y),
            "total variation": self.lambda_tv * total_variation(x),
            "norm": self.lambda_l2 * x.flatten(1).norm(dim=1).mean(),  # ‖x‖₂
            "BatchNorm": self.lambda_bn * bn,
        }
        if self.lambda_compete:
            terms["competition"] = self.lambda_compete * (1 - js(logits, s.student(x)))
        return terms


def total_variation(x: Images) -> Scalar:
    """Differences between neighbours across, down and along both diagonals.

    The sum of four norms, each over the *whole* batch, as in DeepInversion's code.
    """
    across = x[..., :, 1:] - x[..., :, :-1]
    down = x[..., 1:, :] - x[..., :-1, :]
    falling = x[..., 1:, 1:] - x[..., :-1, :-1]
    rising = x[..., 1:, :-1] - x[..., :-1, 1:]
    return across.norm() + down.norm() + falling.norm() + rising.norm()
