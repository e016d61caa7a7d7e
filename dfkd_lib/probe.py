"""Measurements along a run, which leave the run as it is: weights, samples at fixed noise, the teacher's answers.

A `Probe` is what `training.train` calls `observe`. Chapter 3 asks it what the generator does between stages.
"""

import copy
import math
from collections import deque

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor, nn

from . import theory
from .losses import mad
from .methods.game import Game

LAGS = (1, 2, 5, 10, 20)


class Probe:
    """Keeps, per stage, `coordinates` of the generator's weights, drawn at random, and its images of fixed noises.

    With ``js_every``, every so many stages also the Jensen–Shannon divergence between teacher and student on fresh
    samples of earlier versions of G and EMA(G), by their age in stages (MAD Section 5.2.3). Only the first `stages`
    stages are kept; of a run that was continued, the first ones behind that.
    """

    def __init__(self, images: int = 64, coordinates: int = 4096, js_every: int = 0, stages: int = 400):
        self.images, self.coordinates, self.js_every, self.stages = images, coordinates, js_every, stages
        self.seen: list[int] = []  # the numbers of the stages
        self.weights: list[ndarray] = []
        self.samples: dict[str, list[Tensor]] = {"G": [], "EMA(G)": []}
        self.classes: dict[str, list[Tensor]] = {"G": [], "EMA(G)": []}
        self.js: dict[str, dict[int, list[float]]] = {n: {lag: [] for lag in LAGS} for n in self.samples}
        self.versions: deque[dict[str, nn.Module]] = deque(maxlen=max(LAGS) + 1)

    @torch.no_grad()
    def __call__(self, stage: int, game: Game) -> None:
        if len(self.seen) == self.stages:
            return  # all of a long run's images would not fit into memory
        # Copies, since a generator in training mode moves its running statistics whenever it runs.
        sources = {"G": copy.deepcopy(game.generator)}
        if ema := getattr(game, "ema", None):
            sources["EMA(G)"] = copy.deepcopy(ema.network)
        if not self.seen:
            random = torch.Generator().manual_seed(0)
            size = sum(p.numel() for p in game.generator.parameters())
            self.index = torch.randint(size, (self.coordinates,), generator=random)
            self.z = torch.randn(self.images, game.recipe.z_dim, generator=random).to(game.device)
            self.y = torch.arange(self.images, device=game.device) % game.num_classes
        if not self.seen:  # at most a GiB of images on the host, however large they are
            bytes_per_stage = 2 * 4 * self.images * math.prod(game.shape)
            self.stages = max(min(self.stages, 2**30 // bytes_per_stage), 1)
        self.seen.append(stage)
        flat = torch.cat([p.flatten() for p in game.generator.parameters()])
        self.weights.append(flat[self.index.to(flat.device)].double().cpu().numpy())
        for name, generator in sources.items():
            x = game.generate(generator, self.z, self.y)
            self.samples[name].append(x.cpu())
            self.classes[name].append(game.teacher(x).argmax(1).cpu())
        if self.js_every:
            self.versions.appendleft(sources)
            if stage % self.js_every == 0 and len(self.versions) > max(LAGS):
                self._measure_js(game)

    def _measure_js(self, game: Game) -> None:
        noise = torch.Generator(game.device).manual_seed(1)
        z = torch.randn(game.recipe.batch, game.recipe.z_dim, generator=noise, device=game.device)
        y = torch.randint(game.num_classes, (len(z),), generator=noise, device=game.device)
        student = copy.deepcopy(game.student).eval()
        for lag in LAGS:
            for name, generator in self.versions[lag].items():
                x = game.generate(generator, z, y)
                self.js[name][lag].append(mad.js(game.teacher(x), student(x)).item())

    @property
    def increments(self) -> Float[ndarray, "stages coordinates"]:
        """u_t = θ_t − θ_{t−1} of the kept coordinates."""
        return np.diff(np.stack(self.weights), axis=0)

    def sample_increments(self, name: str = "G") -> Float[ndarray, "stages pixels"]:
        """G_t(z) − G_{t−1}(z) at the fixed noises, flattened."""
        return torch.stack(self.samples[name]).flatten(1).double().diff(dim=0).numpy()

    def flips(self, name: str = "G") -> Float[ndarray, " stages"]:
        """The share of the fixed noises whose image the teacher puts into another class than one stage before."""
        classes = torch.stack(self.classes[name])
        return (classes[1:] != classes[:-1]).double().mean(1).numpy()

    def summary(self, momentum: float) -> dict[str, list[float] | float]:
        """What a record keeps: figures of the increments of weights and of samples, and of the predicted classes.

        A run of one stage has none: two are the least.
        """
        u, v = self.increments, self.sample_increments()
        lags = min(20, len(u) - 1)
        frequency, power = theory.power_spectrum(u)
        return {
            "autocorrelation": theory.autocorrelation(u, lags).tolist(),
            "frequency": frequency.tolist(),
            "power": (power / power.sum()).tolist(),
            "filtered_ratio": theory.filtered_ratio(u, momentum),
            "sample_autocorrelation": theory.autocorrelation(v, lags).tolist(),
            "sample_step": float(np.sqrt((v**2).sum(1) / self.images).mean()),
            "flips": float(self.flips().mean()),
        }
