"""Where a data set lies: embedded, in ``$DFKD_DATA`` or the cache, or on the network.

Downloads go to the first of the two; with ``DFKD_OFFLINE=1`` nothing is downloaded.
"""

import os
import re
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import UserError, one_of
from ..files import at_home, cache_folder
from .catalogue import DATASETS

EMBEDDED = ("digits", "digits_half", "digits_hybrid", "digits_rest", "moons")
_IDX = "train-images-idx3 train-labels-idx1 t10k-images-idx3 t10k-labels-idx1".split()
# torchvision's class, and what it leaves in its root folder; all of it must be there
TORCHVISION: dict[str, tuple[str, ...]] = {
    "mnist": ("MNIST", *(f"MNIST/raw/{part}-ubyte" for part in _IDX)),
    "fashion_mnist": ("FashionMNIST", *(f"FashionMNIST/raw/{p}-ubyte" for p in _IDX)),
    "kmnist": ("KMNIST", *(f"KMNIST/raw/{part}-ubyte" for part in _IDX)),
    "usps": ("USPS", "usps.bz2", "usps.t.bz2"),
    "svhn": ("SVHN", "train_32x32.mat", "test_32x32.mat"),
    "cifar10": ("CIFAR10", "cifar-10-batches-py"),
    "cifar100": ("CIFAR100", "cifar-100-python"),
    "caltech101": ("Caltech101", "caltech101/101_ObjectCategories"),
    "food101": ("Food101", "food-101/meta", "food-101/images"),
    "places365": ("Places365", "places365_val.txt", "data_256_standard", "val_256"),
}
# too large to download unasked, or behind a form, or unknown to torchvision
_BY_HAND = {
    "cinic10": "https://datashare.ed.ac.uk/handle/10283/3192",
    "tiny_imagenet": "http://cs231n.stanford.edu/tiny-imagenet-200.zip",
    "tiny_imagenet_32": "http://cs231n.stanford.edu/tiny-imagenet-200.zip",
    "places365": "python -c \"from torchvision.datasets import Places365 as P; [P('{}',"
    " split=s, small=True, download=True) for s in ('train-standard', 'val')]\"",
    "imagenet": "https://image-net.org/download.php (torchvision.datasets.ImageNet "
    "unpacks its archives)",
    "ham10000": "https://doi.org/10.7910/DVN/DBW86T (sort it into folders for classes)",
}


class Place(NamedTuple):
    """Where a data set is: embedded (no path), npz, torchvision, folder or download."""

    layout: str
    path: Path | None = None


def known_dataset(parameter: str, value: Any) -> str:
    """`value`, if it names a data set of the catalogue or one in ``$DFKD_DATA``."""
    word = isinstance(value, str) and re.fullmatch(r"\w{1,80}", value, re.ASCII)
    if word and (value in DATASETS or find(value)):
        return value
    try:
        return one_of(parameter, value, DATASETS)
    except UserError as error:
        own = _roots()[0] / (value if word else "NAME")
        raise UserError(
            f"{error}; or your own (letters, digits and _) in DFKD_DATA's folder: "
            f"{own}.npz or {own}/train/CLASS/*.jpg"
        ) from None


def locate(name: str) -> Place:
    """Where the data set is: embedded, what `find` finds first, or a download."""
    known_dataset("dataset", name)
    if name in EMBEDDED:
        return Place("embedded")
    if found := find(name):
        return found
    root = _roots()[0]
    if name in _BY_HAND:
        raise missing(name, "get it by: " + _BY_HAND[name].format(root))
    if os.environ.get("DFKD_OFFLINE", "0") not in ("", "0"):
        raise missing(name, "DFKD_OFFLINE forbids its download")
    return Place("download", root)


def find(name: str) -> Place | None:
    """An npz, torchvision's layout or image folders on this machine, in that order."""
    files = TORCHVISION.get(name, ())[1:]
    for root in _roots():
        # os.path's: Path's raise an error for what is too long to be a path
        if os.path.isfile(root / f"{name}.npz"):
            return Place("npz", root / f"{name}.npz")
        if files and all(os.path.exists(root / file) for file in files):
            return Place("torchvision", root)
        if os.path.isdir(root / name / "train"):
            return Place("folder", root / name)
    return None


def missing(name: str, reason: str) -> UserError:
    """The line that says what to put where; `reason`: why it is missing."""
    own, unset = _roots()[0] / name, " (DFKD_DATA is not set: give it your folder)"
    return UserError(
        f"dataset {name}: there is no {own}.npz with x_train y_train x_test y_test "
        f"(images uint8, NHWC; labels whole numbers), nor {own}/train/CLASS/*.jpg"
        f"{'' if os.environ.get('DFKD_DATA') else unset}; {reason}"
    )


def _roots() -> list[Path]:
    """The folders that are searched; downloads go to the first."""
    given = os.environ.get("DFKD_DATA")
    cache = cache_folder() / "data"
    return [at_home("DFKD_DATA", given), cache] if given else [cache]
