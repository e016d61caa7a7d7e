"""Teachers of grey 32×32 images: a plain one, variants of it, a vision transformer."""

from collections.abc import Callable
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .network import Classifier, he_normal

Tokens = Float[Tensor, "n tokens width"]

NORMS: dict[str, Callable[[int], nn.Module]] = {
    "batch": nn.BatchNorm2d,
    "group": partial(nn.GroupNorm, 4),
    "none": lambda channels: nn.Identity(),
}


class ConvNet(Classifier):
    """Three stages of 3×3 convolutions, of 32, 16 and 8 pixels, and their mean.

    `depth` convolutions a stage; `norm` of `NORMS` after each.
    """

    def __init__(
        self, num_classes: int = 10, width: int = 16, depth: int = 1,
        norm: str = "batch",
    ):  # fmt: skip
        layers: list[nn.Module] = []
        cuts, c_in = [], 1
        for stage in range(3):
            for i in range(depth):
                c_out, stride = width * 2**stage, 1 + (stage > 0 and i == 0)
                layers.append(nn.Conv2d(c_in, c_out, 3, stride, 1, bias=norm == "none"))
                layers += [NORMS[norm](c_out), nn.ReLU()]
                c_in = c_out
            cuts.append(len(layers) - 1)
        layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
        features = nn.Sequential(*layers)
        super().__init__(features, nn.Linear(c_in, num_classes), tuple(cuts), size=32)
        he_normal(self)


class Attention(nn.Module):
    """A transformer's block: attention among tokens, then a small MLP, both added."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 3 * width))
        self.out = nn.Linear(width, width)
        self.mlp = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.GELU(),
            nn.Linear(2 * width, width),
        )  # fmt: skip

    def forward(self, x: Tokens) -> Tokens:
        q, k, v = self.qkv(x).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        weights = (q @ k.mT / q.shape[-1] ** 0.5).softmax(-1)
        x = x + self.out((weights @ v).transpose(1, 2).flatten(2))
        return x + self.mlp(x)


class Patches(nn.Module):
    """Images as tokens: 4×4 patches, projected, and their learned places added."""

    def __init__(self, width: int):
        super().__init__()
        self.project = nn.Conv2d(1, width, 4, 4)
        self.places = nn.Parameter(torch.randn(64, width) / 50)

    def forward(self, x: Float[Tensor, "n 1 32 32"]) -> Tokens:
        return self.project(x).flatten(2).mT + self.places


class Mean(nn.Module):
    """The mean token, normalised."""

    def __init__(self, width: int):
        super().__init__()
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tokens) -> Float[Tensor, "n width"]:
        return self.norm(x.mean(1))


def small_vit(num_classes: int = 10, width: int = 48) -> Classifier:
    """A vision transformer of two blocks (after Dosovitskiy et al. 2021)."""
    layers = [Patches(width), Attention(width, 4), Attention(width, 4), Mean(width)]
    last = nn.Linear(width, num_classes)
    return Classifier(nn.Sequential(*layers), last, cuts=(), size=32)
