"""Measurements along the GAN of HiDFD or DeGAN, which leave the run as it is: does the discriminator know its images by
heart, which of its words reach the generator, and which classes does the generator make?
"""

import copy
import dataclasses
from collections import defaultdict
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from .collected import collect
from .data import Dataset
from .errors import UserError
from .images import Images
from .losses import hidfd
from .methods.hidfd import HiDFD
from .methods.with_data import source_for

_MOST = 1000  # images that were not collected, at most


class GANProbe:
    """What `training.train` calls `observe`: per stage of the GAN one value of each figure in `series`.

    - ``real``, ``unseen``: the share of the collected images, and of others of the same source and choice, that the
      discriminator takes for real, as a mean over classes, since the two differ in their classes; ``fake``: of
      synthetic images, that it takes for fake; ``D(fake)``: its mean word on these;
    - ``slope GAN``, ``slope classes``, ``slope L_reg``: the mean length of a term's gradient in one synthetic image;
    - ``agreement``: the share of synthetic images that the teacher puts into the class asked for;
    - ``variety``: how much synthetic images of a class differ, by their standard deviation over that of collected ones;
    - ``shares``: of each class in the teacher's mean answer, where all classes are asked for alike.
    """

    def __init__(self, dataset: Dataset, images: int = 500):
        self.dataset, self.images = dataset, images
        self.series: dict[str, list[Any]] = defaultdict(list)
        self.unseen: Images | None = None
        self.samples: Tensor | None = None  # synthetic images of the last stage seen, and the classes asked for
        self.labels: Tensor | None = None

    def __call__(self, stage: int, method: HiDFD) -> None:
        if stage > method.recipe.gan_stages:
            return
        if self.unseen is None:
            self.unseen = self._not_collected(method)
        discriminator = copy.deepcopy(method.discriminator).eval()  # spectral norms move in training mode
        generator = copy.deepcopy(method.generator)  # in training mode, as it is judged; its statistics stay
        y = method.present[torch.arange(self.images, device=method.device) % len(method.present)]
        usual, method.random = method.random, torch.Generator(method.device).manual_seed(stage)
        try:
            with torch.no_grad():
                x = method.generate(generator, y)
        finally:
            method.random = usual
        self._slopes(method, discriminator, x, y)
        with torch.no_grad():
            self._judge(method, discriminator, x)
            self._classes(method, x, y)
        shown = slice(10 * len(method.present))
        self.samples, self.labels = x[shown].cpu(), y[shown].cpu()

    def _slopes(self, method: HiDFD, discriminator: torch.nn.Module, x: Tensor, y: Tensor) -> None:
        """Gradients in the images; means over the batch are undone, so that a figure is one image's."""
        r, x = method.recipe, x.detach().requires_grad_(True)
        judged = discriminator(x)
        terms = {"GAN": hidfd.gan_generator(judged.real, r.gan_loss)}
        if "lambda_g" in method.uses:  # DeGAN has neither
            terms["classes"] = hidfd.class_generator(judged.classes, y)
            frequencies = hidfd.class_frequencies(method.counters.counts, r.frequency_floor)
            terms["L_reg"] = r.lambda_g * hidfd.frequency_regulariser(method.teacher(x), frequencies)
        for name, term in terms.items():
            (slope,) = torch.autograd.grad(term, x, retain_graph=True)
            self.series[f"slope {name}"].append(len(x) * slope.flatten(1).norm(dim=1).mean().item())

    def _judge(self, method: HiDFD, discriminator: torch.nn.Module, x: Tensor) -> None:
        fake = discriminator(x).real
        self.series["fake"].append((fake < 0).double().mean().item())
        self.series["D(fake)"].append(fake.sigmoid().mean().item())
        for name, images in (("real", method.images), ("unseen", self.unseen)):
            some = torch.arange(min(len(images), _MOST), device=method.device)
            right, y = (discriminator(images.batch(some)).real > 0).double(), images.y[some]
            self.series[name].append(torch.stack([right[y == label].mean() for label in y.unique()]).mean().item())

    def _classes(self, method: HiDFD, x: Tensor, y: Tensor) -> None:
        answers = method.teacher(x)
        self.series["agreement"].append((answers.argmax(1) == y).double().mean().item())
        self.series["shares"].append(answers.softmax(1).mean(0).tolist())
        real = method.images.batch(torch.arange(min(len(method.images), _MOST), device=method.device))
        labels = method.images.y[: len(real)]
        self.series["variety"].append((_spread(x, y) / _spread(real, labels)).item())

    def _not_collected(self, method: HiDFD) -> Images:
        """Images of the same source and choice, of which the GAN has seen none."""
        r = method.recipe
        source = source_for("collected", self.dataset.name, r.collected_from)
        teacher = method.teacher if r.collected_by == "confidence" else None
        pool = Images.of_collected(
            collect(source, self.dataset, by=r.collected_by, teacher=teacher), self.dataset, "cpu"
        )
        known = {image.numpy().tobytes() for image in method.images.pixels(torch.arange(len(method.images))).cpu()}
        index = torch.randperm(len(pool), generator=torch.Generator().manual_seed(0))[: _MOST + len(known)]
        fresh = torch.tensor([image.numpy().tobytes() not in known for image in pool.pixels(index)])
        if not fresh.any():
            raise UserError("probe: every image of the source was collected, none is left to compare; collect fewer")
        found = pool[index[fresh][:_MOST]]
        return dataclasses.replace(found, **{k: getattr(found, k).to(method.device) for k in ("x", "y", "mean", "std")})

    def summary(self) -> dict[str, list[Any]]:
        """What a record keeps: one value per stage of the GAN."""
        return {name: [_rounded(value) for value in values] for name, values in self.series.items()}


def _spread(x: Float[Tensor, "n channels height width"], y: Tensor) -> Tensor:
    """The mean over classes and pixels of the standard deviation within a class; classes of one image are left out."""
    parts = [x[y == label] for label in y.unique()]
    return torch.stack([part.std(0).mean() for part in parts if len(part) > 1]).mean()


def _rounded(value: float | list[float]) -> float | list[float]:
    return [round(part, 5) for part in value] if isinstance(value, list) else round(value, 5)
