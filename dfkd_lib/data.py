"""Data sets by name, wherever they lie (`sources`), as uint8 NHWC pixels. No torch until an image must be resized.

In this book data has two uses only: to train a teacher, and to *test* a student. No student trains on it, but for the
baselines and for HiDFD, whose real images come from elsewhere (`collected`).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, UInt8
from numpy import ndarray

from . import catalogue
from .catalogue import DATASETS, NETWORKS
from .downloads import download
from .embedded import arrays
from .errors import UserError, one_of
from .layouts import ImageFiles, Split, read
from .sources import Place, locate

_CHUNK = 4096  # images that are worked on at once, so that a large set is never copied whole
_CLASSES = 65_536  # more are a mistake: a network has an output, and weights, for every number up to the largest
_SAMPLE = 10_000  # image files that are decoded for their mean and deviation


@dataclass(frozen=True)
class Dataset:
    """Images (uint8, NHWC), labels, and the constants that normalise a channel: (x / 255 − mean) / std.

    Training images that lie in image files are decoded only when indexed (`ImageFiles`); test images are in memory.
    """

    name: str
    x_train: UInt8[ndarray, "train height width channels"] | ImageFiles
    y_train: Int[ndarray, " train"]
    x_test: UInt8[ndarray, "test height width channels"]
    y_test: Int[ndarray, " test"]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    classes: tuple[str, ...] = ()  # their names, where the files tell them

    @property
    def num_classes(self) -> int:
        return int(self.y_train.max()) + 1

    def normalise(
        self, x: UInt8[ndarray, "batch height width channels"] | ImageFiles
    ) -> Float[ndarray, "batch channels height width"]:
        """Pixels as the networks see them: float32, NCHW, mean 0 and variance 1 per channel over the training set."""
        scaled = (np.asarray(x).astype(np.float32) / 255 - np.float32(self.mean)) / np.float32(self.std)
        return np.ascontiguousarray(scaled.transpose(0, 3, 1, 2))


def load_dataset(name: str) -> Dataset:
    """The data set called `name`: embedded, found, or downloaded (`sources.locate` has the order).

    A name of the catalogue comes at the catalogue's size, with its constants; one of the user's own as it is, with
    constants computed from its training pixels (of 10,000 images, evenly spaced, where they are image files).
    Of image files the test part is decoded here, the training part later: ImageNet's tests take 7.5 GB of memory.

    Raises
    ------
    UserError
        if it is unknown, missing, or its files do not hold what they should.
    """
    place = locate(name)
    if place.layout == "embedded":
        return _embedded(name)
    if place.layout == "download":
        place = download(name, place.path)
    facts = DATASETS.get(name)
    where = f"dataset {name}: {place.path}"
    train, test = _checked(name, place, "train"), _checked(name, place, "test")
    if train.y.max() == 0:
        raise UserError(f"{where}: y_train has one class; a classifier needs two at least")
    if test.y.max() > train.y.max():
        raise UserError(f"{where}: y_test has labels outside 0 to {train.y.max()}")
    if train.x.shape[1:] != test.x.shape[1:]:
        raise UserError(f"{where}: images are {train.x.shape[1:]} in x_train, {test.x.shape[1:]} in x_test")
    x_train, x_test = _at_catalogue_size(train.x, facts), np.asarray(_at_catalogue_size(test.x, facts))
    mean, std = (facts.mean, facts.std) if facts and facts.mean else moments(x_train)
    if not all(std):
        raise UserError(f"{where}: a channel of x_train has the same value in all pixels, so it cannot be normalised")
    return Dataset(name, x_train, train.y, x_test, test.y, mean, std, train.classes)


def load_training_split(name: str) -> Split:
    """The training images and labels alone, at the catalogue's size: as a source of collected images.

    Raises
    ------
    UserError
        as `load_dataset`; a test part may be missing.
    """
    place = locate(name)
    if place.layout == "embedded":
        return Split(*arrays(name)[:2])
    if place.layout == "download":
        place = download(name, place.path)
    train = _checked(name, place, "train")
    return train._replace(x=_at_catalogue_size(train.x, DATASETS.get(name)))


def check_fits(dataset: Dataset, role: str, network: str) -> None:
    """Refuse a network (as teacher or as student: `role`) that does not take the data set's images."""
    height, width, channels = dataset.x_train.shape[1:]
    takes = NETWORKS[one_of(role, network, NETWORKS)]
    if _takes(takes, height, width, channels):
        return
    fitting = [name for name, other in NETWORKS.items() if _takes(other, height, width, channels)]
    size = f"{takes.size}×{takes.size}" if takes.size else "any size"
    raise UserError(
        f"{role}: {network} takes images of {takes.channels or 'any number of channels'}×{size}, {dataset.name} has "
        f"{channels}×{height}×{width}; allowed with it: {', '.join(fitting) or 'no network here'}"
    )


def _takes(network: catalogue.Input, height: int, width: int, channels: int) -> bool:
    return network.channels in (None, channels) and (network.size is None or height == width == network.size)


def moments(
    x: UInt8[ndarray, "images height width channels"] | ImageFiles,
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel, scaled to [0, 1]; of 10,000 images where they are files."""
    if isinstance(x, ImageFiles):
        x = x[np.linspace(0, len(x) - 1, min(len(x), _SAMPLE)).astype(int)]
    counts = np.zeros((x.shape[3], 256), np.int64)
    for start in range(0, len(x), _CHUNK):
        for channel, count in enumerate(counts):
            count += np.bincount(x[start : start + _CHUNK, ..., channel].ravel(), minlength=256)
    grey = np.arange(256) / 255
    mean = [float(np.average(grey, weights=count)) for count in counts]
    std = [float(np.average((grey - m) ** 2, weights=count) ** 0.5) for m, count in zip(mean, counts, strict=True)]
    return tuple(mean), tuple(std)


def resize(x: UInt8[ndarray, "images height width channels"], size: int) -> UInt8[ndarray, "images size size channels"]:
    """The middle square, made `size` pixels wide: bilinear, antialiased where it shrinks, in whole grey levels."""
    import torch
    from torch.nn import functional as F

    height, width = x.shape[1:3]
    side = min(height, width)
    x = x[:, (height - side) // 2 :, (width - side) // 2 :][:, :side, :side]
    if side == size:
        return x
    parts = []
    for start in range(0, len(x), _CHUNK):
        part = torch.tensor(x[start : start + _CHUNK]).permute(0, 3, 1, 2).float()
        part = F.interpolate(part, (size, size), mode="bilinear", antialias=True)
        parts.append(part.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).numpy())
    return np.concatenate(parts)


def _embedded(name: str) -> Dataset:
    x_train, y_train, x_test, y_test = arrays(name)
    scaled = x_train / 255
    # Not by `moments`, whose last bits differ: the shipped teachers and all records were made with these.
    mean, std = (tuple(map(float, moment(scaled, axis=(0, 1, 2)))) for moment in (np.mean, np.std))
    return Dataset(name, x_train, y_train, x_test, y_test, mean, std)


def _at_catalogue_size(x: ndarray | ImageFiles, facts: catalogue.Images | None) -> ndarray | ImageFiles:
    if facts is None or isinstance(x, ImageFiles):  # files are decoded at that size
        return x
    return resize(x, facts.size)


def _checked(name: str, place: Place, part: str) -> Split:
    """Refuse arrays that would only fail, or silently mislead, later."""
    x, y, classes = read(name, place, part)
    where, facts = f"dataset {name}: {place.path}", DATASETS.get(name)
    if x.dtype != np.uint8 or x.ndim != 4 or x.shape[3] not in (1, 3) or not x.shape[0] * x.shape[1] * x.shape[2]:
        raise UserError(
            f"{where}: x_{part} is {x.dtype} of shape {x.shape}; it must be uint8, "
            "(images, height, width, 1 or 3 channels), with an image and a pixel at least; "
            "of grey ones, save x[..., None]"
        )
    if y.shape != (len(x),) or not np.issubdtype(y.dtype, np.integer):
        raise UserError(f"{where}: y_{part} is {y.dtype} of shape {y.shape}; it must hold {len(x)} whole numbers")
    if y.min() < 0:
        raise UserError(f"{where}: y_{part} has labels below 0")
    if y.max() >= _CLASSES:
        raise UserError(
            f"{where}: y_{part} has labels up to {y.max()}; give the classes numbers from 0 to {_CLASSES - 1:,}"
        )
    if facts and x.shape[3] != facts.channels:
        raise UserError(f"{where} has images of {x.shape[3]} channels; {name} has {facts.channels}")
    if facts and part == "train" and y.max() >= facts.classes:
        raise UserError(f"{where} has labels up to {y.max()}; {name} has {facts.classes} classes")
    if part == "train" and y.min() > 0:
        raise UserError(f"{where}: y_{part} has labels from {y.min()} on; count the classes from 0, here and in y_test")
    return Split(x, y.astype(np.int64), classes)
