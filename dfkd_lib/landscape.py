"""Chapter 1's instruments: where two networks differ on the plane, on which side of the bound a generator is, and
which gradient reaches it. They look at a game, and leave it as it is.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor, nn

from . import theory
from .losses.dfad import DISCREPANCIES
from .methods.game import Game
from .models.plane import Flow, grid


@dataclass(frozen=True)
class Snapshot:
    """Three networks of a game on points of the plane, at one moment, in float64."""

    generator: Flow
    student: nn.Module
    teacher: nn.Module

    @classmethod
    def of(cls, game: Game) -> "Snapshot":
        return cls(*(copy.deepcopy(n).double().eval() for n in (game.generator, game.student, game.teacher)))

    @torch.no_grad()
    def d(self, x: Float[Tensor, "points 2 1 1"]) -> Float[ndarray, " points"]:
        """The discrepancy d(x) at given points, in units of the logits (DFAD Eq. 2)."""
        return theory.discrepancy(self.teacher(x).numpy(), self.student(x).numpy())

    def plane(self, side: int = 61) -> Float[ndarray, "side side"]:
        """d on a grid of the square, rows from below."""
        return self.d(grid(side).double()).reshape(side, side)

    @torch.no_grad()
    def generated(self, n: int, seed: int) -> Float[Tensor, "n 2 1 1"]:
        """n points that the generator makes."""
        return self.generator(torch.randn(n, 2, generator=_random(seed), dtype=torch.float64))

    @torch.no_grad()
    def ratio(self, x: Float[Tensor, "points 2 1 1"]) -> Float[ndarray, " points"]:
        """w = p_G / p_u at given points of the open square, by change of variables."""
        area = (2 * self.generator.RADIUS) ** 2
        return (area * self.generator.log_density(self.generator.inverse(x)).exp()).numpy()

    def sides(self, n: int, seed: int) -> tuple[tuple[float, float], tuple[float, float]]:
        """E_G[d] − E_u[d] and Cov_u(w, d), each with its standard error, from three independent samples of n points."""
        one, other = (self.uniform(n, seed + k) for k in (1, 2))
        left = theory.gap(self.d(self.generated(n, seed)), self.d(one))
        return left, theory.covariance(self.ratio(other), self.d(other))

    def uniform(self, n: int, seed: int) -> Float[Tensor, "n 2 1 1"]:
        """n points of the square, uniformly."""
        radius = self.generator.RADIUS
        x = radius * (2 * torch.rand(n, 2, generator=_random(seed), dtype=torch.float64) - 1)
        return x[..., None, None]


class Landscape:
    """For `training.train(observe=…)`: keeps a snapshot of a game at its first stage and at every `every`-th."""

    def __init__(self, every: int = 10):
        self.every, self.seen = every, dict[int, Snapshot]()

    def __call__(self, stage: int, game: Game) -> None:
        if stage == 1 or stage % self.every == 0:
            self.seen[stage] = Snapshot.of(game)


def gradient_norms(
    teacher: Callable[[Tensor], Tensor], student: Callable[[Tensor], Tensor], x: Float[Tensor, "n channels h w"]
) -> dict[str, Float[ndarray, " n"]]:
    """‖∇ₓ‖ of each image's loss, for the four candidates of DFAD Fig. 4: what the generator is given to climb by."""
    norms = {}
    for name, loss in DISCREPANCIES.items():
        asked = x.detach().requires_grad_()
        total = len(x) * loss(teacher(asked), student(asked))  # a sum over images, each by itself
        (gradient,) = torch.autograd.grad(total, asked)
        norms[name] = gradient.flatten(1).norm(dim=1).numpy(force=True)
    return norms


def share_that_speaks(norms: Float[ndarray, " n"]) -> float:
    """(Σg)² / (n Σg²), in (0, 1]: the share of a batch that would carry its gradient if all who speak were equal."""
    return float(np.sum(norms) ** 2 / (len(norms) * np.sum(np.square(norms))))


def _random(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
