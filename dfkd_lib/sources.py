"""Where a data set is: embedded, in a file or folder, or on the network. Nothing slow is imported here.

``$DFKD_DATA`` names the user's folder; what is downloaded goes there, or into the cache where it is unset.
With ``DFKD_OFFLINE=1`` nothing is downloaded.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .catalogue import DATASETS
from .errors import UserError, one_of
from .files import at_home, cache_folder

EMBEDDED = ("digits", "digits_half", "digits_hybrid", "digits_rest", "moons")
ARRAYS = ("x_train", "y_train", "x_test", "y_test")
WANTED = f"the arrays {' '.join(ARRAYS)} (images uint8, NHWC; labels whole numbers)"


def _idx(folder: str) -> tuple[str, ...]:
    kinds = ("images-idx3-ubyte", "labels-idx1-ubyte")
    return tuple(f"{folder}/raw/{part}-{kind}" for part in ("train", "t10k") for kind in kinds)


# What torchvision leaves in its root folder; all of it must be there.
TORCHVISION: dict[str, tuple[str, ...]] = {
    "mnist": _idx("MNIST"),
    "fashion_mnist": _idx("FashionMNIST"),
    "kmnist": _idx("KMNIST"),
    "usps": ("usps.bz2", "usps.t.bz2"),
    "svhn": ("train_32x32.mat", "test_32x32.mat"),
    "cifar10": ("cifar-10-batches-py",),
    "cifar100": ("cifar-100-python",),
    "caltech101": ("caltech101/101_ObjectCategories",),
    "food101": ("food-101/meta", "food-101/images"),
    "places365": ("places365_train_standard.txt", "places365_val.txt", "data_256_standard", "val_256"),
}

# What is not downloaded without being asked for: it is too large, or asks for a form, or torchvision does not know it.
_BY_HAND: dict[str, str] = {
    "cinic10": "get its archive: https://datashare.ed.ac.uk/handle/10283/3192",
    "tiny_imagenet": "get its archive, unpacked under this name: http://cs231n.stanford.edu/tiny-imagenet-200.zip",
    "tiny_imagenet_32": "get Tiny ImageNet, unpacked under this name: http://cs231n.stanford.edu/tiny-imagenet-200.zip",
    "places365": "get its 24 GB by: python -c \"from torchvision.datasets import Places365 as P; [P('{root}', split=s, "
    "small=True, download=True) for s in ('train-standard', 'val')]\"",
    "imagenet": "get its archives, after registration: https://image-net.org/download.php; unpack them by: python -c "
    "\"from torchvision.datasets import ImageNet as I; [I('{root}/imagenet', s) for s in ('train', 'val')]\"",
    "ham10000": "get its images, to be sorted into a folder for each class: https://doi.org/10.7910/DVN/DBW86T",
}


@dataclass(frozen=True)
class Place:
    """Where a data set is, and how it lies there.

    `layout` is one of: embedded (no path), npz (a file), torchvision (its root folder), folder (of image files),
    download (the folder to download into).
    """

    layout: str
    path: Path | None = None


def known_dataset(parameter: str, value: Any) -> str:
    """`value`, if it names a data set of the catalogue, or one of the user's own under ``$DFKD_DATA``.

    Raises
    ------
    UserError
        else: lists the names. Whether the catalogue's are there is not asked here; `locate` does.
    """
    if isinstance(value, str) and value not in DATASETS and re.fullmatch(r"\w+", value, re.ASCII):
        if any(_lies_in(value, root) for root in _roots()):
            return value
    try:
        return one_of(parameter, value, DATASETS)
    except UserError as error:
        raise UserError(f"{error}; or one of your own, NAME.npz or NAME/train/CLASS/*.jpg in DFKD_DATA") from None


def locate(name: str) -> Place:
    """Where the data set is. Reads nothing and asks no network.

    The order: embedded; in ``$DFKD_DATA``, then in the cache: an npz, torchvision's layout, a folder of images
    (``NAME/train/CLASS/*.jpg`` with ``test`` or ``val``); last, a download.

    Raises
    ------
    UserError
        if there is no data set of that name, or it is not there and is not downloaded: says which file is needed.
    """
    known_dataset("dataset", name)
    if name in EMBEDDED:
        return Place("embedded")
    found = find(name)
    if found:
        return found
    if name in _BY_HAND:
        raise missing(name, _BY_HAND[name].format(root=_roots()[0]))
    if os.environ.get("DFKD_OFFLINE", "0") not in ("", "0"):
        raise missing(name, "DFKD_OFFLINE forbids its download")
    return Place("download", _roots()[0])


def find(name: str) -> Place | None:
    """Where the data set is on this machine; None if it is not."""
    return next((place for root in _roots() if (place := _lies_in(name, root))), None)


def missing(name: str, reason: str) -> UserError:
    """The line that says what to put where; `reason`: why it is not there, or where to get it."""
    root = _roots()[0]
    unset = "" if os.environ.get("DFKD_DATA") else " (DFKD_DATA is not set: point it to your folder of data sets)"
    return UserError(
        f"dataset {name}: there is no {root / name}.npz with {WANTED}, nor {root / name}/train/CLASS/*.jpg{unset}; "
        + reason
    )


def _roots() -> list[Path]:
    """The folders that are searched; the first is the one to download into."""
    given = os.environ.get("DFKD_DATA")
    cache = cache_folder() / "data"
    return [at_home("DFKD_DATA", given), cache] if given else [cache]


def _lies_in(name: str, root: Path) -> Place | None:
    # os.path's, since Path's raise an error for what is too long to be a path.
    if os.path.isfile(root / f"{name}.npz"):
        return Place("npz", root / f"{name}.npz")
    files = TORCHVISION.get(name)
    if files and all(os.path.exists(root / file) for file in files):
        return Place("torchvision", root)
    if os.path.isdir(root / name / "train"):
        return Place("folder", root / name)
    return None
