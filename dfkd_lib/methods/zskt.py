"""Zero-shot knowledge transfer (Micaelli and Storkey 2019), with its authors' settings.

The game that MAD calls ABM. Here the student takes its ten steps on one batch and also
follows the teacher's attention maps; gradients are clipped.

Deviation: the generators are DFAD's and MAD's, not the code's.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn
from torch.nn.utils import clip_grad_norm_

from ..losses import kl, mse
from . import setting
from .features import attention_map, map_shapes, spatial
from .state import Choices, Losses, State, Task, frozen


@dataclass(frozen=True)
class ZSKT:
    """KL and attention transfer, ten steps on one batch; G maximises KL."""

    choices: ClassVar = Choices("KL, and attention maps", "–", "G", "z")
    data: ClassVar = None

    lambda_attention: setting.Weight = 250.0  # β; here and below, the code's values
    clip: setting.Positive = 5.0  # norm of each network's gradient
    generator_steps: setting.Count = 1
    student_steps: setting.Count = 10  # on the generator's last batch
    batch: setting.Size = 128
    generator: setting.Generator = "generator_a"
    generator_width: setting.Size = 8
    z_dim: setting.Size = 100
    generator_lr: setting.Weight = 1e-3  # Adam
    generator_beta1: setting.BelowOne = 0.9
    generator_weight_decay: setting.Weight = 0.0
    student_optimizer: setting.Optimizer = "adam"
    student_lr: setting.Weight = 2e-3
    student_momentum: setting.Fraction = 0.9
    student_weight_decay: setting.Weight = 0.0
    schedule: setting.Schedule = "cosine"  # of both learning rates
    milestones: tuple[float, ...] = (1 / 3, 2 / 3)  # of "step", as fractions
    stages: setting.Count = 160
    stages_per_epoch: setting.Count = 10  # how often the student is tested

    __post_init__ = setting.check

    def start(self, teacher: nn.Module, student: nn.Module, task: Task, seed: int):
        """Networks, optimisers and noise of a run."""
        s = State(teacher, student, task, seed)
        s.layers = spatial(map_shapes(s.teacher, s.student, task.shape)[0])
        s.make_generator(self)
        s.optimize_student(self)
        s.optimize_generator(self)
        return s

    def stage(self, s: State) -> Losses:
        """n_G steps of the generator, then n_S of the student on its last batch.

        KL is divided by the number of classes, as in the code.
        """
        losses, classes = Losses(), s.task.num_classes
        for _ in range(self.generator_steps):
            z, y = s.noise(self.batch)
            with frozen(s.student):
                x = s.generator(z, y)
                terms = {"-KL": -kl(s.teacher(x), s.student(x)) / classes}
                loss = losses.add("generator", terms)
                s.generator_optimizer.zero_grad()
                loss.backward()
            clip_grad_norm_(s.generator.parameters(), self.clip)
            s.generator_optimizer.step()
        s.watched()

        with torch.no_grad():
            x = s.generator(z, y)
            teacher = s.teacher.stages(x)
        for _ in range(self.student_steps):
            student = s.student.stages(x)
            maps = [(teacher.maps[i], student.maps[i]) for i in s.layers]
            gap = sum(mse(attention_map(t), attention_map(m)) for t, m in maps)
            terms = {
                "KL": kl(teacher.logits, student.logits) / classes,
                "attention": self.lambda_attention * gap,
            }
            loss = losses.add("student", terms)
            s.student_optimizer.zero_grad()
            loss.backward()
            clip_grad_norm_(s.student.parameters(), self.clip)
            s.student_optimizer.step()
            s.samples += len(x)
        return losses
