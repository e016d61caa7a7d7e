"""MAD's generators (MAD Table 8) and its conditioning (MAD Section 3.2, App. B.3).

The output's Tanh and BatchNorm are DFAD's; MAD's generators end in a sigmoid. Torch's
default initialisation; the paper gives none.
"""

import itertools

import torch
from torch import Tensor, nn

from ..errors import one_of
from .network import Classes, Generator, GridGenerator, Images, Noise


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
        self.kind = one_of("conditioning", kind, ("cat", "sum"))
        self.z_dim = generator.z_dim // 2 if kind == "cat" else generator.z_dim
        self.size, self.generator = generator.size, generator
        self.embedding = nn.Embedding(num_classes, self.z_dim)

    def logits(self, z: Noise, y: Classes) -> Images:
        e = self.embedding(y)
        told = z + e if self.kind == "sum" else torch.cat([z, e], 1)
        return self.generator.logits(told)

    def squash(self, logits: Images) -> Images:
        return self.generator.squash(logits)
