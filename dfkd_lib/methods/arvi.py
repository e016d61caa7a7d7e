"""Activation Regularisation and Virtual Interpolation (Qu et al. 2021).

DFAD's game, whose generator also looks for images that activate the teacher (Eq. 2 and
3), and whose student also learns on mixtures of them (Eq. 8 and 9).

The paper has no combined objective, no weights, no distribution of λ, no discrepancy
for Eq. 9, and no public code. Ours: R_l and R_m join the generator's loss; both parts
of the student's loss have DFAD's discrepancy; f_T in Eq. 3 is what the teacher's last
layer reads; each image is mixed with another one of its batch, by a λ of its own.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..errors import UserError
from ..losses import DISCREPANCIES, Logits, Scalar, activation, one_hot
from ..models import embedding_and_logits
from . import setting
from .state import Choices, Losses, State, Task, drawn_beta, frozen


@dataclass(frozen=True)
class ARVI:
    """DFAD with R_l and R_m for the generator and mixtures for the student."""

    choices: ClassVar = Choices(
        "MAE of logits (inferred)", "R_l, R_m", "G, and mixtures of its images", "z"
    )
    data: ClassVar = None

    discrepancy: setting.Discrepancy = "mae"  # inferred
    lambda_l: setting.Weight = 0.1  # of R_l; the three weights: a search on digits
    lambda_m: setting.Weight = 1e-4  # of R_m
    lambda_vi: setting.Weight = 0.3  # of virtual interpolation
    mixup: Literal["beta", "fixed", "uniform"] = "uniform"  # λ: Beta(a, a), a, U(0, 1)
    mixup_a: setting.Positive = 0.5
    mixup_labels: Literal["chord", "teacher"] = "chord"  # Eq. 9, or T's own answer
    student_steps: setting.Count = 5
    generator_steps: setting.Count = 1
    batch: setting.Size = 128  # images per generator step
    student_batch: setting.Size = 128
    generator: setting.Generator = "generator_a"
    generator_width: setting.Size = 8
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

    def __post_init__(self) -> None:
        setting.check(self)
        if self.mixup == "fixed" and self.mixup_a > 1:
            line = f"mixup_a: {self.mixup_a} is not allowed with mixup = fixed, where"
            raise UserError(f"{line} it is λ; give at most 1")

    def start(self, teacher: nn.Module, student: nn.Module, task: Task, seed: int):
        """Networks, optimisers and noise of a run."""
        s = State(teacher, student, task, seed)
        s.make_generator(self)
        s.optimize_student(self)
        s.optimize_generator(self)
        return s

    def stage(self, s: State) -> Losses:
        """n_G steps of the generator on Eq. 1 to 3, n_S of the student on Eq. 1, 9."""
        losses, discrepancy = Losses(), DISCREPANCIES[self.discrepancy]

        for _ in range(self.generator_steps):
            with frozen(s.student):
                x = s.generator(*s.noise(self.batch))
                features, logits = embedding_and_logits(s.teacher, x)
                terms = {
                    "-discrepancy": -discrepancy(logits, s.student(x)),  # Eq. 1
                    "R_l": self.lambda_l * logit_activation(logits),  # Eq. 2
                    "R_m": self.lambda_m * feature_activation(features),  # Eq. 3
                }
                loss = losses.add("generator", terms)
                s.generator_optimizer.zero_grad()
                loss.backward()
            s.generator_optimizer.step()
        s.watched()

        for _ in range(self.student_steps):
            x = s.draw(s.generator, self.student_batch)
            answers = s.teacher(x)
            terms = {"discrepancy": discrepancy(answers, s.student(x))}  # Eq. 1
            if self.lambda_vi:
                lam = self.mixing(s, len(x))
                mixture = mixup(x, x.roll(1, dims=0), lam)  # Eq. 4
                if self.mixup_labels == "chord":  # Eq. 9
                    ends = answers, answers.roll(1, dims=0)
                    vi = interpolation(*ends, s.student(mixture), lam, discrepancy)
                else:
                    vi = discrepancy(s.teacher(mixture), s.student(mixture))
                terms["VI"] = self.lambda_vi * vi
            loss = losses.add("student", terms)
            s.student_optimizer.zero_grad()
            loss.backward()
            s.student_optimizer.step()
            s.samples += len(x)
        return losses

    def mixing(self, s: State, n: int) -> Float[Tensor, " n"]:
        """λ of n mixtures, from the run's own random state."""
        device, random = s.task.device, s.random
        if self.mixup == "fixed":
            return torch.full((n,), self.mixup_a, device=device)
        if self.mixup == "uniform":
            return torch.rand(n, generator=random, device=device)
        return drawn_beta(self.mixup_a, n, random)


logit_activation = one_hot  # R_l, Eq. 2: its gradient vanishes where T is sure
feature_activation = activation  # R_m, Eq. 3: −‖f_T(x)‖₁, unbounded below


def mixup(
    x: Float[Tensor, "n *shape"], z: Float[Tensor, "n *shape"], lam: Float[Tensor, " n"]
) -> Float[Tensor, "n *shape"]:
    """λx + (1 − λ)z with each image's own λ (AR+VI Eq. 4)."""
    return z.lerp(x, lam.reshape(-1, *[1] * (x.ndim - 1)))


chord = mixup  # of a network's outputs at both ends: λf(x) + (1 − λ)f(z), Eq. 6


def interpolation(
    teacher_x: Logits,
    teacher_z: Logits,
    student_mixture: Logits,
    lam: Float[Tensor, " n"],
    discrepancy: Callable[[Tensor, Tensor], Tensor],
) -> Scalar:
    """The student on the mixture against the teacher's chord (AR+VI Eq. 8 and 9).

    Eq. 9 is Eq. 8 on generated images. A student equal to the teacher keeps the
    teacher's own linearity gap.
    """
    return discrepancy(chord(teacher_x, teacher_z, lam), student_mixture)
