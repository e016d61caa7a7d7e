"""Chapter 1: the discrepancy on the plane, both sides of the bound, the gradients."""

import copy
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor, nn

from .. import theory
from ..losses import DISCREPANCIES
from ..methods import State
from ..models import Flow, grid

Points = Float[Tensor, "points 2 1 1"]


@dataclass(frozen=True)
class Snapshot:
    """Three networks of a game on points of the plane, at one moment, in float64."""

    generator: Flow
    student: nn.Module
    teacher: nn.Module

    @classmethod
    def of(cls, s: State) -> "Snapshot":
        """Copies of a running game's networks."""
        networks = (s.generator, s.student, s.teacher)
        return cls(*(copy.deepcopy(n).double().eval() for n in networks))

    @torch.no_grad()
    def d(self, x: Points) -> Float[ndarray, " points"]:
        """The discrepancy d(x) at given points, in logits (DFAD Eq. 2)."""
        return theory.discrepancy(self.teacher(x).numpy(), self.student(x).numpy())

    def plane(self, side: int = 61) -> Float[ndarray, "side side"]:
        """d on a grid of the square, rows from below."""
        return self.d(grid(side).double()).reshape(side, side)

    @torch.no_grad()
    def generated(self, n: int, seed: int) -> Points:
        """n points of the generator."""
        z = torch.randn(n, 2, generator=_random(seed), dtype=torch.float64)
        return self.generator(z, torch.zeros(n, dtype=torch.int64))

    def uniform(self, n: int, seed: int) -> Points:
        """n points of the square, uniformly distributed."""
        x = torch.rand(n, 2, generator=_random(seed), dtype=torch.float64)
        return (self.generator.RADIUS * (2 * x - 1))[..., None, None]

    @torch.no_grad()
    def ratio(self, x: Points) -> Float[ndarray, " points"]:
        """w = p_G / p_u at given points of the open square, by change of variables."""
        density = self.generator.log_density(self.generator.inverse(x)).exp()
        return (density * (2 * self.generator.RADIUS) ** 2).numpy()

    def sides(
        self, n: int, seed: int
    ) -> tuple[tuple[float, float], tuple[float, float]]:
        """E_G[d] − E_u[d] and Cov_u(w, d), each with its standard error.

        From three independent samples of n points.
        """
        one, other = (self.uniform(n, seed + k) for k in (1, 2))
        left = theory.gap(self.d(self.generated(n, seed)), self.d(one))
        return left, theory.covariance(self.ratio(other), self.d(other))


class Landscape:
    """For `observe`: a snapshot of the first stage and of every `every`-th."""

    def __init__(self, every: int = 10):
        self.every, self.seen = every, dict[int, Snapshot]()

    def __call__(self, s: State) -> None:
        if s.stage == 1 or s.stage % self.every == 0:
            self.seen[s.stage] = Snapshot.of(s)


def gradient_norms(
    teacher: Callable, student: Callable, x: Float[Tensor, "n c h w"]
) -> dict[str, Float[ndarray, " n"]]:
    """‖∇ₓ‖ of each image's loss, for the four losses of DFAD Fig. 4."""
    norms, x = {}, x.detach().requires_grad_()
    for name, loss in DISCREPANCIES.items():
        total = len(x) * loss(teacher(x), student(x))  # a sum over the images
        (gradient,) = torch.autograd.grad(total, x)
        norms[name] = gradient.flatten(1).norm(dim=1).numpy(force=True)
    return norms


def share_that_speaks(norms: Float[ndarray, " n"]) -> float:
    """(Σg)² / (n Σg²), in (0, 1]: the effective fraction of images with a gradient."""
    return float(np.sum(norms) ** 2 / (len(norms) * np.sum(np.square(norms))))


def _random(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
