"""How a data set lies in its files: an npz, torchvision's layout, image folders."""

import contextlib
import os
import shutil
import socket
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy import ndarray

from ..errors import UserError, first_line
from .catalogue import DATASETS
from .read import ImageFiles, image_files, opened, read_npz, visible
from .sources import TORCHVISION, Place, missing

_PATIENCE = 30  # seconds without an answer; torchvision would wait for ever


class Split(NamedTuple):
    """The training or the test part; `classes`: their names, where known."""

    x: ndarray | ImageFiles
    y: ndarray
    classes: tuple[str, ...] = ()


def read(name: str, place: Place, part: str) -> Split:
    """A part, 'train' or 'test', of a data set that was located. Not yet checked."""
    try:
        if place.layout == "npz":
            x, y = f"x_{part}", f"y_{part}"
            made = read_npz(place.path, x, y, "classes")
            if not {x, y} <= set(made):
                raise UserError(f"{place.path} lacks {x} or {y}; add both arrays")
            return Split(made[x], made[y], tuple(map(str, made.get("classes", ()))))
        reader = _folder if place.layout == "folder" else _torchvision
        return reader(name, place.path, part)
    except Exception as error:  # damaged files fail each in their own way
        if isinstance(error, UserError):
            raise UserError(f"dataset {name}: {error}") from error
        why = f"({first_line(error)}); get it again"
        raise UserError(f"dataset {name}: {place.path} cannot be read {why}") from error


def _folders(path: Path) -> list[str]:
    if not path.is_dir():
        return []
    return sorted(e.name for e in path.iterdir() if e.is_dir() and visible(e.name))


def _listed(folder: Path, entries: list[str], classes: list[str]) -> tuple[Any, Any]:
    """The image files of each entry, and their classes' numbers."""
    files = [image_files(folder / entry) for entry in entries]
    numbers = [classes.index(entry) for entry in entries]
    paths = [path for found in files for path in found]
    return paths, np.repeat(numbers, [len(found) for found in files])


def _files(name: str, paths: list[str], first: str = "") -> ImageFiles:
    """At the catalogue's size, or at the `first` image's, at most 224."""
    if name in DATASETS:
        return ImageFiles(tuple(paths), *DATASETS[name][1:3])
    image = opened(first)
    grey = image.mode in ("1", "L", "LA")
    return ImageFiles(tuple(paths), 1 if grey else 3, min(*image.size, 224))


def _folder(name: str, root: Path, part: str) -> Split:
    """``train/CLASS/*``, with the first of ``test`` and ``val`` that has such classes.

    Tiny ImageNet lists ``val``'s classes, and the classes' names, in text files.
    """
    classes = _folders(root / "train")
    if not classes:
        raise UserError(f"{root / 'train'} has no folders; make one for each class")
    paths, y = _listed(root / "train", classes, classes)
    first, annotated = paths[0], root / "val" / "val_annotations.txt"
    if part == "test" and annotated.is_file():
        rows = [line.split("\t") for line in annotated.read_text().splitlines()]
        paths = [str(root / "val" / "images" / row[0]) for row in rows]
        y = np.array([classes.index(row[1]) for row in rows])
    elif part == "test":
        found = [(root / test, _folders(root / test)) for test in ("test", "val")]
        fits = [f for f in found if set() < set(f[1]) <= set(classes)]
        if not fits:
            raise UserError(
                f"{root} has no test or val with folders as in train; add it"
            )
        paths, y = _listed(*fits[0], classes)
    known = {}
    if (root / "words.txt").is_file():
        lines = (root / "words.txt").read_text("utf-8").splitlines()
        known = dict(line.split("\t", 1) for line in lines if "\t" in line)
    names = tuple(known.get(entry, entry).split(",")[0] for entry in classes)
    return Split(_files(name, paths, first), y, names)


def _torchvision(name: str, root: Path, part: str) -> Split:
    if name == "caltech101":  # torchvision's takes every file for an image
        folder = root / "caltech101" / "101_ObjectCategories"
        classes = [entry for entry in _folders(folder) if entry != "BACKGROUND_Google"]
        paths, y = _listed(folder, classes, classes)
        order = np.random.default_rng(0).permutation(len(paths))
        tests = round(1695 / 8677 * len(paths))  # DFAD Section 4.1.1: split at random
        chosen = np.sort(order[:tests] if part == "test" else order[tests:])
        files = _files(name, [paths[i] for i in chosen])
        return Split(files, y[chosen], tuple(classes))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # NumPy's, of data types in CIFAR's old pickles
        made = torchvision_dataset(name, root, part, download=False)
    classes = tuple(getattr(made, "classes", ()))
    if name == "food101":
        paths = list(map(str, made._image_files))
        return Split(_files(name, paths), np.array(made._labels), classes)
    if name == "places365":
        paths = [path for path, _ in made.imgs]
        return Split(_files(name, paths), np.array(made.targets), classes)
    if name == "svhn":
        return Split(made.data.transpose(0, 2, 3, 1), made.labels)
    x, y = (torch.as_tensor(part).numpy() for part in (made.data, made.targets))
    return Split(x if x.ndim == 4 else x[..., None], y, classes)


def torchvision_dataset(name: str, root: Path, part: str, download: bool) -> Any:
    """torchvision's own object; of CIFAR's batches, it compares the MD5 sums."""
    from torchvision import datasets

    places = {"split": "val" if part == "test" else "train-standard", "small": True}
    split = {"split": part}
    which = {"svhn": split, "food101": split, "caltech101": {}, "places365": places}
    options = which.get(name, {"train": part == "train"})
    return getattr(datasets, TORCHVISION[name][0])(root, download=download, **options)


def download(name: str, root: Path) -> Place:
    """Bring a data set into the folder `root`, whole or not at all."""
    print(f"dataset {name}: downloading into {root}", file=sys.stderr)
    patience = socket.getdefaulttimeout()
    try:
        root.mkdir(parents=True, exist_ok=True)
        socket.setdefaulttimeout(_PATIENCE)
        with (
            tempfile.TemporaryDirectory(dir=root, prefix=f".{name}.") as beside,
            contextlib.redirect_stdout(sys.stderr),  # stdout is for results
        ):
            for part in ("train", "test"):
                torchvision_dataset(name, Path(beside), part, download=True)
            # file by file: another process may have brought the same
            shutil.copytree(beside, root, dirs_exist_ok=True, copy_function=os.replace)
    except Exception as error:  # of the network, the server, an archive, the disk
        raise missing(name, f"its download failed ({first_line(error)})") from error
    finally:
        socket.setdefaulttimeout(patience)
    return Place("torchvision", root)
