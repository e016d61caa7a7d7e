"""Data-Free Adversarial Distillation (Fang et al. 2019, Algorithm 1).

Student and generator play for the discrepancy D(T, S; G) between teacher and student:
the student minimises it (Eq. 5), the generator maximises it (Eq. 7).

Deviation: a stage begins with the generator's step. Algorithm 1 begins with the
student's, so a run of n stages is shifted by half a stage.

In segmentation, logits are those of pixels, and the generator's loss is −log(1 + MAE).
"""

import copy
from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import nn

from ..losses import DISCREPANCIES, Logits, Scalar, mae
from . import setting
from .state import Choices, Losses, State, Task, frozen


@dataclass(frozen=True)
class DFAD:
    """The student minimises the MAE between logits, the generator maximises it."""

    choices: ClassVar = Choices("MAE of logits", "–", "G", "z")
    data: ClassVar = None

    discrepancy: setting.Discrepancy = "mae"  # DFAD Eq. 2; the others: Fig. 4
    # DFAD's code has −log(1 + MAE) for G in segmentation; the student's loss stays
    generator_loss: Literal["discrepancy", "log_mae"] = "discrepancy"
    # Section 4.3: after so many stages G is fixed, and a new student begins
    generator_share: setting.PositiveFraction = 1.0
    student_steps: setting.Count = 5  # DFAD's code
    generator_steps: setting.Count = 1
    batch: setting.Size = 128  # images per generator step
    student_batch: setting.Size = 128
    generator: setting.Generator = "generator_a"
    generator_width: setting.Size = 8  # 64 in DFAD Table 4
    z_dim: setting.Size = 100
    generator_lr: setting.Weight = 1e-3  # Adam
    generator_beta1: setting.BelowOne = 0.9
    generator_weight_decay: setting.Weight = 0.0
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
        s.optimize_student(self, begins=self.fixed_from)
        s.optimize_generator(self)
        if self.fixed_from:
            s.new_student = copy.deepcopy(s.student)
        return s

    @property
    def fixed_from(self) -> int:
        """The stage after which the generator is fixed; 0 if it never is."""
        return round(self.generator_share * self.stages) % self.stages

    def stage(self, s: State) -> Losses:
        """One iteration of DFAD Algorithm 1."""
        losses, discrepancy = Losses(), DISCREPANCIES[self.discrepancy]
        grown = log_mae if self.generator_loss == "log_mae" else discrepancy
        fixed = 0 < self.fixed_from < s.stage
        if s.stage == self.fixed_from + 1 and fixed:  # Section 4.3
            s.student.load_state_dict(s.new_student.state_dict())
            s.student_optimizer.state.clear()

        for _ in range(0 if fixed else self.generator_steps):  # generation, Eq. 7
            with frozen(s.student):
                x = s.generator(*s.noise(self.batch))
                d = grown(s.teacher(x), s.student(x))
                loss = losses.add("generator", {"-discrepancy": -d})
                s.generator_optimizer.zero_grad()
                loss.backward()
            s.generator_optimizer.step()
        s.watched()

        for _ in range(self.student_steps):  # imitation, Eq. 5
            x = s.draw(s.generator, self.student_batch)
            d = discrepancy(s.teacher(x), s.student(x))
            loss = losses.add("student", {"discrepancy": d})
            s.student_optimizer.zero_grad()
            loss.backward()
            s.student_optimizer.step()
            s.samples += len(x)
        return losses


def log_mae(teacher: Logits, student: Logits) -> Scalar:
    """log(1 + MAE): DFAD's code gives the generator its negative in segmentation.

    Not in the paper. Its gradient is that of MAE, divided by 1 + MAE.
    """
    return mae(teacher, student).log1p()
