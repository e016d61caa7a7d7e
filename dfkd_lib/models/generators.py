"""Generators: noise in, images in the *normalised* input space of the teacher out.

Both end in Tanh and a BatchNorm without affine parameters, so every channel of a batch has mean 0 and variance 1, as
normalised training images have. That is the only thing a generator is ever told about the data.
"""

from jaxtyping import Float, Int
from torch import Tensor, nn


class GeneratorA(nn.Module):
    """DFAD's Generator-A (DFAD Table 4; MNIST and CIFAR): nearest-neighbour upsampling, three 3×3 convolutions.

    ``width`` is 64 in the paper: 1,049,985 parameters at z = 100, one channel; 2,329,091 at z = 256, three channels.
    Smaller widths are ours, for runs on one CPU thread.
    """

    def __init__(self, z_dim: int, channels: int, size: int = 32, width: int = 64):
        super().__init__()
        if size % 4:
            raise ValueError(f"Generator-A doubles its grid twice: size must divide by 4, got {size}")
        self.z_dim = z_dim
        self.project = nn.Linear(z_dim, 2 * width * (size // 4) ** 2)
        self.grid = (2 * width, size // 4, size // 4)
        self.layers = nn.Sequential(
            nn.BatchNorm2d(2 * width),
            nn.Upsample(scale_factor=2),
            nn.Conv2d(2 * width, 2 * width, 3, 1, 1), nn.BatchNorm2d(2 * width), nn.LeakyReLU(0.2),
            nn.Upsample(scale_factor=2),
            nn.Conv2d(2 * width, width, 3, 1, 1), nn.BatchNorm2d(width), nn.LeakyReLU(0.2),
            nn.Conv2d(width, channels, 3, 1, 1), nn.Tanh(), nn.BatchNorm2d(channels, affine=False),
        )  # fmt: skip

    def forward(self, z: Float[Tensor, "batch z"]) -> Float[Tensor, "batch channels size size"]:
        return self.layers(self.project(z).unflatten(1, self.grid))


class MADGenerator(nn.Module):
    """MAD's generator for CIFAR (MAD Table 8a): Linear to 256×4×4, three times bilinear ×2 and a two-convolution block.

    Differs from the table: it prints a reshape to 256×8×8 behind Linear(z, 4096), which holds 256×4×4. The output's
    Tanh and BatchNorm are DFAD's; MAD's has a sigmoid.
    """

    def __init__(self, z_dim: int, channels: int = 3, size: int = 32):
        super().__init__()
        if size % 8:
            raise ValueError(f"MAD's generator doubles its grid three times: size must divide by 8, got {size}")
        self.z_dim = z_dim
        self.project = nn.Linear(z_dim, 256 * (size // 8) ** 2)
        self.grid = (256, size // 8, size // 8)
        layers: list[nn.Module] = [nn.ReLU(), nn.BatchNorm2d(256)]
        for c_in, c_out in ((256, 128), (128, 64), (64, 32)):
            layers.append(nn.UpsamplingBilinear2d(scale_factor=2))
            layers += [nn.Conv2d(c_in, c_out, 3, 1, 1), nn.ReLU(), nn.BatchNorm2d(c_out)]
            layers += [nn.Conv2d(c_out, c_out, 3, 1, 1), nn.ReLU(), nn.BatchNorm2d(c_out)]
        layers += [nn.Conv2d(32, channels, 1), nn.Tanh(), nn.BatchNorm2d(channels, affine=False)]
        self.layers = nn.Sequential(*layers)

    def forward(self, z: Float[Tensor, "batch z"]) -> Float[Tensor, "batch channels size size"]:
        return self.layers(self.project(z).unflatten(1, self.grid))


class ConditionalGenerator(nn.Module):
    """A generator that is told a class: G(z + e_y), with one trainable vector e_y per class (MAD Section 3.2).

    The sum keeps the input's size, so any generator can be wrapped. The vectors start standard normal, as z is: at a
    norm of about √d, just inside the bound of MAD Eq. 8 at γ = 1.1.
    """

    def __init__(self, generator: nn.Module, num_classes: int):
        super().__init__()
        self.z_dim = generator.z_dim
        self.generator = generator
        self.embedding = nn.Embedding(num_classes, generator.z_dim)

    def forward(self, z: Float[Tensor, "batch z"], y: Int[Tensor, " batch"]) -> Tensor:
        return self.generator(z + self.embedding(y))
