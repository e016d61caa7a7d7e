"""Chapter 4: what the GAN of HiDFD or DeGAN does between stages."""

import copy
from collections import defaultdict
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..data import Dataset, Images, collect, source_for
from ..errors import UserError
from ..methods import HiDFD, State, hidfd

_MOST = 1000  # images that were not collected, at most


class GANProbe:
    """Per stage of the GAN, one value of each metric in `series`. Pass it as `observe`.

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
