"""Distillation with real images: KD on original, related and unrelated data (DFAD's upper rows). With the methods of
`feature_transfer`, what the data-free ones are measured against.

A step's images are drawn with replacement (ours), so that a step is a step whatever the amount of data; colour images
are shifted and flipped as for a teacher.
"""

from typing import Any

import torch
from torch import Tensor

from ..collected import collect, default_source
from ..data import Dataset
from ..images import Images
from ..losses import baselines
from ..recipe import COLLECTED, STUDENT
from ..sources import known_dataset
from .method import Choices, Method, Terms


def source_for(kind: str, dataset: str, wanted: str = "auto") -> str:
    """The data set that real images come from: the wanted one, or the first of that kind that is on this machine."""
    if wanted != "auto":
        return known_dataset("collected_from", wanted)
    return default_source(dataset, "unrelated" if kind == "unrelated" else "related")


def images_for(
    kind: str, dataset: Dataset, *, source: str = "auto", share: float = 1.0, seed: int, device: str, **choice: Any
) -> tuple[Images, dict[str, Any]]:
    """The real images that a student learns from, on the device, and for the record which they are.

    `kind`: "original", the data set's own training images; "related" or "unrelated", those of another source;
    "collected", those of a related source, or of the `source` named, that a `choice` leaves, the options of
    `collected.collect`. A `share` below 1 takes so many of them at random.

    Raises
    ------
    UserError
        if no source of that kind is on this machine.
    """
    if kind == "original":
        images, record = Images.of(dataset, device), {"source": dataset.name}
    else:
        found = collect(source_for(kind, dataset.name, source), dataset, seed=seed, **choice)
        images, record = Images.of_collected(found, dataset, device), found.record
        if record["count"] == record["available"]:
            record = record | {"indices": "all"}  # a hundred thousand numbers would say no more
    if share < 1:
        random = torch.Generator().manual_seed(seed)
        kept = torch.randperm(len(images), generator=random)[: max(round(share * len(images)), 1)].sort().values
        images = images[kept]
        record = record | {"share": share, "kept": kept.tolist()}
    return images, record | {"images": len(images)}


class KD(Method):
    """Knowledge distillation (Hinton et al. 2015) on the original training images, without their labels: KD-ORI."""

    choices = Choices("KL", "no generator", "the original images", "–")
    uses = (*STUDENT, "temperature", "data_share")
    needs = "original"

    def student_images(self) -> list[Tensor]:
        """Images, and their labels where they are known."""
        index = torch.randint(len(self.images), (self.recipe.student_batch,), generator=self.random, device=self.device)
        return [self.augmented(self.images.pixels(index)), self.images.y[index]]

    def student_loss(self, images: list[Tensor]) -> Terms:
        x = images[0]
        return {"KL": baselines.kd(self.teacher(x), self.student(x), self.recipe.temperature)}


class KDRelated(KD):
    """KD on images of a related source, without labels: KD-REL (DFAD Section 4.1.3)."""

    choices = Choices("KL", "no generator", "related images", "–")
    needs = "related"


class KDUnrelated(KD):
    """KD on images of an unrelated source, without labels: KD-UNR (DFAD Section 4.1.3)."""

    choices = Choices("KL", "no generator", "unrelated images", "–")
    needs = "unrelated"


class KDCollected(KD):
    """KD on few collected images alone, without labels: what HiDFD's synthetic images must beat."""

    choices = Choices("KL", "no generator", "collected images", "–")
    uses = (*STUDENT, "temperature", *COLLECTED)
    needs = "collected"
