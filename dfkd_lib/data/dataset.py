"""Data sets by name, as uint8 NHWC pixels: to train a teacher, and to test students."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int, UInt8
from numpy import ndarray

from ..errors import UserError, one_of, shown
from ..files import at_home
from .catalogue import DATASETS, NETWORKS
from .embedded import arrays
from .layouts import Split, download, read
from .read import CHUNK, ImageFiles, image_files, read_npz, resize
from .sources import EMBEDDED, locate

_CLASSES = 65_536  # a network has weights for every number up to the largest label
_SAMPLE = 10_000  # image files that are decoded for their mean and deviation


@dataclass(frozen=True)
class Dataset:
    """Images, labels, and the constants that normalise: (x / 255 − mean) / std.

    Training images in image files are decoded when indexed; test images are in memory.
    """

    name: str
    x_train: UInt8[ndarray, "train height width channels"] | ImageFiles
    y_train: Int[ndarray, " train"]
    x_test: UInt8[ndarray, "test height width channels"]
    y_test: Int[ndarray, " test"]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    classes: tuple[str, ...] = ()  # their names, where known

    @property
    def num_classes(self) -> int:
        return int(self.y_train.max()) + 1

    def normalise(
        self, x: UInt8[ndarray, "batch height width channels"] | ImageFiles
    ) -> Float[ndarray, "batch channels height width"]:
        """Pixels as the networks see them: float32, NCHW."""
        scaled = np.asarray(x).astype(np.float32) / 255
        scaled = (scaled - np.float32(self.mean)) / np.float32(self.std)
        return np.ascontiguousarray(scaled.transpose(0, 3, 1, 2))


def load_dataset(name: str) -> Dataset:
    """The data set called `name`: embedded, found, or downloaded (see `locate`).

    A name of the catalogue comes at the catalogue's size, with its constants; a user's
    own as it is, with constants computed from its training pixels.
    """
    where, train = _part(name, "train")
    _, test = _part(name, "test")
    classes, facts = int(train.y.max()) + 1, DATASETS.get(name)
    if classes == 1:
        raise UserError(f"{where}: y_train has one class; give at least two")
    _check_labels(f"{where}: y_test", test.y, len(test.x), classes)
    shapes = train.x.shape[1:], test.x.shape[1:]
    if shapes[0] != shapes[1]:
        raise UserError(
            f"{where}: x_train has images of {shapes[0]}, x_test {shapes[1]}"
        )
    mean, std = (facts.mean, facts.std) if facts and facts.mean else moments(train.x)
    if name in EMBEDDED:  # the shipped teachers have these last bits
        x = train.x / 255
        mean, std = (tuple(map(float, f(x, (0, 1, 2)))) for f in (np.mean, np.std))
    if not all(std):
        raise UserError(f"{where}: a channel of x_train has the same value everywhere")
    x_test = np.asarray(test.x)
    return Dataset(name, train.x, train.y, x_test, test.y, mean, std, train.classes)


def load_training_split(name: str) -> Split:
    """The training part alone, which a source of collected images needs."""
    return _part(name, "train")[1]


def _part(name: str, part: str) -> tuple[str, Split]:
    """Where a part comes from, and the part; refuses what would mislead."""
    place, facts = locate(name), DATASETS.get(name)
    if place.layout == "embedded":
        made = arrays(name)
        return name, Split(*(made[:2] if part == "train" else made[2:]))
    if place.layout == "download":
        place = download(name, place.path)
    x, y, classes = read(name, place, part)
    where, train = f"dataset {name}: {place.path}", part == "train"
    _check_pixels(f"{where}: x_{part}", x, (facts.channels,) if facts else (1, 3))
    limit = facts.classes if facts and train else _CLASSES
    _check_labels(f"{where}: y_{part}", y, len(x), limit)
    if train and y.min() > 0:
        raise UserError(f"{where}: y_train has labels from {y.min()} on; count from 0")
    if facts and not isinstance(x, ImageFiles):  # files are decoded at that size
        x = resize(x, facts.size)
    return where, Split(x, y.astype(np.int64), classes)


def _check_pixels(
    name: str, x: ndarray | ImageFiles, channels: tuple[int, ...]
) -> None:
    """Refuse anything but images, uint8 and NHWC, of so many channels."""
    if x.dtype != np.uint8 or x.ndim != 4 or x.shape[3] not in channels or 0 in x.shape:
        allowed = " or ".join(map(str, channels))
        raise UserError(
            f"{name} is {x.dtype} of shape {x.shape}; it must be uint8, at least one "
            f"image, (images, height, width, {allowed}); for grey ones: x[..., None]"
        )


def _check_labels(name: str, y: ndarray, count: int, classes: int) -> None:
    """Refuse anything but `count` whole numbers below `classes`."""
    if y.shape != (count,) or not np.issubdtype(y.dtype, np.integer):
        kind = f"{y.dtype} of shape {y.shape}"
        raise UserError(f"{name} is {kind}; it must hold {count} whole numbers")
    if y.min() < 0 or y.max() >= classes:
        found = f"from {y.min()} to {y.max()}"
        raise UserError(f"{name} has labels {found}; give 0 to {classes - 1}")


def check_fits(dataset: Dataset, role: str, network: str) -> None:
    """Refuse a network (`role`: teacher or student) that cannot take such images."""
    height, width, channels = dataset.x_train.shape[1:]
    takes = NETWORKS[one_of(role, network, NETWORKS)]
    fitting = [
        name
        for name, other in NETWORKS.items()
        if other.channels == channels
        and (not other.size or height == width == other.size)
    ]
    if network not in fitting:
        size = f"{takes.size}×{takes.size}" if takes.size else "any size"
        raise UserError(
            f"{role}: {network} takes images of {takes.channels}×{size}, but "
            f"{dataset.name} has {channels}×{height}×{width}; allowed with it: "
            f"{', '.join(fitting) or 'no network here'}"
        )


def moments(
    x: UInt8[ndarray, "images height width channels"] | ImageFiles,
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation of each channel, in [0, 1]; of 10,000 images in files."""
    if isinstance(x, ImageFiles):
        x = x[np.linspace(0, len(x) - 1, min(len(x), _SAMPLE)).astype(int)]
    mean, std, grey = [], [], np.arange(256) / 255
    for c in range(x.shape[3]):
        parts = (x[i : i + CHUNK, ..., c].ravel() for i in range(0, len(x), CHUNK))
        count = sum(np.bincount(part, minlength=256) for part in parts)
        mean.append(float(np.average(grey, weights=count)))
        std.append(float(np.average((grey - mean[-1]) ** 2, weights=count) ** 0.5))
    return tuple(mean), tuple(std)


def load_images(
    path: str | Path, shape: tuple[int, int, int], num_classes: int
) -> tuple[UInt8[ndarray, "n channels size size"], Int[ndarray, " n"] | None]:
    """The images of a folder, or of an npz's array ``x`` (or ``x_test``; uint8, NHWC).

    They are brought to `shape`, (channels, size, size): the middle square, resized. An
    npz may have labels, ``y`` (or ``y_test``).
    """
    (channels, size, _), y = shape, None
    try:
        if not isinstance(path, str | Path) or not str(path).strip():
            raise UserError(f"{shown(path)} is no path")
        # os.path answers no where pathlib fails: a name too long, or with a NUL
        if os.path.isdir(path := at_home("path", path)):
            if channels not in (1, 3):
                raise UserError(f"image files have 1 or 3 channels, not {channels}")
            x = np.asarray(ImageFiles(tuple(image_files(path)), channels, size))
        elif os.path.isfile(path):
            made = read_npz(path, "x", "x_test", "y", "y_test")
            x, y = made.get("x", made.get("x_test")), made.get("y", made.get("y_test"))
            if x is None:
                raise UserError(f"{path} has no array x")
            _check_pixels(f"{path}: x", x, (channels,))
            if y is not None:
                _check_labels(f"{path}: y", y, len(x), num_classes)
                y = y.astype(np.int64)
            x = x if x.shape[1:3] == (size, size) else resize(x, size)
        else:
            raise UserError(f"there is no {shown(str(path))}")
    except UserError as error:
        give = "give a folder of images, or an npz with an array x"
        raise UserError(f"check: {error}; {give}") from error
    return np.ascontiguousarray(x.transpose(0, 3, 1, 2)), y
