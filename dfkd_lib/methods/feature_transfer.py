"""FitNet, AT and FT, AR+VI's baselines with data: the student also follows what is inside the teacher.

A layer of the student that must meet one of the teacher's does so through layers that train along and are not part of
the student.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .. import ranks
from ..errors import UserError
from ..losses import baselines
from ..models import Classifier
from ..recipe import STUDENT
from .method import Choices, Terms
from .with_data import KD


class _Features(KD):
    """What FitNet, AT and FT share: the networks' feature maps, and layers of their own beside the student."""

    def build_networks(self) -> None:
        if not isinstance(self.teacher, Classifier):
            raise UserError("teacher: FitNet, AT and FT look inside it, and know only the library's own networks")
        x = torch.zeros(2, *self.shape)
        with torch.no_grad():  # a look must not move BatchNorm's statistics; the student trains from here on
            self.teacher_shapes = [m.shape[1:] for m in self.teacher.stages(x).maps]
            self.student_shapes = [m.shape[1:] for m in self.student.eval().stages(x).maps]
        if [s[1:] for s in self.teacher_shapes] != [s[1:] for s in self.student_shapes]:
            sizes = [" ".join(f"{s[1]}" for s in shapes) for shapes in (self.teacher_shapes, self.student_shapes)]
            raise UserError(
                f"pair: {self.recipe.pair} does not fit FitNet, AT and FT: maps of {sizes[0]} pixels in the "
                f"teacher, of {sizes[1]} in the student; give two networks of one family, as in wrn40_2-wrn16_2"
            )
        self.helpers = self.build_helpers()

    def build_helpers(self) -> nn.ModuleDict:
        """Layers that train along with the student."""
        return nn.ModuleDict()

    def networks(self) -> list[nn.Module]:
        return [*super().networks(), self.helpers]

    def student_parameters(self) -> list[nn.Parameter]:
        return [*super().student_parameters(), *(p for p in self.helpers.parameters() if p.requires_grad)]

    def parts(self) -> dict[str, object]:
        return super().parts() | {"helpers": self.helpers}


class FitNet(_Features):
    """FitNets (Romero et al. 2015): KD, and the teacher's middle feature map as a hint; both at once, not in two."""

    choices = Choices("KL, and a hint", "no generator", "the original images", "–")
    uses = (*KD.uses, "lambda_hint")

    def build_helpers(self) -> nn.ModuleDict:
        self.layer = len(self.teacher_shapes) // 2
        channels = self.student_shapes[self.layer][0], self.teacher_shapes[self.layer][0]
        return nn.ModuleDict({"regressor": nn.Conv2d(*channels, 1)})

    def student_loss(self, images: list[Tensor]) -> Terms:
        """FitNets Eq. 2 and 3."""
        x, r = images[0], self.recipe
        teacher, student = self.teacher.stages(x), self.student.stages(x)
        guided = self.helpers["regressor"](student.maps[self.layer])
        return {
            "KL": baselines.kd(teacher.logits, student.logits, r.temperature),
            "hint": r.lambda_hint * baselines.hint(teacher.maps[self.layer], guided),
        }


class AT(_Features):
    """Attention transfer (Zagoruyko and Komodakis 2017): true labels, and the teacher's attention maps."""

    choices = Choices("attention maps", "no generator", "the original images and labels", "–")
    uses = (*STUDENT, "data_share", "lambda_attention")

    def build_helpers(self) -> nn.ModuleDict:
        _spatial(self.teacher_shapes)
        return super().build_helpers()

    def student_loss(self, images: list[Tensor]) -> Terms:
        """AT Eq. 2."""
        x, y = images
        with torch.no_grad():
            teacher = self.teacher.stages(x)
        student = self.student.stages(x)
        pairs = zip(teacher.maps, student.maps, strict=True)
        maps = [pair for pair in pairs if pair[0].shape[2] > 1]  # a single pixel attends to all
        return {
            "labels": F.cross_entropy(student.logits, y),
            "attention": self.recipe.lambda_attention * sum(baselines.attention(t, s) for t, s in maps),
        }


class FT(_Features):
    """Factor transfer (Kim et al. 2018): true labels, and factors of the teacher's last feature map.

    The paraphraser learns to rebuild the teacher's features before the student starts, for two stages' worth of steps
    (ours). Its factors have half the teacher's channels (the paper's k = 0.5).
    """

    choices = Choices("factors of features", "no generator", "the original images and labels", "–")
    uses = (*STUDENT, "data_share", "lambda_factor")

    def build_helpers(self) -> nn.ModuleDict:
        self.layer = _spatial(self.teacher_shapes)[-1]
        teacher, student = self.teacher_shapes[self.layer][0], self.student_shapes[self.layer][0]
        factors = max(teacher // 2, 1)
        return nn.ModuleDict(
            {
                "paraphraser": _three_convolutions(teacher, factors),
                "decoder": _three_convolutions(factors, teacher),
                "translator": _three_convolutions(student, factors),
            }
        )

    def student_parameters(self) -> list[nn.Parameter]:
        return [*self.student.parameters(), *self.helpers["translator"].parameters()]

    def prepare(self) -> None:
        """Train the paraphraser: FT's first stage, without labels."""
        pair = [self.helpers["paraphraser"], self.helpers["decoder"]]
        optimizer = ranks.averaging(torch.optim.Adam([p for network in pair for p in network.parameters()], 1e-3))
        for _ in range(2 * self.recipe.stages_per_epoch * self.recipe.student_steps):
            with torch.no_grad():
                features = self.teacher.stages(self.student_images()[0]).maps[self.layer]
            loss = baselines.paraphrase(features, pair[1](pair[0](features)))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        for network in pair:
            network.eval().requires_grad_(False)

    def load(self, state: dict[str, object]) -> None:
        super().load(state)
        for name in ("paraphraser", "decoder"):
            self.helpers[name].eval().requires_grad_(False)

    def student_loss(self, images: list[Tensor]) -> Terms:
        """FT's student loss, p = 1."""
        x, y = images
        with torch.no_grad():
            factors = self.helpers["paraphraser"](self.teacher.stages(x).maps[self.layer])
        student = self.student.stages(x)
        translated = self.helpers["translator"](student.maps[self.layer])
        return {
            "labels": F.cross_entropy(student.logits, y),
            "factors": self.recipe.lambda_factor * baselines.factor_transfer(factors, translated),
        }


def _spatial(shapes: list[torch.Size]) -> list[int]:
    """Which feature maps have more than one pixel; refuses networks that have none."""
    found = [i for i, shape in enumerate(shapes) if shape[1] > 1]
    if not found:
        raise UserError("method: AT and FT compare maps of many pixels, and these networks have none; take FitNet")
    return found


def _three_convolutions(channels: int, out: int) -> nn.Sequential:
    """FT's paraphraser, decoder and translator alike: three 3×3 convolutions."""
    return nn.Sequential(
        nn.Conv2d(channels, channels, 3, 1, 1), nn.LeakyReLU(0.1),
        nn.Conv2d(channels, out, 3, 1, 1), nn.LeakyReLU(0.1),
        nn.Conv2d(out, out, 3, 1, 1), nn.LeakyReLU(0.1),
    )  # fmt: skip
