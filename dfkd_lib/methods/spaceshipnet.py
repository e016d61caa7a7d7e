"""SpaceshipNet (Yu et al. 2023): the bank keeps maps of the generator, not images.

The student's images are made from kept maps by the generator as it is now. Half of the
channels of a map come from another one's, so that new images arise. The student also
has to look where the teacher looks: class activation maps and Grad-CAM agree.

Deviations from the public code: a batch of maps is kept at one of the three layers, in
turn, not at all of them; the last maps of a batch are kept, not those of the lowest
loss; maps are drawn with replacement, and the generator makes images of them with their
own BatchNorm statistics, not with running ones; KL is not divided by the number of
classes; the schedule is this book's.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from ..losses import Images, Labels, bn_norms, kd, mse
from ..models import Cut, Features, classifier_of
from ..models.generators import GeneratorA
from . import setting
from .features import map_shapes, spatial
from .state import Choices, Losses, Memory, State, Task

_CUTS = (0, 4, 8)  # layers of Generator-A after which maps are kept


@dataclass(frozen=True)
class SpaceshipNet:
    """KL and activation regions, on images of a bank of maps that exchange channels."""

    choices: ClassVar = Choices(
        "KL, and activation maps", "one-hot of a class, BatchNorm",
        "G, from kept maps", "z", "maps of G",
    )  # fmt: skip
    data: ClassVar = None

    lambda_bn: setting.Weight = 1.0  # the weights are the code's
    lambda_onehot: setting.Weight = 0.5
    lambda_cam: setting.Weight = 1.0  # of all classes' activation maps
    lambda_gradcam: setting.Weight = 1.0  # of Grad-CAM, for the teacher's class
    exchange_share: setting.Fraction = 0.7  # of the student's batches
    inversion_steps: setting.Count = 10  # of one batch of maps; 200 in the code
    inversion_lr: setting.Weight = 1e-3  # of its Adam
    generator_steps: setting.Count = 1  # batches of maps a stage
    memory: setting.Size = 2730  # maps kept of each layer
    shift: setting.CountFrom0 = 2  # pixels by which an image moves when it is seen
    flips: bool = False
    temperature: setting.Temperature = 1.0  # 30 in the code
    batch: setting.Size = 128  # images that are found at once
    generator: str = setting.fixed("generator_a")
    generator_width: setting.Size = 8
    z_dim: setting.Size = 100
    generator_beta1: setting.BelowOne = 0.5
    student_steps: setting.Count = 36
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
        """Networks, optimiser, noise, and a bank for each layer."""
        s = State(teacher, student, task, seed)
        s.layers = spatial(map_shapes(s.teacher, s.student, task.shape)[0])
        s.make_generator(self)
        s.optimize_student(self)
        with torch.no_grad():
            shapes = [h.shape[1:] for h in head(s.generator, s.noise(2)[0])]
        s.grid, s.low, s.high = (
            Memory(self.memory, tuple(shape), task.device) for shape in shapes
        )
        return s

    def stage(self, s: State) -> Losses:
        """Find maps, keep them, and let the student learn from mixtures of them."""
        losses = Losses()
        banks = s.grid, s.low, s.high
        for batch in range(self.generator_steps):
            number = (s.stage - 1) * self.generator_steps + batch
            losses.add("generator", self.find(s, banks, number % 3))
        s.watched()

        filled = [cut for cut in range(3) if int(banks[cut].filled)]
        for step in range(self.student_steps):
            cut = filled[step % len(filled)]
            with torch.no_grad():
                h = banks[cut].draw(self.student_batch, s.random)
                h = exchange(h, self.exchange_share, s.random)
                x = s.view(tail(s.generator, h, cut), self.shift, self.flips)
            teacher = s.teacher.stages(x.requires_grad_())
            loss = losses.add("student", self.student_loss(s, teacher, x.detach()))
            s.student_optimizer.zero_grad()
            loss.backward()
            s.student_optimizer.step()
            s.samples += len(x)
        return losses

    def find(self, s: State, banks: tuple[Memory, ...], cut: int) -> dict[str, Tensor]:
        """Steps of the generator on one batch of noise; keep its maps of a layer."""
        z, y = s.noise(self.batch)
        weights, betas = s.generator.parameters(), (self.generator_beta1, 0.999)
        optimizer = torch.optim.Adam(weights, self.inversion_lr, betas, fused=True)
        for _ in range(self.inversion_steps):
            maps = head(s.generator, z)
            x = s.view(tail(s.generator, maps[-1], 2), self.shift, self.flips)
            logits, bn = bn_norms(s.teacher, x)
            terms = {
                "BatchNorm": self.lambda_bn * bn,
                "one-hot": self.lambda_onehot * F.cross_entropy(logits, y),
            }
            optimizer.zero_grad()
            sum(terms.values()).backward()
            optimizer.step()
        banks[cut].add(maps[cut].detach().float(), s.random)
        return terms

    def student_loss(self, s: State, teacher: Features, x: Images) -> dict[str, Tensor]:
        """KL, all classes' activation maps, and Grad-CAM of the teacher's class."""
        student = s.student.stages(x)
        y = teacher.logits.argmax(1)
        pairs = zip(
            grad_cam(teacher, y, s.layers), grad_cam(student, y, s.layers), strict=True
        )
        gap = sum(mse(t.detach(), m) for t, m in pairs)
        terms = {"KL": kd(teacher.logits.detach(), student.logits, self.temperature)}
        terms["Grad-CAM"] = self.lambda_gradcam * gap
        if self.lambda_cam and (both := class_maps(s, teacher, student)):
            terms["CAM"] = self.lambda_cam * mse(both[0].detach(), both[1])
        return terms


def head(generator: nn.Module, z: Tensor) -> list[Float[Tensor, "n _ _ _"]]:
    """The maps of Generator-A after its grid and both of its wide convolutions."""
    maps, inner = [], inside(generator)
    with inner.precision(z):
        h = inner.project(z).unflatten(1, inner.grid)
        for position, layer in enumerate(inner.layers[: _CUTS[-1] + 1]):
            h = layer(h)
            if position in _CUTS:
                maps.append(h)
    return maps


def tail(generator: nn.Module, h: Float[Tensor, "n _ _ _"], cut: int) -> Images:
    """The images that follow from maps of a layer."""
    inner = inside(generator)
    with inner.precision(h):
        for layer in inner.layers[_CUTS[cut] + 1 : -inner.squashing]:
            h = layer(h)
    return generator.squash(h.to(inner.project.weight.dtype))


def inside(generator: nn.Module) -> GeneratorA:
    """The generator, also where its square images are cut to another shape."""
    return generator.inner if isinstance(generator, Cut) else generator


def exchange(
    h: Float[Tensor, "n c height width"], share: float, random: torch.Generator
) -> Float[Tensor, "n c height width"]:
    """Half of the channels of each map from the one at the other end of the batch.

    Of a `share` of the batches; the others stay as they are.
    """
    given = {"generator": random, "device": h.device}
    own = torch.rand(h.shape[:2], **given).argsort(1) < h.shape[1] // 2
    own = own | (torch.rand(1, **given) >= share)
    return torch.where(own[:, :, None, None], h, h.flip(0))


def grad_cam(
    seen: Features, y: Labels, layers: list[int]
) -> list[Float[Tensor, "n _ _"]]:
    """Maps of a class: channels weighted by the mean gradient of its logit."""
    maps = [seen.maps[i] for i in layers]
    chosen = seen.logits.gather(1, y[:, None]).sum()
    slopes = torch.autograd.grad(chosen, maps, retain_graph=True)
    pairs = zip(slopes, maps, strict=True)
    return [(g.mean((2, 3), keepdim=True) * m).sum(1) for g, m in pairs]


def class_maps(s: State, *both: Features) -> list[Float[Tensor, "n classes _ _"]]:
    """The classifier's weights applied to each place of the last maps.

    Nothing for networks whose classifier does not read the mean of those maps.
    """
    made = []
    for network, seen in zip((s.teacher, s.student), both, strict=True):
        last, weight = seen.maps[-1], classifier_of(network).weight.detach()
        if last.shape[1] != weight.shape[1]:
            return []
        made.append(torch.einsum("nchw,kc->nkhw", last, weight))
    return made
