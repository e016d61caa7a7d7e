"""DFAD's and MAD's generators: noise → images in the teacher's *normalised* space.

Generator-A ends in Tanh and a BatchNorm without affine parameters, so each channel of a
batch has mean 0 and variance 1, as normalised training images have. The generator knows
nothing else of the data. Generator-B ends in Tanh; MAD's end in a sigmoid in MAD Table
8, here as Generator-A does. Their initialisation is torch's, since MAD gives none.
"""

import itertools

import torch
from torch import Tensor, nn

from .network import Classes, Generator, GridGenerator, Images, Noise, UpsampledConv2d


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

    Four 3×3 deconvolutions of 512, 256, 128 and 64 channels at ``width`` 64: 12,333,635
    parameters for 128×128 images at z = 256 (the code has 4×4 ones of 256, 128, 64 and
    64). From the code: the first grid's 512 channels, no bias before a BatchNorm, and
    the initialisation, weights N(0, 0.02²), BatchNorm's N(1, 0.02²).
    """

    squashing = 1  # Tanh

    def __init__(self, z_dim: int, channels: int = 3, size: int = 128, width: int = 64):
        super().__init__("Generator-B", z_dim, 8 * width, size, doublings=4)
        layers: list[nn.Module] = [nn.BatchNorm2d(8 * width)]
        # Output padding 1: a 3×3 kernel of stride 2 makes 2n − 1 pixels of n.
        kernel = 3, 2, 1, 1
        for c_in, c_out in itertools.pairwise(k * width for k in (8, 8, 4, 2, 1)):
            layers.append(nn.ConvTranspose2d(c_in, c_out, *kernel, bias=False))
            layers += [nn.BatchNorm2d(c_out), nn.LeakyReLU(0.2)]
        layers += [nn.Conv2d(width, channels, 3, 1, 1), nn.Tanh()]
        self.layers = nn.Sequential(*layers)
        for layer in self.modules():
            if getattr(layer, "weight", None) is not None:
                nn.init.normal_(layer.weight, layer.weight.ndim == 1, 0.02)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)


class MADGenerator(GridGenerator):
    """MAD's generator for small images: three times bilinear ×2 and two convolutions.

    ``size=32``: Table 8a (CIFAR); the table prints a reshape to 256×8×8 after
    Linear(z, 4096), which holds 256×4×4. ``size=64``: Table 8b (TinyImageNet).
    """

    def __init__(self, z_dim: int, channels: int = 3, size: int = 32):
        super().__init__("MAD's generator", z_dim, 256, size, doublings=3)
        layers = [nn.ReLU(), nn.BatchNorm2d(256)]
        for c_in, c_out in itertools.pairwise((256, 128, 64, 32)):
            layers.append(nn.UpsamplingBilinear2d(scale_factor=2))
            for c in (c_in, c_out):
                layers += [nn.Conv2d(c, c_out, 3, 1, 1), nn.ReLU()]
                layers.append(nn.BatchNorm2d(c_out))
        layers += [nn.Conv2d(32, channels, 1), nn.Tanh()]
        layers.append(nn.BatchNorm2d(channels, affine=False))
        self.layers = nn.Sequential(*layers)


class ResNetBlockY(nn.Module):
    """Twice conv, LeakyReLU, BatchNorm, plus a shortcut (MAD Table 8, its block Y).

    The text lost the shortcut. Ours: the input, or its 1×1 convolution where the width
    changes. The table's second argument of BatchNorm2d, 0.01, is read as its momentum.
    """

    def __init__(self, c_in: int, c_out: int):
        super().__init__()
        layers = []
        for c in (c_in, c_out):
            layers += [nn.Conv2d(c, c_out, 3, 1, 1), nn.LeakyReLU(0.2)]
            layers.append(nn.BatchNorm2d(c_out, momentum=0.01))
        self.convolutions = nn.Sequential(*layers)
        self.shortcut = nn.Identity() if c_in == c_out else nn.Conv2d(c_in, c_out, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.shortcut(x) + self.convolutions(x)


class MADResNetGenerator(GridGenerator):
    """MAD's generator for large images (Table 8c): seven residual blocks, bilinear ×2.

    256×256 images grow from 512×4×4. The table's last layer reads 32 channels after a
    block of 16: here it reads 16.
    """

    def __init__(self, z_dim: int, channels: int = 3, size: int = 256):
        super().__init__("MAD's residual generator", z_dim, 512, size, doublings=6)
        layers = [ResNetBlockY(512, 512)]
        for pair in itertools.pairwise((512, 256, 128, 64, 32, 16, 16)):
            layers += [nn.UpsamplingBilinear2d(scale_factor=2), ResNetBlockY(*pair)]
        layers += [nn.Conv2d(16, channels, 3, 1, 1), nn.Tanh()]
        layers.append(nn.BatchNorm2d(channels, affine=False))
        self.layers = nn.Sequential(*layers)


class ConditionalGenerator(Generator):
    """A generator that is given a class as one trainable vector e_y, as long as z.

    ``kind="sum"``: G(z + e_y) (MAD Section 3.2). ``kind="cat"``: G([z, e_y]), for a
    generator that takes twice the noise (MAD App. B.3). The vectors start standard
    normal, as z: at a norm of about √d, just inside MAD Eq. 8's bound at γ = 1.1.
    """

    def __init__(self, generator: Generator, num_classes: int, kind: str = "sum"):
        super().__init__()
        self.kind = kind
        self.z_dim = generator.z_dim // 2 if kind == "cat" else generator.z_dim
        self.size, self.generator = generator.size, generator
        self.embedding = nn.Embedding(num_classes, self.z_dim)

    def logits(self, z: Noise, y: Classes) -> Images:
        e = self.embedding(y)
        told = z + e if self.kind == "sum" else torch.cat([z, e], 1)
        return self.generator.logits(told)

    def squash(self, logits: Images) -> Images:
        return self.generator.squash(logits)
