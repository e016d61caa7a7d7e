"""HiDFD's source of synthetic images: a class-conditional GAN.

BigGAN's residual generator and discriminator (Brock et al. 2019), the latter with
ADCGAN's classifier of 2C classes (Hou et al. 2022). Sides divide by 8 (ADCGAN's: 32).
"""

import math
from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from .network import Classes, Generator, Images, Network, Noise, grid_side

_EMBEDDED = 128  # width of a class's embedding, which all layers share


class ClassBatchNorm(nn.Module):
    """BatchNorm whose gain and bias are linear in the class's embedding."""

    def __init__(self, channels: int):
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=False)
        self.gain = nn.Linear(_EMBEDDED, channels, bias=False)
        self.bias = nn.Linear(_EMBEDDED, channels, bias=False)

    def forward(self, x: Tensor, e: Tensor) -> Tensor:
        gain, bias = (layer(e)[..., None, None] for layer in (self.gain, self.bias))
        return self.norm(x) * (1 + gain) + bias


class UpBlock(nn.Module):
    """Two 3×3 convolutions around a doubling of the grid, and a 1×1 shortcut."""

    def __init__(self, channels: int):
        super().__init__()
        self.norm1, self.norm2 = ClassBatchNorm(channels), ClassBatchNorm(channels)
        self.conv1 = spectral_norm(nn.Conv2d(channels, channels, 3, 1, 1))
        self.conv2 = spectral_norm(nn.Conv2d(channels, channels, 3, 1, 1))
        self.shortcut = spectral_norm(nn.Conv2d(channels, channels, 1))

    def forward(self, x: Tensor, e: Tensor) -> Tensor:
        h = self.conv1(F.interpolate(self.norm1(x, e).relu(), scale_factor=2))
        h = self.conv2(self.norm2(h, e).relu())
        # A 1×1 convolution gives the same before the doubling as after it.
        return h + F.interpolate(self.shortcut(x), scale_factor=2)


class BigGANGenerator(Generator):
    """Noise and a class → pixels in (−1, 1), black to white.

    ``width`` is 64 in ADCGAN's CIFAR setting: 4,668,163 parameters with 10 classes,
    three channels and 128 noise inputs. Smaller widths are ours.
    """

    def __init__(self, z_dim, num_classes, channels, size=32, width=64):
        super().__init__()
        side = grid_side("BigGAN", size, 3)
        self.z_dim, self.size, self.grid = z_dim, size, (4 * width, side, side)
        self.embedding = nn.Embedding(num_classes, _EMBEDDED)
        self.project = spectral_norm(nn.Linear(z_dim, 4 * width * side**2))
        self.blocks = nn.ModuleList(UpBlock(4 * width) for _ in range(3))
        self.norm = nn.BatchNorm2d(4 * width)
        self.last = spectral_norm(nn.Conv2d(4 * width, channels, 3, 1, 1))

    def logits(self, z: Noise, y: Classes) -> Images:
        with self.precision(z):
            e = self.embedding(y)
            x = self.project(z).unflatten(1, self.grid)
            for block in self.blocks:
                x = block(x, e)
            x = self.last(self.norm(x).relu())
        return x.to(self.embedding.weight.dtype)

    def squash(self, logits: Images) -> Images:
        return logits.tanh()


class Judged(NamedTuple):
    """What the discriminator says of images."""

    features: Float[Tensor, "n f"]  # Φ_D
    real: Float[Tensor, " n"]  # the logit u of being real: N_D = σ(u)
    classes: Float[Tensor, "n two_classes"]  # logits of "real, class y", then y⁻


class DownBlock(nn.Module):
    """Two 3×3 convolutions and a shortcut; the grid is halved after them or not."""

    def __init__(self, c_in: int, c_out: int, halves: bool, first: bool = False):
        super().__init__()
        self.first, self.halves = first, halves
        self.conv1 = spectral_norm(nn.Conv2d(c_in, c_out, 3, 1, 1))
        self.conv2 = spectral_norm(nn.Conv2d(c_out, c_out, 3, 1, 1))
        self.shortcut = nn.Identity()
        if halves or c_in != c_out:
            self.shortcut = spectral_norm(nn.Conv2d(c_in, c_out, 1))

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv2(self.conv1(x if self.first else x.relu()).relu())
        if not self.halves:
            return h + self.shortcut(x)
        return F.avg_pool2d(h, 2) + self.shortcut(F.avg_pool2d(x, 2))


class BigGANDiscriminator(Network):
    """Images → features Φ_D, a logit of being real, and 2C logits of classes.

    ``width`` is 64 in ADCGAN's CIFAR setting: 4,209,941 parameters with 10 classes and
    three channels. (HiDFD's has about 5.01 million; its paper does not say of what.)
    """

    least = math.inf  # in float32: the game is a balance of small differences

    def __init__(self, num_classes: int, channels: int, width: int = 64):
        super().__init__()
        self.num_features = c = 4 * width
        blocks = [DownBlock(channels, c, halves=True, first=True)]  # (n, c, 16, 16)
        blocks.append(DownBlock(c, c, halves=True))  # (n, c, 8, 8)
        blocks += [DownBlock(c, c, halves=False) for _ in range(2)]
        self.blocks = nn.Sequential(*blocks)
        self.real = spectral_norm(nn.Linear(c, 1))
        self.classes = spectral_norm(nn.Linear(c, 2 * num_classes))

    def forward(self, x: Images) -> Judged:
        features = self.blocks(x).relu().sum((2, 3))
        return Judged(features, self.real(features)[:, 0], self.classes(features))
