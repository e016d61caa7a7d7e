"""DFAD's generators: noise → images in the teacher's *normalised* input space.

Generator-A ends in Tanh and a BatchNorm without affine parameters, so each channel of a
batch has mean 0 and variance 1, as normalised training images have. The generator knows
nothing else of the data. Generator-B ends in Tanh.
"""

import itertools
import math

from torch import nn

from ..errors import UserError
from .network import Classes, Images, Network, Noise
from .upsampled import UpsampledConv2d


def grid_side(name: str, size: int, doublings: int) -> int:
    """The side of the grid that, doubled so many times, gives `size` pixels."""
    step = 2**doublings
    if size < step or size % step:
        near = max(step, size // step * step)
        raise UserError(
            f"size: {size} is not allowed for {name}, which doubles its grid "
            f"{doublings} times: it must divide by {step}; give {near} or {near + step}"
        )
    return size // step


class Generator(Network):
    """Noise and classes → images of ``size`` pixels. Some ignore the classes.

    A subclass defines the pixels' `logits`, which MAD Eq. 11 bounds, and `squash`,
    which makes images of them.
    """

    least = 1
    z_dim: int
    size: int

    def forward(self, z: Noise, y: Classes | None = None) -> Images:
        return self.squash(self.logits(z, y))


class GridGenerator(Generator):
    """Noise → a linear layer → a grid of maps → ``layers``, the last of which squash."""

    squashing = 2  # layers: Tanh and BatchNorm

    def __init__(self, name: str, z_dim: int, channels: int, size: int, doublings: int):
        super().__init__()
        side = grid_side(name, size, doublings)
        self.z_dim, self.size, self.grid = z_dim, size, (channels, side, side)
        self.project = nn.Linear(z_dim, math.prod(self.grid))

    def logits(self, z: Noise, y: Classes | None = None) -> Images:
        with self.precision(z):
            x = self.project(z).unflatten(1, self.grid)
            for layer in list(self.layers)[: -self.squashing]:
                x = layer(x)
        return x.to(self.project.weight.dtype)

    def squash(self, logits: Images) -> Images:
        for layer in list(self.layers)[-self.squashing :]:
            logits = layer(logits)
        return logits


class GeneratorA(GridGenerator):
    """DFAD's Generator-A (DFAD Table 4; MNIST and CIFAR): three 3×3 convolutions.

    ``width`` is 64 in the paper: 1,049,985 parameters at z = 100 and one channel,
    2,329,091 at z = 256 and three. Smaller widths are ours. Torch's default
    initialisation, as in DFAD's code.
    """

    def __init__(self, z_dim: int, channels: int, size: int = 32, width: int = 64):
        super().__init__("Generator-A", z_dim, 2 * width, size, doublings=2)
        # An Identity in place of each nn.Upsample keeps the weights' names.
        self.layers = nn.Sequential(
            nn.BatchNorm2d(2 * width),
            nn.Identity(), UpsampledConv2d(2 * width, 2 * width),
            nn.BatchNorm2d(2 * width), nn.LeakyReLU(0.2),
            nn.Identity(), UpsampledConv2d(2 * width, width),
            nn.BatchNorm2d(width), nn.LeakyReLU(0.2),
            nn.Conv2d(width, channels, 3, 1, 1),
            nn.Tanh(), nn.BatchNorm2d(channels, affine=False),
        )  # fmt: skip


class GeneratorB(GridGenerator):
    """DFAD's Generator-B (DFAD Table 4; Caltech101 and segmentation).

    Four 3×3 deconvolutions of 512, 256, 128 and 64 channels: 12,333,635 parameters for
    128×128 images at z = 256. The first grid's 512 channels, and no bias before a
    BatchNorm, are from DFAD's code. ``public_code=True``: that code's 4×4 deconvolutions
    of 256, 128, 64 and 64 channels; 11,243,203. ``width`` is 64 in the paper.

    Initialised as in DFAD's code: weights N(0, 0.02²), BatchNorm's N(1, 0.02²).
    """

    squashing = 1  # Tanh

    def __init__(self, z_dim, channels=3, size=128, width=64, public_code=False):
        super().__init__("Generator-B", z_dim, 8 * width, size, doublings=4)
        factors = (8, 4, 2, 1, 1) if public_code else (8, 8, 4, 2, 1)
        # Output padding 1: a 3×3 kernel of stride 2 makes 2n − 1 pixels of n.
        kernel = (4, 2, 1, 0) if public_code else (3, 2, 1, 1)
        layers: list[nn.Module] = [nn.BatchNorm2d(8 * width)]
        for c_in, c_out in itertools.pairwise(factor * width for factor in factors):
            layers.append(nn.ConvTranspose2d(c_in, c_out, *kernel, bias=False))
            layers += [nn.BatchNorm2d(c_out), nn.LeakyReLU(0.2)]
        layers += [nn.Conv2d(width, channels, 3, 1, 1), nn.Tanh()]
        self.layers = nn.Sequential(*layers)
        for layer in self.modules():
            if getattr(layer, "weight", None) is not None:
                nn.init.normal_(layer.weight, layer.weight.ndim == 1, 0.02)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)
