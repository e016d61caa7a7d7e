"""Chapter 3: how the generator moves between stages, in weights, images and classes."""

import copy
import math
from collections import deque

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor, nn

from .. import theory
from ..losses import js
from ..methods import State

LAGS = (1, 2, 5, 10, 20)
_HOST = 2**30  # bytes of images that are kept, at most


class Probe:
    """Records, per stage, some weights of the generator and its images of fixed noise.

    Pass it as `observe`. With ``js_every``, every so many stages also the JS divergence
    between teacher and student on 2 · `images` samples of earlier versions of G and of
    EMA(G), by their age (MAD Section 5.2.3). Only the first 400 stages are recorded.
    """

    def __init__(self, images: int = 64, coordinates: int = 4096, js_every: int = 0):
        self.images, self.coordinates, self.js_every = images, coordinates, js_every
        self.seen: list[int] = []  # the numbers of the stages
        self.weights: list[ndarray] = []
        self.samples: dict[str, list[Tensor]] = {"G": [], "EMA(G)": []}
        self.classes: dict[str, list[Tensor]] = {"G": [], "EMA(G)": []}
        self.js = {name: {lag: [] for lag in LAGS} for name in self.samples}
        self.versions: deque[dict[str, nn.Module]] = deque(maxlen=max(LAGS) + 1)

    @torch.no_grad()
    def __call__(self, s: State) -> None:
        if not self.seen:
            self._begin(s)
        if len(self.seen) == self.stages:
            return
        # Copies, since a pass in training mode changes a generator's statistics.
        sources = {"G": copy.deepcopy(s.generator)}
        if hasattr(s, "ema"):
            sources["EMA(G)"] = copy.deepcopy(s.ema.network)
        self.seen.append(s.stage)
        flat = torch.cat([p.flatten() for p in s.generator.parameters()])
        self.weights.append(flat[self.index].double().cpu().numpy())
        for name, generator in sources.items():
            x = generator(self.z, self.y)
            self.samples[name].append(x.cpu())
            self.classes[name].append(s.teacher(x).argmax(1).cpu())
        if self.js_every:
            self.versions.appendleft(sources)
            if s.stage % self.js_every == 0 and len(self.versions) > max(LAGS):
                self._measure_js(s)

    def _begin(self, s: State) -> None:
        random, device = torch.Generator().manual_seed(0), s.task.device
        size = sum(p.numel() for p in s.generator.parameters())
        index = torch.randint(size, (self.coordinates,), generator=random)
        z = torch.randn(self.images, s.generator.z_dim, generator=random)
        self.index, self.z = index.to(device), z.to(device)
        self.y = torch.arange(self.images, device=device) % s.task.num_classes
        most = _HOST // (2 * 4 * self.images * math.prod(s.task.shape))
        self.stages = max(min(400, most), 1)

    def _measure_js(self, s: State) -> None:
        device, n = s.task.device, 2 * self.images
        random = {"generator": torch.Generator(device).manual_seed(1), "device": device}
        z = torch.randn(n, s.generator.z_dim, **random)
        y = torch.randint(s.task.num_classes, (n,), **random)
        student = copy.deepcopy(s.student).eval()
        for lag in LAGS:
            for name, generator in self.versions[lag].items():
                x = generator(z, y)
                self.js[name][lag].append(js(s.teacher(x), student(x)).item())

    @property
    def increments(self) -> Float[ndarray, "stages coordinates"]:
        """u_t = θ_t − θ_{t−1} of the recorded coordinates."""
        return np.diff(np.stack(self.weights), axis=0)

    def sample_increments(self, name: str = "G") -> Float[ndarray, "stages pixels"]:
        """G_t(z) − G_{t−1}(z) at the fixed noise, flattened."""
        return torch.stack(self.samples[name]).flatten(1).double().diff(dim=0).numpy()

    def flips(self, name: str = "G") -> Float[ndarray, " stages"]:
        """The fraction of images whose class, by the teacher, changes in each stage."""
        classes = torch.stack(self.classes[name])
        return (classes[1:] != classes[:-1]).double().mean(1).numpy()

    def summary(self, momentum: float) -> dict[str, list[float] | float]:
        """A record's entry ``probe``; needs at least two stages."""
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
