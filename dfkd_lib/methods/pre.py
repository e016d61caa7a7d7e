# ruff: noqa: I001  (long imports in a few lines)
"""PRE-DFKD (Binici et al. 2022): a variational autoencoder replays past images.

The student learns from the generator's images and from an eighth as many that the
memory, a VAE's decoder, makes. The VAE learns from both kinds, so that it keeps what
the generator no longer makes, and no image has to be stored.

Deviations from the public code: JS is the divergence of the whole distributions, where
the code clamps probabilities and averages over classes as well; logarithms are natural;
the activation term is AR+VI's L1 norm; the memory has the generator's layers, with
torch's first weights, and the encoder is small; the VAE's steps follow the student's,
on fresh images, and its first one replays as all others do; the memory replays with its
running moments for the VAE too, and the variance of z is the biased one.
"""

import copy
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..losses import (
    Images, Scalar, activation, information_entropy, js, mae, one_hot, rows,
)  # fmt: skip
from ..models import embedding_and_logits
from . import setting
from .state import Choices, Losses, State, Task, frozen

Code = Float[Tensor, "n z"]


@dataclass(frozen=True)
class PRE:
    """PRE-DFKD (Binici et al. 2022): MAE on new images and on a VAE's replay."""

    choices: ClassVar = Choices(
        "MAE", "1 − JS, DAFL's three terms", "G and a VAE's decoder", "z"
    )
    data: ClassVar = None
    discrepancy: ClassVar = "mae"  # for what `distill` says of a teacher

    lambda_onehot: setting.Weight = 1.0  # the code's, whose entropy has base 10
    lambda_entropy: setting.Weight = 5.0
    lambda_activation: setting.Weight = 1e-3
    js_temperature: setting.Temperature = 3.0
    replay_share: setting.PositiveFraction = 0.125  # of a batch, besides it
    memory_steps: setting.CountFrom0 = 4  # of the VAE, a stage
    memory_lr: setting.Weight = 5e-4  # Adam, of encoder and decoder
    lambda_prior: setting.Weight = 1e-5  # KL to N(0, I) of the VAE
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
        """Networks, the VAE, optimisers and noise of a run."""
        s = State(teacher, student, task, seed)
        s.make_generator(self)
        s.optimize_student(self)
        s.optimize_generator(self)
        s.memory = copy.deepcopy(s.generator)
        s.reinitialise(s.memory, 0)
        narrow = encoder(task.shape, 8 * self.generator_width, self.z_dim)
        s.encoder = task.place(narrow).train()
        weights = [*s.memory.parameters(), *s.encoder.parameters()]
        s.memory_optimizer = torch.optim.Adam(weights, self.memory_lr, fused=True)
        return s

    def stage(self, s: State) -> Losses:
        """The generator; then student and VAE, on new and on replayed images."""
        losses = Losses()
        for _ in range(self.generator_steps):
            with frozen(s.student):
                x = s.generator(*s.noise(self.batch))
                features, logits = embedding_and_logits(s.teacher, x)
                soft = (a / self.js_temperature for a in (logits, s.student(x)))
                terms = {
                    "one-hot": self.lambda_onehot * one_hot(logits),
                    "entropy": self.lambda_entropy * information_entropy(logits),
                    "activation": self.lambda_activation * activation(rows(features)),
                    "1 − JS": 1 - js(*soft),
                }
                loss = losses.add("generator", terms)
                s.generator_optimizer.zero_grad()
                loss.backward()
            s.generator_optimizer.step()
        s.watched()

        for _ in range(self.student_steps):
            new = s.draw(s.generator, self.student_batch)
            x = torch.cat([new, self.replay(s)])
            loss = losses.add("student", {"MAE": mae(s.teacher(x), s.student(x))})
            s.student_optimizer.zero_grad()
            loss.backward()
            s.student_optimizer.step()
            s.samples += len(x)

        for _ in range(self.memory_steps):
            new = s.draw(s.generator, -(-self.student_batch // 2))
            self.remember(s, torch.cat([new, self.replay(s)]))
        return losses

    def replay(self, s: State) -> Images:
        """Images of the memory, after one step of their noise.

        It makes the teacher's answers firm and diverse, and the noise standard normal.
        """
        n = max(round(self.replay_share * self.student_batch), 1)
        z, y = s.noise(n)
        optimizer = torch.optim.Adam([z.requires_grad_()], self.generator_lr)
        s.memory.eval()
        with frozen(s.memory):
            logits = s.teacher(s.memory(z, y))
            var, mean = torch.var_mean(z, 0, correction=0)
            prior = (var - 1).square().mean() + mean.square().mean()
            firm = self.lambda_onehot * one_hot(logits)
            diverse = self.lambda_entropy * information_entropy(logits)
            (firm + diverse + prior).backward()
        optimizer.step()
        with torch.no_grad():
            x = s.memory(z, y)
        s.memory.train()
        return x

    def remember(self, s: State, x: Images) -> None:
        """A step of the VAE on images and on what the teacher says of them."""
        mean, log_var = s.encoder(x).chunk(2, 1)
        given = {"generator": s.random, "device": x.device}
        z = mean + (log_var / 2).exp() * torch.randn(mean.shape, **given)
        made = s.memory(z, None)
        rebuilt = mae(x, made) + mae(s.teacher(x), s.teacher(made))
        loss = rebuilt + self.lambda_prior * kl_to_normal(mean, log_var)
        s.memory_optimizer.zero_grad()
        loss.backward()
        s.memory_optimizer.step()


def encoder(shape: tuple[int, int, int], width: int, z_dim: int) -> nn.Sequential:
    """Images → the means and the logarithms of the variances of their codes."""
    channels, h, w = shape
    grid = 2 * width * -(-h // 4) * -(-w // 4)
    return nn.Sequential(
        nn.Conv2d(channels, width, 3, 2, 1), nn.BatchNorm2d(width), nn.LeakyReLU(0.2),
        nn.Conv2d(width, 2 * width, 3, 2, 1), nn.BatchNorm2d(2 * width),
        nn.LeakyReLU(0.2), nn.Flatten(), nn.Linear(grid, 2 * z_dim),
    )  # fmt: skip


def kl_to_normal(mean: Code, log_var: Code) -> Scalar:
    """KL(N(μ, σ²) ‖ N(0, I)), summed over the code and averaged over images."""
    return (mean.square() + log_var.exp() - log_var - 1).sum(1).mean() / 2
