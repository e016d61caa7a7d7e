"""DFAD's generators: noise → images in the teacher's *normalised* input space.

Generator-A ends in Tanh and a BatchNorm without affine parameters, so each channel of a
batch has mean 0 and variance 1, as normalised training images have. The generator knows
nothing else of the data. Generator-B ends in Tanh.
"""

import itertools
import math

from jaxtyping import Float, Int
from torch import Tensor, nn

from ..errors import UserError
from .network import Network
from .upsampled import UpsampledConv2d


def grid_side(name: str, size: int, doublings: int) -> int:
    """The side of the grid that, doubled so many times, gives `size` pixels.

    Raises
    ------
    UserError
        if there is none.
    """
    step = 2**doublings
    if size < step or size % step:
        near = max(step, size // step * step)
        raise UserError(
            f"size: {size} is not allowed for {name}, which doubles its grid "
            f"{doublings} times: it must divide by {step}; give {near} or {near + step}"
        )
    return size // step


class Generator(Network):
    """Noise → a linear layer → a grid of maps → ``layers`` → images.

    The last ``tail`` layers squash: their input is the pixels' *logits*, which MAD
    Eq. 11 bounds. A subclass sets ``layers`` after this constructor. All generators are
    called with noise and classes; unconditional ones ignore the classes.
    """

    tail = 2  # Tanh and BatchNorm

    def __init__(self, name: str, z_dim: int, channels: int, size: int, doublings: int):
        super().__init__()
        side = grid_side(name, size, doublings)
        self.z_dim = z_dim
        self.size = size
        self.grid = (channels, side, side)
        self.project = nn.Linear(z_dim, math.prod(self.grid))

    def logits(
        self, z: Float[Tensor, "batch z"], y: Int[Tensor, " batch"] | None = None
    ) -> Float[Tensor, "batch channels size size"]:
        """The output before squashing; `squash` makes images of it."""
        with self.reduced(z):
            x = self.project(z).unflatten(1, self.grid)
            for layer in list(self.layers)[: -self.tail]:
                x = layer(x)
        return x.to(self.project.weight.dtype)

    def squash(
        self, logits: Float[Tensor, "batch channels size size"]
    ) -> Float[Tensor, "batch channels size size"]:
        """Images from logits."""
        for layer in list(self.layers)[-self.tail :]:
            logits = layer(logits)
        return logits

    def forward(
        self, z: Float[Tensor, "batch z"], y: Int[Tensor, " batch"] | None = None
    ) -> Float[Tensor, "batch channels size size"]:
        return self.squash(self.logits(z))


class GeneratorA(Generator):
    """DFAD's Generator-A (DFAD Table 4; MNIST and CIFAR): three 3×3 convolutions.

    ``width`` is 64 in the paper: 1,049,985 parameters at z = 100 and one channel,
    2,329,091 at z = 256 and three. Smaller widths are ours, for one CPU thread. Torch's
    default initialisation, as in DFAD's code.
    """

    def __init__(self, z_dim: int, channels: int, size: int = 32, width: int = 64):
        super().__init__("Generator-A", z_dim, 2 * width, size, doublings=2)
        # An Identity stands in for each nn.Upsample, so state_dict keys are DFAD's.
        self.layers = nn.Sequential(
            nn.BatchNorm2d(2 * width),
            nn.Identity(), UpsampledConv2d(2 * width, 2 * width),
            nn.BatchNorm2d(2 * width), nn.LeakyReLU(0.2),
            nn.Identity(), UpsampledConv2d(2 * width, width),
            nn.BatchNorm2d(width), nn.LeakyReLU(0.2),
            nn.Conv2d(width, channels, 3, 1, 1),
            nn.Tanh(), nn.BatchNorm2d(channels, affine=False),
        )  # fmt: skip


class GeneratorB(Generator):
    """DFAD's Generator-B (DFAD Table 4; Caltech101 and segmentation).

    Four 3×3 deconvolutions of 512, 256, 128 and 64 channels, each doubling the grid:
    12,333,635 parameters for 128×128 images at z = 256. The table leaves open the first
    grid's channels and the biases: 512, and none before a BatchNorm, as in DFAD's code.
    ``public_code=True``: that code's 4×4 deconvolutions of 256, 128, 64 and 64 channels,
    11,243,203 parameters. It ends in Tanh: pixels lie in (−1, 1) of the normalised space.

    Initialised as DCGAN, as in DFAD's code: weights N(0, 0.02²), BatchNorm's N(1, 0.02²),
    biases 0. ``width`` is 64 in the paper; smaller ones are ours.
    """

    tail = 1

    def __init__(
        self,
        z_dim: int,
        channels: int = 3,
        size: int = 128,
        width: int = 64,
        public_code: bool = False,
    ):
        super().__init__("Generator-B", z_dim, 8 * width, size, doublings=4)
        factors = (8, 4, 2, 1, 1) if public_code else (8, 8, 4, 2, 1)
        # Output padding: a 3×3 kernel of stride 2 makes 2n − 1 pixels of n.
        kernel, extra = (4, 0) if public_code else (3, 1)
        layers: list[nn.Module] = [nn.BatchNorm2d(8 * width)]
        for c_in, c_out in itertools.pairwise(factor * width for factor in factors):
            layers += [
                nn.ConvTranspose2d(
                    c_in, c_out, kernel, 2, 1, output_padding=extra, bias=False
                ),
                nn.BatchNorm2d(c_out),
                nn.LeakyReLU(0.2),
            ]
        layers += [nn.Conv2d(width, channels, 3, 1, 1), nn.Tanh()]
        self.layers = nn.Sequential(*layers)
        weighted = nn.Linear | nn.Conv2d | nn.ConvTranspose2d | nn.BatchNorm2d
        for layer in self.modules():
            if isinstance(layer, weighted):
                mean = 1 if isinstance(layer, nn.BatchNorm2d) else 0
                nn.init.normal_(layer.weight, mean, 0.02)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)
