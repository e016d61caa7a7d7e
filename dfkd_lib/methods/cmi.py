"""Contrastive Model Inversion (Fang et al. 2021): a bank of images that differ.

Images are found batch by batch: a fresh generator and its noise descend on the loss of
model inversion and on a contrastive loss, by which two views of an image resemble each
other more than any other image of the batch or the bank.

Deviations from the public code: the last images of a batch are kept, not those of the
lowest loss; a bank that is full loses images at random; the student draws from it with
replacement, and its schedule is this book's; nothing is found in advance; the features
are those of all convolutions, for ResNet-34 too.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from ..losses import Images, Labels, Rows, Scalar, agreed_kl, bn_norms, kd, unit
from . import setting
from .state import Choices, Losses, Memory, State, Task, frozen

_ALSO = "one-hot of a class, BatchNorm, agreed KL, contrast with the bank"


@dataclass(frozen=True)
class CMI:
    """KL on a bank of images, each found to differ from those in the bank."""

    choices: ClassVar = Choices("KL", _ALSO, "a bank", "z", "all images")
    data: ClassVar = None

    lambda_bn: setting.Weight = 1.0  # the weights are the code's, for WRN-40-2
    lambda_onehot: setting.Weight = 0.5
    lambda_adv: setting.Weight = 0.5
    lambda_contrast: setting.Weight = 0.8
    contrast_temperature: setting.Temperature = 0.1
    negatives: setting.Size = 1024  # of the bank, for one batch; 4096 in the code
    head_width: setting.Size = 128  # of the vectors compared; 256 in the code
    inversion_steps: setting.Count = 12  # of one batch of images; 200 in the code
    inversion_lr: setting.Weight = 1e-3  # of its Adam, and of the head's
    generator_steps: setting.Count = 1  # batches of images a stage
    memory: setting.Size = 8192  # images kept
    shift: setting.CountFrom0 = 2  # pixels by which an image moves when it is seen
    flips: bool = False
    temperature: setting.Temperature = 1.0
    batch: setting.Size = 128  # images that are found at once
    generator: setting.Generator = "generator_a"
    generator_width: setting.Size = 8
    z_dim: setting.Size = 100
    generator_beta1: setting.BelowOne = 0.5
    student_steps: setting.Count = 80
    student_batch: setting.Size = 128
    student_optimizer: setting.Optimizer = "sgd"
    student_lr: setting.Weight = 0.1
    student_momentum: setting.Fraction = 0.9
    student_weight_decay: setting.Weight = 5e-4
    schedule: setting.Schedule = "cosine"
    milestones: tuple[float, ...] = (1 / 3, 2 / 3)  # of "step", as fractions
    stages: setting.Count = 20
    stages_per_epoch: setting.Count = 2  # how often the student is tested

    __post_init__ = setting.check

    def start(self, teacher: nn.Module, student: nn.Module, task: Task, seed: int):
        """Networks, optimisers, noise, and the bank with its features."""
        s = State(teacher, student, task, seed)
        s.make_generator(self)
        s.optimize_student(self)
        with torch.no_grad(), means_of_maps(s.teacher) as means:
            s.teacher(torch.zeros(1, *task.shape, device=task.device))
        width = sum(m.shape[1] for m in means)
        hidden = nn.Linear(width, width), nn.ReLU(), nn.Linear(width, self.head_width)
        s.head = nn.Sequential(*hidden).to(task.device)
        s.head_optimizer = torch.optim.Adam(s.head.parameters(), self.inversion_lr)
        s.memory = Memory(self.memory, task.shape, task.device)
        s.features = Memory(self.memory, (2, width), task.device)
        return s

    def stage(self, s: State) -> Losses:
        """Find images, keep them, and let the student learn from those kept."""
        losses = Losses()
        for batch in range(self.generator_steps):
            s.reinitialise(s.generator, s.stage * self.generator_steps + batch)
            losses.add("generator", self.find(s))
        s.watched()

        for _ in range(self.student_steps):
            x = s.memory.draw(self.student_batch, s.random)
            x = s.view(x, self.shift, self.flips)
            terms = {"KL": kd(s.teacher(x), s.student(x), self.temperature)}
            loss = losses.add("student", terms)
            s.student_optimizer.zero_grad()
            loss.backward()
            s.student_optimizer.step()
            s.samples += len(x)
        return losses

    def find(self, s: State) -> dict[str, Tensor]:
        """Steps of the generator, its noise and the head; the terms of the last one."""
        z, y = s.noise(self.batch)
        weights = [*s.generator.parameters(), z.requires_grad_()]
        betas = self.generator_beta1, 0.999
        optimizer = torch.optim.Adam(weights, self.inversion_lr, betas, fused=True)
        s.student.eval()  # its BatchNorm statistics are not the images' business
        with frozen(s.student):
            for _ in range(self.inversion_steps):
                x = s.generator(z, y)
                terms, features = self.image_loss(s, x, y)
                optimizer.zero_grad()
                s.head_optimizer.zero_grad()
                sum(terms.values()).backward()
                optimizer.step()
                s.head_optimizer.step()
        s.student.train()
        s.memory.add(x.detach(), s.random)
        s.features.add(features.detach(), s.random)
        return terms

    def image_loss(
        self, s: State, x: Images, y: Labels
    ) -> tuple[dict[str, Tensor], Float[Tensor, "n 2 width"]]:
        """Loss of inversion on a whole view; its contrast with a part of the image."""
        whole, part = s.view(x, self.shift, self.flips), zoomed(x, s.random)
        with means_of_maps(s.teacher) as means:
            logits, bn = bn_norms(s.teacher, whole)
        with means_of_maps(s.teacher) as means_of_part:
            s.teacher(s.view(part, 0, self.flips))
        seen = torch.stack([torch.cat(means_of_part, 1), torch.cat(means, 1)], 1)
        given = {"generator": s.random, "device": x.device}
        kept = torch.randperm(int(s.features.filled), **given)[: self.negatives]
        all_seen = torch.cat([seen, s.features.images[kept]])
        parts, wholes = unit(s.head(all_seen)).unbind(1)
        terms = {
            "BatchNorm": self.lambda_bn * bn,
            "one-hot": self.lambda_onehot * F.cross_entropy(logits, y),
            "contrast": self.lambda_contrast
            * contrast(parts, wholes.detach(), len(x), self.contrast_temperature),
        }
        if self.lambda_adv:
            terms["-agreed KL"] = -self.lambda_adv * agreed_kl(logits, s.student(whole))
        return terms, seen


def contrast(parts: Rows, wholes: Rows, new: int, temperature: float) -> Scalar:
    """−log of the share of an image's own view in Σ exp(cos / τ) over all images.

    The mean over the `new` images, which come first, plus that over the bank's.
    """
    own = torch.arange(len(parts), device=parts.device)
    each = F.cross_entropy(parts @ wholes.T / temperature, own, reduction="none")
    return each[:new].mean() + (each[new:].mean() if len(each) > new else 0)


def zoomed(x: Images, random: torch.Generator, least: float = 0.25) -> Images:
    """A random square of each image, of `least` to all of its area, at full size."""
    u = torch.rand(3, len(x), 1, generator=random, device=x.device)
    side = (least + (1 - least) * u[0]).sqrt()
    middle = (1 - side) * (2 * u[1:] - 1)  # of the square; the image is [−1, 1]²
    zero = torch.zeros_like(side)
    rows = torch.cat([side, zero, middle[0], zero, side, middle[1]], 1)
    grid = F.affine_grid(rows.unflatten(1, (2, 3)), list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, padding_mode="border", align_corners=False)


@contextlib.contextmanager
def means_of_maps(network: nn.Module) -> Iterator[list[Float[Tensor, "n _"]]]:
    """Each convolution's maps, averaged over places, of a pass inside the block.

    Of a network without convolutions, what its linear layers give.
    """
    convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
    linear = [m for m in network.modules() if isinstance(m, nn.Linear)]
    means: list[Float[Tensor, "n _"]] = []

    def note(layer: nn.Module, inputs: tuple[Tensor], y: Tensor) -> None:
        means.append(y.float().reshape(*y.shape[:2], -1).mean(2))

    with contextlib.ExitStack() as hooks:
        for layer in convolutions or linear:
            hooks.enter_context(layer.register_forward_hook(note))
        yield means
