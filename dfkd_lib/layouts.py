"""How a data set's files are read: an npz, torchvision's layouts, a folder of images. Pixels stay uint8, NHWC."""

import json
import os
import warnings
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray

from .catalogue import DATASETS
from .errors import UserError, first_line
from .sources import ARRAYS, Place

IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".ppm", ".pgm", ".tif", ".tiff"}
_CALTECH101_TEST = 1695 / 8677  # DFAD Section 4.1.1: 6,982 and 1,695 images, split at random


@dataclass(frozen=True, eq=False)
class ImageFiles:
    """A split left in its image files: ``x[index]`` decodes, and so does ``np.asarray(x)``, all of it.

    Each is reduced until its short side has `short_side` pixels (bilinear, antialiased); the middle is cut out.
    """

    paths: tuple[str, ...]
    channels: int
    size: int
    short_side: int

    ndim = 4
    dtype = np.dtype(np.uint8)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        return len(self.paths), self.size, self.size, self.channels

    @property
    def nbytes(self) -> int:
        """Bytes, once decoded."""
        return len(self.paths) * self.size**2 * self.channels

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: Any) -> UInt8[ndarray, "*images size size channels"]:
        chosen = np.arange(len(self))[index]
        made = np.empty((chosen.size, *self.shape[1:]), np.uint8)

        def decode(place: int, number: int) -> None:
            made[place] = self._decode(self.paths[number])

        with ThreadPoolExecutor(min(16, os.cpu_count() or 1)) as pool:  # Pillow decodes outside Python's lock
            list(pool.map(decode, range(chosen.size), chosen.ravel().tolist()))
        return made.reshape(*chosen.shape, *self.shape[1:])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> ndarray:
        return self[:].astype(dtype or np.uint8, copy=False)

    def _decode(self, path: str) -> UInt8[ndarray, "size size channels"]:
        from PIL import Image

        try:
            with Image.open(path) as image:
                if image.mode[0] in "IF":
                    raise ValueError(f"mode {image.mode}; 8 bits per channel are needed")
                image = image.convert("L" if self.channels == 1 else "RGB")
        except Exception as error:  # a damaged file fails in the decoder of its format, each in its own way
            raise UserError(f"image {path} cannot be read ({first_line(error)}); replace or remove it") from error
        width, height = (int(self.short_side * side / min(image.size)) for side in image.size)
        image = image.resize((width, height), Image.Resampling.BILINEAR)
        left, top = round((width - self.size) / 2), round((height - self.size) / 2)
        image = image.crop((left, top, left + self.size, top + self.size))
        return np.asarray(image).reshape(self.size, self.size, self.channels)


class Split(NamedTuple):
    """The training or the test part of a data set, as it lies in its files; `classes`: their names, where known."""

    x: ndarray | ImageFiles
    y: ndarray
    classes: tuple[str, ...] = ()


def read(name: str, place: Place, part: str) -> Split:
    """A part, 'train' or 'test', of a data set that was located (not embedded). Arrays are not yet checked.

    torchvision unpickles CIFAR's batches, but only after their MD5 sums are those it was written with; nothing else
    here is ever unpickled.

    Raises
    ------
    UserError
        if its files cannot be read.
    """
    try:
        if place.layout == "npz":
            return _npz(place.path, part)
        if place.layout == "folder":
            return _folder(name, place.path, part)
        return _TORCHVISION.get(name, _torchvision)(name, place.path, part)
    except UserError as error:
        raise UserError(f"dataset {name}: {error}") from error
    except Exception as error:  # a damaged archive fails in zipfile, zlib, NumPy or tokenize, each in its own way
        kind = f"an npz with the arrays {' '.join(ARRAYS)}" if place.layout == "npz" else f"a {place.layout} layout"
        raise UserError(f"dataset {name}: {place.path} cannot be read as {kind} ({first_line(error)})") from error


def _npz(path: Path, part: str) -> Split:
    if not zipfile.is_zipfile(path):
        raise UserError(f"{path} is no npz file; it needs the arrays {' '.join(ARRAYS)}")
    with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
        if lacking := [array for array in (f"x_{part}", f"y_{part}") if array not in file.files]:
            why = ": the images' constants and the classes are read off the training part; where there is none, give "
            why += "the test part in its place"
            raise UserError(
                f"{path} lacks {', '.join(lacking)}; it needs the arrays {' '.join(ARRAYS)}{why * (part == 'train')}"
            )
        classes = tuple(str(name) for name in file["classes"]) if "classes" in file.files else ()
        return Split(file[f"x_{part}"], file[f"y_{part}"], classes)


def _torchvision(name: str, root: Path, part: str) -> Split:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # NumPy's, of the data types in CIFAR's old pickles
        made = torchvision_dataset(name, root, part, download=False)
    x = np.asarray(made.data)
    if name == "svhn":
        x = x.transpose(0, 2, 3, 1)
    y = np.asarray(made.labels if name == "svhn" else made.targets)
    classes = tuple(getattr(made, "classes", ()))
    return Split(x if x.ndim == 4 else x[..., None], y, classes)


def torchvision_dataset(name: str, root: Path, part: str, download: bool) -> Any:
    """torchvision's own object for a data set that it can download."""
    from torchvision import datasets

    kinds: dict[str, Callable[..., Any]] = {
        "mnist": datasets.MNIST,
        "fashion_mnist": datasets.FashionMNIST,
        "kmnist": datasets.KMNIST,
        "usps": datasets.USPS,
        "svhn": datasets.SVHN,
        "cifar10": datasets.CIFAR10,
        "cifar100": datasets.CIFAR100,
        "caltech101": datasets.Caltech101,
        "food101": datasets.Food101,
    }
    which: dict[str, Any] = {"train": part == "train"}
    if name in ("svhn", "food101"):
        which = {"split": part}
    elif name == "caltech101":
        which = {}
    return kinds[name](root, download=download, **which)


def _caltech101(name: str, root: Path, part: str) -> Split:
    folder = root / "caltech101" / "101_ObjectCategories"
    classes = [entry for entry in _folders(folder) if entry != "BACKGROUND_Google"]
    paths, y = _listed(folder, classes)
    order = np.random.default_rng(0).permutation(len(paths))
    tests = round(_CALTECH101_TEST * len(paths))
    chosen = np.sort(order[:tests] if part == "test" else order[tests:])
    return Split(_files(name, [paths[i] for i in chosen]), y[chosen], tuple(classes))


def _food101(name: str, root: Path, part: str) -> Split:
    listed = json.loads((root / "food-101" / "meta" / f"{part}.json").read_text())
    classes = sorted(listed)
    paths = [str(root / "food-101" / "images" / f"{file}.jpg") for entry in classes for file in listed[entry]]
    y = np.repeat(np.arange(len(classes)), [len(listed[entry]) for entry in classes])
    return Split(_files(name, paths), y, tuple(classes))


def _places365(name: str, root: Path, part: str) -> Split:
    file, folder = ("train_standard", "data_256_standard") if part == "train" else ("val", "val_256")
    lines = [line.split() for line in (root / f"places365_{file}.txt").read_text().splitlines()]
    paths = [str(root / folder / path.lstrip("/")) for path, _ in lines]
    return Split(_files(name, paths), np.array([int(label) for _, label in lines]))


# Photographs stay in their files, so these three are listed here: torchvision's objects do not show their lists.
_TORCHVISION = {"caltech101": _caltech101, "food101": _food101, "places365": _places365}


def _folder(name: str, root: Path, part: str) -> Split:
    """``train/CLASS/...`` beside the first of ``test`` and ``val`` whose folders are classes of the training images.

    As Tiny ImageNet is unpacked, ``val`` is one folder of images, and ``val_annotations.txt`` tells their classes.
    """
    classes = _folders(root / "train")
    if part == "train":
        paths, y = _listed(root / "train", classes)
    elif (root / "val" / "val_annotations.txt").is_file():
        lines = (root / "val" / "val_annotations.txt").read_text().splitlines()
        rows = [line.split("\t")[:2] for line in lines if line]
        paths = [str(root / "val" / "images" / file) for file, _ in rows]
        y = np.array([classes.index(entry) for _, entry in rows])
    else:
        tested = next((p for p in ("test", "val") if set() < set(_folders(root / p)) <= set(classes)), None)
        if tested is None:
            raise UserError(f"{root} needs a folder test or val, with folders for classes as in {root / 'train'}")
        paths, y = _listed(root / tested, classes)
    if not paths:
        raise UserError(f"{root} has no {part} images: CLASS/*{', CLASS/*'.join(sorted(IMAGE_SUFFIXES))}")
    known = {}
    if (root / "words.txt").is_file():  # Tiny ImageNet's, for all of WordNet: its folders have numbers for names
        known = dict(line.split("\t", 1) for line in (root / "words.txt").read_text().splitlines() if "\t" in line)
    first = paths[0] if part == "train" else _listed(root / "train", classes)[0][0]
    return Split(_files(name, paths, first), y, tuple(known.get(entry, entry).split(",")[0] for entry in classes))


def _folders(path: Path) -> list[str]:
    if not path.is_dir():
        return []
    return sorted(entry.name for entry in path.iterdir() if entry.is_dir() and not entry.name.startswith("."))


def _listed(folder: Path, classes: list[str]) -> tuple[list[str], ndarray]:
    """The image files in each class's folder and below, in order, and their classes' numbers."""
    found = [sorted(str(p) for p in (folder / c).rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES) for c in classes]
    return [path for paths in found for path in paths], np.repeat(np.arange(len(classes)), [len(p) for p in found])


def _files(name: str, paths: list[str], first: str = "") -> ImageFiles:
    """The files at the catalogue's size; a user's own at the short side of the `first`, 224 at most, grey if it is."""
    if name in DATASETS:
        facts = DATASETS[name]
        return ImageFiles(tuple(paths), facts.channels, facts.size, facts.short_side)
    from PIL import Image

    with Image.open(first) as image:
        side, grey = min(image.size), image.mode in ("1", "L", "LA")
    size, short_side = (224, 256) if side > 224 else (side, side)
    return ImageFiles(tuple(paths), 1 if grey else 3, size, short_side)
