"""Fast data-free distillation (Fang et al. 2022): the generator's start is learned.

Each batch of images begins at a generator that is meta-learned over all batches, so
that a few steps suffice. The images are kept, and the student learns from the bank.

Deviations from the public code: no moving average of the batch's BatchNorm moments; the
last images of a batch are kept, not those of the lowest loss; the student draws from
the bank with replacement; its schedule is this book's, and the meta step's rate has it
too.
"""

import copy
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..losses import Images, Labels, agreed_kl, bn_norms, kd, mae
from . import setting
from .state import Choices, Losses, Memory, State, Task, frozen


@dataclass(frozen=True)
class Fast:
    """KL on a bank of images, which few steps from a meta-learned generator find."""

    choices: ClassVar = Choices(
        "KL", "one-hot of a class, BatchNorm, agreed KL", "a bank", "z", "all images"
    )
    data: ClassVar = None

    lambda_bn: setting.Weight = 10.0  # the weights are the code's, for ResNet-34
    lambda_onehot: setting.Weight = 0.5
    lambda_adv: setting.Weight = 1.33
    inversion_steps: setting.Count = 5  # k of a batch: "Fast-5"
    inversion_lr: setting.Weight = 3e-3  # of its Adam; the meta step's is k times it
    noise_lr: setting.Weight = 0.01
    generator_steps: setting.Count = 1  # batches of images a stage
    warmup: setting.CountFrom0 = 16  # batches before the student begins to compete
    reset_share: setting.Fraction = 0.6  # of the stages, then the first layer is reset
    memory: setting.Size = 8192  # images kept
    shift: setting.CountFrom0 = 2  # pixels by which an image moves when it is seen
    flips: bool = False
    discrepancy: str = setting.fixed("kl")  # "mae" in Composed
    temperature: setting.Temperature = 1.0
    batch: setting.Size = 128  # images that are found at once
    generator: setting.Generator = "generator_a"
    generator_width: setting.Size = 8
    z_dim: setting.Size = 100
    generator_beta1: setting.BelowOne = 0.5
    generator_weight_decay: setting.Weight = 0.0
    student_steps: setting.Count = 40
    student_batch: setting.Size = 128
    student_optimizer: setting.Optimizer = "sgd"
    student_lr: setting.Weight = 0.1
    student_momentum: setting.Fraction = 0.9
    student_weight_decay: setting.Weight = 5e-4
    schedule: setting.Schedule = "cosine"  # of the student's rate and the meta step's
    milestones: tuple[float, ...] = (1 / 3, 2 / 3)  # of "step", as fractions
    stages: setting.Count = 40
    stages_per_epoch: setting.Count = 4  # how often the student is tested

    __post_init__ = setting.check

    @property
    def generator_lr(self) -> float:
        """The rate of the meta-optimiser, as in the code."""
        return self.inversion_lr * self.inversion_steps

    def start(self, teacher: nn.Module, student: nn.Module, task: Task, seed: int):
        """Networks, optimisers, noise and bank of a run."""
        s = State(teacher, student, task, seed)
        s.make_generator(self)
        s.optimize_student(self)
        s.optimize_generator(self)
        s.memory = Memory(self.memory, task.shape, task.device)
        return s

    def stage(self, s: State) -> Losses:
        """Find images from the learned start, keep them, and let the student learn."""
        losses = Losses()
        for _ in range(self.warmup * (s.stage == 1)):
            self.find(s, competing=False)
        if s.stage == round(self.reset_share * self.stages) + 1 and self.reset_share:
            linear = (m for m in s.generator.modules() if isinstance(m, nn.Linear))
            s.reinitialise(next(linear), s.stage)
        for _ in range(self.generator_steps):
            losses.add("generator", self.find(s))
        s.watched()

        for _ in range(self.student_steps):
            x = s.memory.draw(self.student_batch, s.random)
            x = s.view(x, self.shift, self.flips)
            wanted, logits = s.teacher(x), s.student(x)
            if self.discrepancy == "kl":
                terms = {"KL": kd(wanted, logits, self.temperature)}
            else:
                terms = {"MAE": mae(wanted, logits)}
            loss = losses.add("student", terms)
            s.student_optimizer.zero_grad()
            loss.backward()
            s.student_optimizer.step()
            s.samples += len(x)
        return losses

    def find(self, s: State, competing: bool = True) -> dict[str, Tensor]:
        """k steps of a copy of the generator and its noise, then the meta step.

        The meta gradient is the sum of the copy's gradients (first-order MAML).
        Returns the terms of the last step.
        """
        z, y = s.noise(self.batch)
        clone, weights = copy.deepcopy(s.generator), list(s.generator.parameters())
        groups = [{"params": list(clone.parameters())}]
        groups += [{"params": [z.requires_grad_()], "lr": self.noise_lr}]
        betas = self.generator_beta1, 0.999
        optimizer = torch.optim.Adam(groups, self.inversion_lr, betas, fused=True)
        meta = [torch.zeros_like(p) for p in weights]
        s.student.eval()  # its BatchNorm statistics are not the images' business
        with frozen(s.student):
            for _ in range(self.inversion_steps):
                x = clone(z, y)
                terms = self.image_loss(s, x, y, competing)
                optimizer.zero_grad()
                sum(terms.values()).backward()
                torch._foreach_add_(meta, [p.grad for p in clone.parameters()])
                optimizer.step()
        s.student.train()
        for p, gradient in zip(weights, meta, strict=True):
            p.grad = gradient
        s.generator_optimizer.step()
        s.memory.add(x.detach(), s.random)
        return terms

    def image_loss(
        self, s: State, x: Images, y: Labels, competing: bool
    ) -> dict[str, Tensor]:
        """BatchNorm moments, the class that was asked for, the student's errors."""
        x = s.view(x, self.shift, self.flips)
        logits, bn = bn_norms(s.teacher, x)
        terms = {
            "BatchNorm": self.lambda_bn * bn,
            "one-hot": self.lambda_onehot * F.cross_entropy(logits, y),
        }
        if self.lambda_adv and competing:
            terms["-agreed KL"] = -self.lambda_adv * agreed_kl(logits, s.student(x))
        return terms


@dataclass(frozen=True)
class Composed(Fast):
    """This book's composition of the five choices: MAE on images that Fast finds.

    DFAD's discrepancy, Fast's search and its bank, no reset of the generator. One trial
    on digits, with a seed of its own, chose it (results/composed_tuning.jsonl).
    """

    choices: ClassVar = Fast.choices._replace(discrepancy="MAE")

    discrepancy: str = setting.fixed("mae")
    temperature: float = setting.fixed(1.0)
    reset_share: float = setting.fixed(0.0)
