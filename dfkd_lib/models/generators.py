"""DFAD's generators: noise → images in the teacher's *normalised* input space.

Generator-A ends in Tanh and a BatchNorm without affine parameters, so each channel of a
batch has mean 0 and variance 1, as normalised training images have. The generator knows
nothing else of the data. Generator-B ends in Tanh.
"""

import itertools

from torch import nn

from .network import GridGenerator, UpsampledConv2d


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
    128×128 images at z = 256; or as in its ``code``, 4×4 ones of 256, 128, 64 and 64:
    11,243,203. ``width`` is 64 in both. From DFAD's code too: the first grid's 512
    channels, no bias before a BatchNorm, and the initialisation, weights N(0, 0.02²),
    BatchNorm's N(1, 0.02²).
    """

    squashing = 1  # Tanh

    def __init__(
        self, z_dim: int, channels: int = 3, size: int = 128, width: int = 64,
        code: bool = False,
    ):  # fmt: skip
        super().__init__("Generator-B", z_dim, 8 * width, size, doublings=4)
        layers: list[nn.Module] = [nn.BatchNorm2d(8 * width)]
        widths = (8, 4, 2, 1, 1) if code else (8, 8, 4, 2, 1)
        # Output padding 1: a 3×3 kernel of stride 2 makes 2n − 1 pixels of n.
        kernel = (4, 2, 1, 0) if code else (3, 2, 1, 1)
        for c_in, c_out in itertools.pairwise(k * width for k in widths):
            layers.append(nn.ConvTranspose2d(c_in, c_out, *kernel, bias=False))
            layers += [nn.BatchNorm2d(c_out), nn.LeakyReLU(0.2)]
        layers += [nn.Conv2d(width, channels, 3, 1, 1), nn.Tanh()]
        self.layers = nn.Sequential(*layers)
        for layer in self.modules():
            if getattr(layer, "weight", None) is not None:
                nn.init.normal_(layer.weight, layer.weight.ndim == 1, 0.02)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)
