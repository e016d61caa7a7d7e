"""Networks for the 2-D toy problem (`moons`), where all that a method does is visible.

A point is a 2×1×1 image: a 1×1 convolution is a linear layer, and the data-free methods
run on points as on images.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import UserError
from .network import Classes, Classifier, Generator, Noise

Points = Float[Tensor, "n 2 1 1"]


def grid(side: int = 101, radius: float = 3.0) -> Points:
    """The midpoints of side × side cells of (−radius, radius)², by rows from below."""
    line = radius * ((2 * torch.arange(side) + 1) / side - 1)
    y, x = torch.meshgrid(line, line, indexing="ij")
    return torch.stack((x.flatten(), y.flatten()), 1)[..., None, None]


class MLP(Classifier):
    """Two hidden layers of 32 ReLUs, or of 16 (``half``): a piecewise affine map."""

    def __init__(self, num_classes: int = 2, half: bool = False):
        width = 16 if half else 32
        features = nn.Sequential(
            nn.Conv2d(2, width, 1), nn.ReLU(),
            nn.Conv2d(width, width, 1), nn.ReLU(),  # (B, width, 1, 1)
            nn.Flatten(),
        )  # fmt: skip
        super().__init__(features, nn.Linear(width, num_classes), cuts=(3,), size=1)


class Flow(Generator):
    """An invertible generator with an exact density: noise → points of (−3, 3)².

    Affine coupling layers (Dinh et al. 2017): each shifts and scales one coordinate by
    functions of the other, by e^±½ at most, so no point's density is near 0.
    """

    RADIUS = 3.0  # of the normalised space: nearly all of the data lies within 2
    START = 0.6  # the initial spread of the points before squashing

    def __init__(self, z_dim: int = 2, channels: int = 2, size: int = 1):
        if (z_dim, channels, size) != (2, 2, 1):
            asked = f"{channels}×{size}×{size} images from z_dim = {z_dim}"
            line = f"generator: flow makes 2-D points from z_dim = 2, not {asked}; it "
            todo = "is for moons (without conditioning = cat); elsewhere give"
            raise UserError(f"{line}{todo} generator_a")
        super().__init__()
        self.z_dim, self.size = z_dim, size
        self.couplings = nn.ModuleList()
        for _ in range(6):
            layers = nn.Linear(1, 32), nn.Tanh(), nn.Linear(32, 2)
            for value in layers[-1].parameters():  # an identity at first
                nn.init.zeros_(value)
            self.couplings.append(nn.Sequential(*layers))

    def logits(self, z: Noise, y: Classes | None = None) -> Points:
        return self._transform(z)[0][..., None, None]

    def squash(self, logits: Points) -> Points:
        return self.RADIUS * logits.tanh()

    def log_density(self, z: Float[Tensor, "n 2"]) -> Float[Tensor, " n"]:
        """log p_G at G(z), by area: log p(z) − log ``|det ∂G/∂z|``."""
        u, log_det = self._transform(z)
        # d tanh(u)/du = 1/cosh²(u), and its log is 2 (log 2 − u − softplus(−2u))
        squashed = 2 * (math.log(2) - u - F.softplus(-2 * u)) + math.log(self.RADIUS)
        prior = -0.5 * z.square().sum(1) - math.log(2 * math.pi)
        return prior - log_det - squashed.sum(1)

    def inverse(self, x: Points) -> Float[Tensor, "n 2"]:
        """The noise that makes a point of the open square."""
        u = (x.flatten(1) / self.RADIUS).atanh() / self.START
        for coupling in self.couplings[::-1]:
            moved, kept = u.unbind(1)
            scale, shift = self._scale_and_shift(coupling, kept)
            u = torch.stack((kept, (moved - shift) * (-scale).exp()), 1)
        return u

    def _transform(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """The points before squashing, and the log of the determinant up to there."""
        u, log_det = z, z.new_zeros(len(z))
        for coupling in self.couplings:  # an even number: each swaps the coordinates
            kept, moved = u.unbind(1)
            scale, shift = self._scale_and_shift(coupling, kept)
            u = torch.stack((moved * scale.exp() + shift, kept), 1)
            log_det = log_det + scale
        return self.START * u, log_det + 2 * math.log(self.START)

    @staticmethod
    def _scale_and_shift(coupling: nn.Module, kept: Tensor) -> tuple[Tensor, Tensor]:
        """The log of the scale of the moved coordinate, and its shift."""
        raw, shift = coupling(kept[:, None]).unbind(1)
        return 0.5 * raw.tanh(), shift
