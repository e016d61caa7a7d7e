"""DFAD's generators: noise in, images in the *normalised* input space of the teacher out.

Generator-A ends in Tanh and a BatchNorm without affine parameters, so every channel of a batch has mean 0 and variance
1, as normalised training images have. That is the only thing it is ever told about the data. Generator-B ends in Tanh.
"""

import itertools
import math

from jaxtyping import Float
from torch import Tensor, nn

from ..errors import UserError


def grid_side(name: str, size: int, doublings: int) -> int:
    """The side of the grid that, doubled so many times, makes images of `size` pixels.

    Raises
    ------
    UserError
        if there is none.
    """
    step = 2**doublings
    if size < step or size % step:
        near = max(step, size // step * step)
        raise UserError(
            f"size: {size} is not allowed for {name}, which doubles its grid {doublings} times: it must divide by "
            f"{step}; give {near} or {near + step}"
        )
    return size // step


class Generator(nn.Module):
    """Noise → a linear layer → a grid of (channels, side, side) → ``layers`` → images.

    The last ``tail`` layers squash: what enters them is the pixels' *logits*, which MAD Eq. 11 bounds. A subclass sets
    ``layers``, behind this constructor.
    """

    tail = 2  # Tanh and BatchNorm

    def __init__(self, z_dim: int, grid: tuple[int, int, int]):
        super().__init__()
        self.z_dim = z_dim
        self.grid = grid
        self.project = nn.Linear(z_dim, math.prod(grid))

    def logits(self, z: Float[Tensor, "batch z"]) -> Float[Tensor, "batch channels size size"]:
        """The output before its squashing; `squash` makes images of it."""
        x = self.project(z).unflatten(1, self.grid)
        for layer in list(self.layers)[: -self.tail]:
            x = layer(x)
        return x

    def squash(self, logits: Float[Tensor, "batch channels size size"]) -> Float[Tensor, "batch channels size size"]:
        """Images of logits."""
        for layer in list(self.layers)[-self.tail :]:
            logits = layer(logits)
        return logits

    def forward(self, z: Float[Tensor, "batch z"]) -> Float[Tensor, "batch channels size size"]:
        return self.squash(self.logits(z))


class GeneratorA(Generator):
    """DFAD's Generator-A (DFAD Table 4; MNIST and CIFAR): nearest-neighbour upsampling, three 3×3 convolutions.

    ``width`` is 64 in the paper: 1,049,985 parameters at z = 100, one channel; 2,329,091 at z = 256, three channels.
    Smaller widths are ours, for runs on one CPU thread. Torch's default initialisation, as in DFAD's code.
    """

    def __init__(self, z_dim: int, channels: int, size: int = 32, width: int = 64):
        side = grid_side("Generator-A", size, 2)
        super().__init__(z_dim, (2 * width, side, side))
        self.layers = nn.Sequential(
            nn.BatchNorm2d(2 * width),
            nn.Upsample(scale_factor=2),
            nn.Conv2d(2 * width, 2 * width, 3, 1, 1), nn.BatchNorm2d(2 * width), nn.LeakyReLU(0.2),
            nn.Upsample(scale_factor=2),
            nn.Conv2d(2 * width, width, 3, 1, 1), nn.BatchNorm2d(width), nn.LeakyReLU(0.2),
            nn.Conv2d(width, channels, 3, 1, 1), nn.Tanh(), nn.BatchNorm2d(channels, affine=False),
        )  # fmt: skip


class GeneratorB(Generator):
    """DFAD's Generator-B (DFAD Table 4; Caltech101 and segmentation): four deconvolutions that double the grid.

    The table's, by default: 3×3, of 512, 256, 128 and 64 channels; 12,333,635 parameters for 128×128 images at z = 256.
    It leaves open the channels of the first grid and the biases: 512, and none before a BatchNorm, as DFAD's code has
    them. ``public_code=True``: that code's deconvolutions, 4×4, of 256, 128, 64 and 64 channels; 11,243,203 parameters.

    It ends in Tanh: pixels lie in (−1, 1) of the normalised space. Initialised as DCGAN, and as in DFAD's code: weights
    N(0, 0.02²), those of BatchNorm N(1, 0.02²), biases 0. ``width`` is 64 in the paper; smaller ones are ours.
    """

    tail = 1

    def __init__(self, z_dim: int, channels: int = 3, size: int = 128, width: int = 64, public_code: bool = False):
        side = grid_side("Generator-B", size, 4)
        super().__init__(z_dim, (8 * width, side, side))
        widths = [factor * width for factor in ((8, 4, 2, 1, 1) if public_code else (8, 8, 4, 2, 1))]
        layers: list[nn.Module] = [nn.BatchNorm2d(8 * width)]
        for c_in, c_out in itertools.pairwise(widths):
            # Output padding: a 3×3 kernel of stride 2 makes 2n − 1 pixels of n.
            kernel, extra = (4, 0) if public_code else (3, 1)
            layers.append(nn.ConvTranspose2d(c_in, c_out, kernel, 2, 1, output_padding=extra, bias=False))
            layers += [nn.BatchNorm2d(c_out), nn.LeakyReLU(0.2)]
        layers += [nn.Conv2d(width, channels, 3, 1, 1), nn.Tanh()]
        self.layers = nn.Sequential(*layers)
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d | nn.BatchNorm2d):
                nn.init.normal_(module.weight, 1 if isinstance(module, nn.BatchNorm2d) else 0, 0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
