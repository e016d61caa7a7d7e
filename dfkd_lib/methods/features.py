"""FitNet, AT and FT, AR+VI's baselines with data: S follows what is inside T.

A layer of the student that must meet one of the teacher's does so through helper layers
that train along and are not part of the student.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import UserError
from ..losses import Images, Scalar, kd, mse, unit
from ..models import Classifier
from ..models.network import Shape
from . import setting
from .kd import KD, Student
from .state import Choices, Losses, State, Task

_LABELLED = "the original images and labels"


@dataclass(frozen=True)
class FitNet(Student):
    """FitNets (Romero et al. 2015): KD and a hint at once, not one after the other."""

    choices: ClassVar = KD.choices._replace(discrepancy="KL, and a hint")
    data: ClassVar = "original"

    temperature: setting.Temperature = 1.0
    lambda_hint: setting.Weight = 1.0
    data_share: setting.PositiveFraction = 1.0

    def start(self, teacher: nn.Module, student: nn.Module, task: Task, seed: int):
        """Networks, a regressor from the student's middle maps, and the optimiser."""
        s = State(teacher, student, task, seed)
        wide, narrow = map_shapes(s.teacher, s.student, task.shape)
        s.layer = len(wide) // 2
        s.regressor = task.place(nn.Conv2d(narrow[s.layer][0], wide[s.layer][0], 1))
        s.optimize_student(self, [*student.parameters(), *s.regressor.parameters()])
        return s

    def stage(self, s: State) -> Losses:
        """FitNets Eq. 2 and 3."""
        losses = Losses()
        for _ in range(self.student_steps):
            x, _ = self.batch_of(s)
            teacher, student = s.teacher.stages(x), s.student.stages(x)
            guided = s.regressor(student.maps[s.layer])
            terms = {
                "KL": kd(teacher.logits, student.logits, self.temperature),
                "hint": self.lambda_hint * mse(teacher.maps[s.layer], guided),
            }
            self.learn(s, losses, terms)
        return losses


@dataclass(frozen=True)
class AT(Student):
    """Attention transfer (Zagoruyko and Komodakis 2017): labels and attention maps."""

    choices: ClassVar = Choices("attention maps", "no generator", _LABELLED, "–")
    data: ClassVar = "original"

    lambda_attention: setting.Weight = 100.0  # AT's own, 1000, diverges with LeNet-5
    data_share: setting.PositiveFraction = 1.0

    def start(self, teacher: nn.Module, student: nn.Module, task: Task, seed: int):
        """Networks and optimiser."""
        s = State(teacher, student, task, seed)
        s.layers = spatial(map_shapes(s.teacher, s.student, task.shape)[0])
        s.optimize_student(self)
        return s

    def stage(self, s: State) -> Losses:
        """AT Eq. 2."""
        losses = Losses()
        for _ in range(self.student_steps):
            x, y = self.batch_of(s)
            teacher, student = s.teacher.stages(x), s.student.stages(x)
            maps = [(teacher.maps[i], student.maps[i]) for i in s.layers]
            gap = sum(mse(attention_map(t), attention_map(m)) for t, m in maps)
            terms = {
                "labels": F.cross_entropy(student.logits, y),
                "attention": self.lambda_attention * gap,
            }
            self.learn(s, losses, terms)
        return losses


@dataclass(frozen=True)
class FT(Student):
    """Factor transfer (Kim et al. 2018): labels, and factors of T's last maps.

    The paraphraser learns to rebuild the teacher's maps before the student starts, for
    two tests' worth of steps (ours). Its factors have half the teacher's channels.
    """

    choices: ClassVar = Choices("factors of features", "no generator", _LABELLED, "–")
    data: ClassVar = "original"

    lambda_factor: setting.Weight = 1.0
    data_share: setting.PositiveFraction = 1.0

    def start(self, teacher: nn.Module, student: nn.Module, task: Task, seed: int):
        """Networks, FT's three helpers, and the optimiser."""
        s = State(teacher, student, task, seed)
        wide, narrow = map_shapes(s.teacher, s.student, task.shape)
        s.layer = spatial(wide)[-1]
        channels, own = wide[s.layer][0], narrow[s.layer][0]
        factors = max(channels // 2, 1)
        s.paraphraser = task.place(three_convolutions(channels, factors))
        s.decoder = task.place(three_convolutions(factors, channels))
        s.translator = task.place(three_convolutions(own, factors))
        s.optimize_student(self, [*student.parameters(), *s.translator.parameters()])
        return s

    def stage(self, s: State) -> Losses:
        """FT's student loss with p = 1."""
        losses = Losses()
        if s.stage == 1:
            self.paraphrase(s)
        for _ in range(self.student_steps):
            x, y = self.batch_of(s)
            with torch.no_grad():
                factors = s.paraphraser(s.teacher.stages(x).maps[s.layer])
            student = s.student.stages(x)
            gap = factor_gap(factors, s.translator(student.maps[s.layer]))
            terms = {
                "labels": F.cross_entropy(student.logits, y),
                "factors": self.lambda_factor * gap,
            }
            self.learn(s, losses, terms)
        return losses

    def paraphrase(self, s: State) -> None:
        """Train the paraphraser without labels: FT's first stage."""
        pair = nn.ModuleList([s.paraphraser, s.decoder])
        optimizer = torch.optim.Adam(pair.parameters(), 1e-3)
        for _ in range(2 * self.stages_per_epoch * self.student_steps):
            maps = s.teacher.stages(self.batch_of(s)[0]).maps[s.layer]
            optimizer.zero_grad()
            mse(maps, s.decoder(s.paraphraser(maps))).backward()
            optimizer.step()


def attention_map(features: Images) -> Float[Tensor, "n pixels"]:
    """Squares summed over channels, of unit length per image (AT Section 3.1)."""
    return unit(features.square().sum(dim=1).flatten(1))


def factor_gap(teacher: Images, student: Images) -> Scalar:
    """Mean absolute error of two factors, each of unit length per image (FT, p = 1)."""
    return (unit(teacher.flatten(1)) - unit(student.flatten(1))).abs().mean()


def shapes_of(network: nn.Module, shape: Shape, first: int = 0) -> list[torch.Size]:
    """The shapes of a network's maps from stage `first` on: (channels, h, w) each.

    A UserError for a network that is not the library's, or has no maps (vit_small).
    """
    if not isinstance(network, Classifier) or not network.cuts:
        line = "pair: FitNet, AT, FT, ZSKT, SpaceshipNet and distill=simkd, ofa, semckd"
        line += " and catkd look inside networks and know only the library's own"
        raise UserError(f"{line}, except vit_small; give a pair of those")
    x = torch.zeros(2, *shape, device=next(network.parameters()).device)
    training = network.training
    with torch.no_grad():  # in evaluation mode: BatchNorm's statistics must not move
        maps = network.eval().stages(x).maps[first:]
    network.train(training)
    return [m.shape[1:] for m in maps]


def map_shapes(
    teacher: nn.Module, student: nn.Module, shape: Shape, first: int = 0
) -> tuple[list[torch.Size], list[torch.Size]]:
    """The shapes of both networks' maps from stage `first` on.

    A UserError for networks that are not the library's, or maps of different sizes.
    """
    wide, narrow = (shapes_of(network, shape, first) for network in (teacher, student))
    sizes = [[shape[1] for shape in shapes] for shapes in (wide, narrow)]
    if sizes[0] != sizes[1]:
        line = "pair: this method needs maps of equal sizes, but the teacher's have "
        line += f"{sizes[0]} pixels a side and the student's {sizes[1]}; give two "
        raise UserError(f"{line}networks of one family, as in wrn40_2-wrn16_2")
    return wide, narrow


def spatial(shapes: list[torch.Size]) -> list[int]:
    """Which maps have more than one pixel; a UserError where none has."""
    if found := [i for i, shape in enumerate(shapes) if shape[1] > 1]:
        return found
    raise UserError("method: it needs maps of many pixels; here, take fitnet or abm")


def three_convolutions(channels: int, out: int) -> nn.Sequential:
    """FT's paraphraser, decoder and translator alike: three 3×3 convolutions."""
    return nn.Sequential(
        nn.Conv2d(channels, channels, 3, 1, 1), nn.LeakyReLU(0.1),
        nn.Conv2d(channels, out, 3, 1, 1), nn.LeakyReLU(0.1),
        nn.Conv2d(out, out, 3, 1, 1), nn.LeakyReLU(0.1),
    )  # fmt: skip
