"""What a generator does between stages: how it moves, and how a GAN is trained."""

import copy
import math
from collections import defaultdict, deque
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor, nn

from .. import theory
from ..data import Dataset, Images, collect, source_for
from ..errors import UserError
from ..losses import js
from ..methods import HiDFD, State, hidfd

LAGS = (1, 2, 5, 10, 20)
_HOST = 2**30  # bytes of images that are kept, at most
_MOST = 1000  # images that were not collected, at most


class Probe:
    """Chapter 3. Records, per stage, some weights of G and its images of fixed noise.

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


class GANProbe:
    """Chapter 4. Per stage of HiDFD's or DeGAN's GAN, one value of each of `series`.

    Pass it as `observe`.

    - ``real``, ``unseen``: fraction of the collected images, and of others of the same
      source and choice, that D takes for real, averaged over classes; ``fake``: of
      synthetic images, that D takes for fake; ``D(fake)``: D's mean output on these;
    - ``slope GAN``, ``slope classes``, ``slope L_reg``: mean gradient norm of a term of
      the generator's loss in one synthetic image;
    - ``agreement``: fraction of synthetic images that the teacher gives their class;
    - ``variety``: standard deviation within a class, over that of collected images;
    - ``shares``: the teacher's mean probabilities when all classes are asked for alike.
    """

    def __init__(self, settings: HiDFD, dataset: Dataset, images: int = 500):
        self.settings, self.dataset, self.images = settings, dataset, images
        self.series: dict[str, list[Any]] = defaultdict(list)
        self.unseen: Images | None = None
        self.samples = self.labels = None  # the last stage's, as asked of the generator

    def __call__(self, s: State) -> None:
        if self.unseen is None:
            self.unseen = self._not_collected(s)
        # Copies: spectral norms and statistics change at every pass in training mode.
        judge, generator = map(copy.deepcopy, (s.discriminator, s.generator))
        y = torch.arange(self.images, device=s.task.device) % len(s.present)
        y, random = s.present[y], torch.Generator(s.task.device).manual_seed(s.stage)
        with torch.no_grad():
            x = hidfd.images_of(s, generator, y, random)
            fake, answers = judge.eval()(x).real, s.teacher(x)
            real, unseen = map(_some, (s.task.images, self.unseen))
            found = {
                "fake": (fake < 0).double().mean(),
                "D(fake)": fake.sigmoid().mean(),
                "real": _taken(judge, *real),
                "unseen": _taken(judge, *unseen),
                "agreement": (answers.argmax(1) == y).double().mean(),
                "shares": answers.softmax(1).mean(0),
                "variety": _spread(x, y) / _spread(*real),
            }
        for name, value in (found | self._slopes(s, judge, x, y)).items():
            self.series[name].append(value.tolist())
        shown = slice(10 * len(s.present))
        self.samples, self.labels = x[shown].cpu(), y[shown].cpu()

    def _slopes(self, s: State, judge: nn.Module, x: Tensor, y: Tensor) -> dict:
        r, x = self.settings, x.detach().requires_grad_(True)
        judged = judge(x)
        terms = {"GAN": hidfd.gan_generator(judged.real, r.gan_loss)}
        if r.guide == "HiDFD":
            terms["classes"] = hidfd.class_generator(judged.classes, y)
            n = hidfd.class_frequencies(s.counts, r.frequency_floor)
            terms["L_reg"] = r.lambda_g * hidfd.frequency_regulariser(s.teacher(x), n)
        slopes = {}
        for name, term in terms.items():
            (slope,) = torch.autograd.grad(term, x, retain_graph=True)
            norm = len(x) * slope.flatten(1).norm(dim=1).mean()  # of one image's term
            slopes[f"slope {name}"] = norm
        return slopes

    def _not_collected(self, s: State) -> Images:
        """Images of the same source and choice that the GAN does not learn from."""
        r, data, images = self.settings, self.dataset, s.task.images
        source = source_for("collected", data.name, r.collected_from)
        teacher = s.teacher if r.collected_by == "confidence" else None
        found = collect(source, data, by=r.collected_by, teacher=teacher)
        pool = Images.of_collected(found, data, s.task.device)
        random = torch.Generator().manual_seed(0)
        index = torch.randperm(len(pool), generator=random)[: _MOST + len(images)]
        known = set(_bytes(images.pixels(torch.arange(len(images)))))
        fresh = [one not in known for one in _bytes(pool.pixels(index))]
        if any(fresh):
            return pool[index[torch.tensor(fresh)][:_MOST]]
        raise UserError("probe: every image of the source was collected; collect fewer")

    def summary(self) -> dict[str, list[Any]]:
        """A record's entry ``probe``: a value per stage of the GAN."""
        return {name: np.round(v, 5).tolist() for name, v in self.series.items()}


def _some(images: Images) -> tuple[Tensor, Tensor]:
    index = torch.arange(min(len(images), _MOST), device=images.y.device)
    return images.batch(index), images.y[index]


def _taken(judge: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """Fraction that D takes for real, averaged over classes."""
    right = (judge(x).real > 0).double()
    return torch.stack([right[y == label].mean() for label in y.unique()]).mean()


def _spread(x: Float[Tensor, "n c h w"], y: Tensor) -> Tensor:
    """Standard deviation within a class, averaged over classes and pixels."""
    parts = [x[y == label] for label in y.unique()]
    return torch.stack([part.std(0).mean() for part in parts if len(part) > 1]).mean()


def _bytes(pixels: Tensor) -> list[bytes]:
    return [image.numpy().tobytes() for image in pixels.cpu()]
