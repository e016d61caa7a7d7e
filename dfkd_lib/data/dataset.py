# ruff: noqa: I001  (long imports in a few lines)
"""Data sets by name, as uint8 NHWC pixels: to train a teacher, and to test students."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Integer, UInt8
from numpy import ndarray

from ..errors import UserError, one_of, shown, told
from .catalogue import DATASETS, NETWORKS, VOID, locate
from .layouts import (
    ImageFiles, Split, download, image_files, image_pairs, read, read_npz, resize,
)  # fmt: skip
from .scenes import scenes

_CLASSES = 65_536  # a network has weights for every number up to the largest label
_SAMPLE = 10_000  # image files that are decoded for their mean and deviation
Pixels = UInt8[ndarray, "n h w c"] | ImageFiles
Constants = tuple[float, ...]


@dataclass(frozen=True)
class Dataset:
    """Images, labels, and the constants that normalise: (x / 255 − mean) / std."""

    name: str
    x_train: UInt8[ndarray, "train h w c"] | ImageFiles
    y_train: Integer[ndarray, "train *pixels"]  # of pixels: uint8, `VOID` for none
    x_test: UInt8[ndarray, "test h w c"]
    y_test: Integer[ndarray, "test *pixels"]
    mean: Constants
    std: Constants
    classes: tuple[str, ...] = ()  # their names, where known

    @property
    def num_classes(self) -> int:
        return _largest(self.y_train) + 1

    @property
    def crop(self) -> int | None:
        """With label maps: networks train on squares of half the images' shorter side.

        Of DFAD's 256 pixels these are its 128. None for labels of images.
        """
        short = min(self.x_train.shape[1:3])
        return min(-(-short // 32) * 16, short) if self.y_train.ndim > 1 else None

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of the images that networks train on."""
        _, height, width, channels = self.x_train.shape
        return channels, self.crop or height, self.crop or width

    def normalise(self, x: Pixels) -> Float[ndarray, "n c h w"]:
        """Pixels as the networks see them: float32, NCHW."""
        scaled = x[:].astype(np.float32) / 255
        scaled = (scaled - np.float32(self.mean)) / np.float32(self.std)
        return np.ascontiguousarray(scaled.transpose(0, 3, 1, 2))


def load_dataset(name: str) -> Dataset:
    """The data set called `name`, as the catalogue has it, or a user's own as it is."""
    where, train = load_part(name, "train")
    classes, facts = _largest(train.y) + 1, DATASETS.get(name)
    if classes == 1:
        void = f" (in label maps, {VOID} is void)" * (train.y.ndim > 1)
        raise UserError(f"{where}: y_train has one class{void}; give at least two")
    _, test = load_part(name, "test", classes)
    if train.y.ndim != test.y.ndim:
        raise UserError(f"{where}: one of y_train and y_test has labels of pixels")
    seen, unseen = train.x.shape[1:], test.x.shape[1:]
    if seen != unseen:
        raise UserError(f"{where}: x_train has images of {seen}, x_test {unseen}")
    mean, std = facts[3:5] if facts and facts.mean else _moments(train.x)
    if not all(std):
        raise UserError(f"{where}: a channel of x_train has the same value everywhere")
    return Dataset(name, train.x, train.y, test.x[:], test.y, mean, std, train.classes)


def load_part(name: str, part: str, classes: int = _CLASSES) -> tuple[str, Split]:
    """Where the 'train' or 'test' part of a data set comes from, and the part."""
    place, facts = locate(name), DATASETS.get(name)
    if place[0] == "embedded":
        return name, _embedded(name, part)
    if place[0] == "download":
        place = download(name, place[1])
    x, y, names = read(name, place, part)
    dense = facts.dense if facts else np.ndim(y) == 3
    if dense and "void" in names:
        y = np.where(y == names.index("void"), VOID, y)
        names = tuple(n for n in names if n != "void")
    where, train = f"dataset {name}: {place[1]}", part == "train"
    if facts and train:
        classes = facts.classes
    channels = (facts.channels,) if facts else (1, 3)
    _check(where, f"_{part}", x, y, channels, classes, dense)
    if train and y.min() > 0:
        raise UserError(f"{where}: y_train has labels from {y.min()} on; count from 0")
    if dense:
        return where, Split(x, y.astype(np.uint8), names)
    if facts and not isinstance(x, ImageFiles):  # files are decoded at that size
        x = resize(x, facts.size)
    return where, Split(x, y.astype(np.int64), names)


def _largest(y: Integer[ndarray, "n *pixels"]) -> int:
    """The largest label, without that of void pixels."""
    return int(y.max() if y.ndim == 1 else y.max(where=y != VOID, initial=0))


def _check(
    where: str, part: str, x: Any, y: Any, channels: tuple[int, ...], classes: int,
    dense: bool = False,
) -> None:  # fmt: skip
    """Refuse anything but uint8 images, NHWC, and a label below `classes` for each.

    Or, if `dense`, for each pixel; there `VOID` is allowed too.
    """
    if x.dtype != np.uint8 or x.ndim != 4 or x.shape[3] not in channels or 0 in x.shape:
        allowed = " or ".join(map(str, channels))
        line = f"{where}: x{part} is {x.dtype} of shape {x.shape}; it must be uint8, "
        line += f"1 or more × height × width × ({allowed}); grey ones as x[..., None]"
        raise UserError(line)
    shape, each = (x.shape[:3], "pixel") if dense else ((len(x),), "image")
    if y.shape != shape or not np.issubdtype(y.dtype, np.integer):
        line = f"{where}: y{part} is {y.dtype} of shape {y.shape}; it must have a "
        raise UserError(f"{line}whole number for each {each}, {shape}")
    if dense and (y == VOID).all():
        raise UserError(f"{where}: y{part} has no pixel with a class")
    least, largest = y.min(), _largest(y)
    classes = min(classes, VOID) if dense else classes
    if least < 0 or largest >= classes:
        line = f"{where}: y{part} has labels from {least} to {largest}; give 0 to "
        void = f", and {VOID} for void pixels" * dense
        raise UserError(f"{line}{classes - 1}{void}")


def _moments(x: Pixels) -> tuple[Constants, Constants]:
    """Mean and deviation of each channel, in [0, 1]; of 10,000 images in files."""
    if isinstance(x, ImageFiles):
        x = x[np.linspace(0, len(x) - 1, min(len(x), _SAMPLE)).astype(int)]
    count = x[..., 0].size
    mean = np.einsum("nhwc->c", x, dtype=np.int64) / count
    variance = np.einsum("nhwc,nhwc->c", x, x, dtype=np.int64) / count - mean**2
    return tuple((mean / 255).tolist()), tuple((variance**0.5 / 255).tolist())


def _embedded(name: str, part: str) -> Split:
    """scikit-learn's handwritten digits, or two moons, with a fixed split."""
    from scipy.ndimage import zoom
    from sklearn import datasets
    from sklearn.model_selection import train_test_split

    if name == "scenes":
        return Split(*scenes(part), ("background", *map(str, range(10))))
    if name == "moons":  # a point is an image of one pixel, a coordinate is a channel
        points, y = datasets.make_moons(2000, noise=0.1, random_state=0)
        x = ((points - (-1.75, -1.25)) / (4.5, 3.0))[:, None, None]
    else:  # 1,797 digits (8×8, 17 grey levels), bilinearly enlarged to 32×32
        x, y = datasets.load_digits(return_X_y=True)
        x = x.reshape(-1, 8, 8) / 16
        x = zoom(x, (1, 4, 4), order=1, mode="nearest", grid_mode=True)[..., None]
    x, parts = np.round(255 * x).clip(0, 255).astype(np.uint8), []
    # testing on half of the digits resolves smaller differences
    sizes = {"moons": (500,), "digits": (450,), "digits_half": (899,)}
    for size in sizes.get(name, (899, 450)):
        made = train_test_split(x, y, test_size=size, stratify=y, random_state=0)
        parts, (x, y) = [*parts, made[::2]], made[1::2]
    train = (x, y) if name == "digits_rest" else parts[0]
    x, y = train if part == "train" else [*parts, (x, y)][1]
    return Split(x, y.astype(np.int64))


def check_fits(dataset: Dataset, role: str, network: str) -> None:
    """Refuse a network (`role`: teacher or student) that cannot take such images."""
    height, width, channels = dataset.x_train.shape[1:]
    takes = NETWORKS[one_of(role, network, NETWORKS)]
    fits = [
        name
        for name, (needs, size, dense) in NETWORKS.items()
        if needs == channels and (size is None or size == height == width)
        if dense == bool(dataset.crop)
    ]
    if network not in fits:
        size = f"{takes.size}×{takes.size}" if takes.size else "any size"
        line = f"{role}: {network} takes images of {takes.channels}×{size}, but "
        line += f"{dataset.name} has {channels}×{height}×{width}"
        if takes.dense != bool(dataset.crop):
            line += f" with labels of {'images' if takes.dense else 'pixels'}"
        raise UserError(f"{line}; allowed with it: {', '.join(fits) or 'no network'}")


def load_images(
    path: str | Path, shape: tuple[int, int, int], num_classes: int, dense: bool = False
) -> tuple[UInt8[ndarray, "n c h w"], Integer[ndarray, "n *pixels"] | None]:
    """The images of a folder, or of an npz's ``x`` (or ``x_test``), brought to `shape`.

    `shape` is (channels, height, width). An npz may have labels, ``y`` (or ``y_test``);
    if `dense`, these are label maps, which a folder has as ``masks`` beside ``images``.
    A UserError for what cannot be read, or does not fit the network.
    """
    (channels, *sides), y, place = shape, None, os.path.expanduser(path)
    kinds = ", or of images and masks (for each pixel its class)" * dense
    give = f"give a folder of images{kinds}, or an npz with an array x"
    with told(f"check: {shown(place)} cannot be used", give):
        # os.path answers no where pathlib fails: a name too long, or with a NUL
        if os.path.isdir(place):
            if channels not in (1, 3):
                raise ValueError(f"its images have 1 or 3 channels, not {channels}")
            if dense and (Path(place) / "masks").is_dir():
                x, y = image_pairs(Path(place), tuple(sides), channels)
            else:
                x = ImageFiles(tuple(image_files(Path(place))), channels, *sides)[:]
        elif os.path.isfile(place):
            made = read_npz(Path(place), "x", "x_test", "y", "y_test")
            x, y = (made.get(name, made.get(f"{name}_test")) for name in "xy")
            if x is None:
                raise ValueError("it has no array x")
            labels = np.zeros(x.shape[: 3 if dense else 1], int) if y is None else y
            _check(place, "", x, labels, (channels,), num_classes, dense)
            x, y = resize(x, *sides), None if y is None else y.astype(np.int64)
        else:
            raise ValueError("it does not exist")
        if dense and y is not None:  # masks are unchecked; the middle may be all void
            y = resize(y.astype(np.uint8)[..., None], *sides, labels=True)[..., 0]
            _check(place, "", x, y, (channels,), num_classes, dense)
            if not _largest(y) and (y == VOID).any():
                line = f"its maps have class 0 and {VOID}, which is void, alone"
                raise ValueError(f"{line}; the classes are numbers from 0 on")
    return np.ascontiguousarray(x.transpose(0, 3, 1, 2)), y
