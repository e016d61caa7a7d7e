"""Collected data: real images from another source, in place of the data that the teacher was trained on.

HiDFD trains its GAN and, in part, its student on them (Section "Experiments": ρ collected per original, 0.1 or 1);
DFAD's KD-REL and KD-UNR distil on a related and on an unrelated source. Which sources DFAD took for classification, the
paper does not say: the ones below are ours. So is the way of choosing, where HiDFD only refers to Chen et al. (2021b),
who keep the images of which the teacher is surest.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Int, UInt8
from numpy import ndarray

from .categories import matching
from .data import Dataset, load_training_split, resize
from .errors import UserError, one_of, real, whole
from .layouts import ImageFiles, Split
from .photographs import Photographs
from .sources import EMBEDDED, find, known_dataset

PHOTOGRAPHS = "photographs"  # two that ship with scikit-learn, cut into pieces: always there
_TINY = ("tiny_imagenet_32", "tiny_imagenet")

# Sources like a data set, and unlike it, in order of preference. Ours.
RELATED: dict[str, tuple[str, ...]] = {
    "digits": ("mnist", "usps"),
    "digits_half": ("mnist", "usps"),
    "digits_hybrid": ("digits_rest", "mnist", "usps"),
    "mnist": ("usps", "digits"),
    "usps": ("mnist", "digits"),
    "svhn": ("mnist", "usps", "digits"),
    "cifar10": (*_TINY, "imagenet"),
    "cifar100": (*_TINY, "imagenet"),
    "cinic10": ("imagenet", *_TINY),
    "caltech101": ("imagenet", *_TINY),
    "food101": ("imagenet", *_TINY),
    "places365": ("imagenet", *_TINY),
}
_GREY = ("digits", "digits_half", "digits_hybrid", "mnist", "fashion_mnist", "kmnist", "usps")
UNRELATED: dict[str, tuple[str, ...]] = {
    **{name: (*_TINY, PHOTOGRAPHS) for name in _GREY},
    "svhn": (*_TINY, PHOTOGRAPHS),
    **{
        name: ("svhn", "mnist", "digits")
        for name in ("cifar10", "cifar100", "cinic10", "tiny_imagenet", "tiny_imagenet_32", "caltech101")
    },
}
# Data sets that share images: none is collected data for another of its group. CINIC-10 holds CIFAR-10; it is made of
# ImageNet too, which HiDFD takes as its source all the same.
_SHARED = (
    {"digits", "digits_half", "digits_hybrid"},
    {"digits", "digits_half", "digits_rest"},
    {"tiny_imagenet", "tiny_imagenet_32", "imagenet", "imagenet_samples_64"},
    {"cifar10", "cinic10"},
)
_CHUNK = 512  # images that are converted, and shown to the teacher, at once


@dataclass(frozen=True, eq=False)
class Collected:
    """Images of the target's channels and size; labels are the target's classes (None where nothing tells them).

    `record` says how they were chosen, from where, and which they are: for the run's JSON record.
    """

    x: UInt8[ndarray, "images height width channels"]
    y: Int[ndarray, " images"] | None
    record: dict[str, Any]


def default_source(target: str, kind: str) -> str:
    """The first source of that kind, 'related' or 'unrelated', that is on this machine. Nothing is downloaded.

    Raises
    ------
    UserError
        if none is: lists them.
    """
    table = {"related": RELATED, "unrelated": UNRELATED}[one_of("source", kind, ("related", "unrelated"))]
    if target not in table:
        raise UserError(f"source: no {kind} data set is listed for {target}; name one of your choice")
    for source in table[target]:
        if source == PHOTOGRAPHS or source in EMBEDDED or find(source):
            return source
    raise UserError(
        f"source: of the data sets {kind} to {target} none is on this machine ({', '.join(table[target])}); name one "
        "of them to download it, or put it into DFKD_DATA's folder"
    )


def collect(
    source: str,
    target: Dataset,
    *,
    ratio: float | None = None,
    by: str = "random",
    teacher: Callable[[Any], Any] | None = None,
    categories: Mapping[int, int] | None = None,
    imbalance: float | None = None,
    seed: int = 0,
) -> Collected:
    """Real images from the training part of another data set, in the target's shape.

    Parameters
    ----------
    source
        a data set's name, or "photographs".
    target
        the data set they stand in for; only its shape, classes and number of training images are used.
    ratio
        ρ (HiDFD): images collected per training image of the target. None: all that the source has, or, with an
        `imbalance`, as many as keep it exactly in the classes that the source has at all.
    by
        "random"; "category": those whose class in the source is one of the target's; "confidence": those of which
        the teacher is surest (its largest softmax probability), labelled by it.
    teacher
        from normalised images (batch, channels, height, width) to logits; for "confidence". On its own device.
    categories
        from the source's labels to the target's. None: by `categories.matching`.
    imbalance
        of the labels: the largest class has so many times the images of the smallest, falling geometrically from
        label 0 on (1: balanced). A class with too few hands its share to the others. None: as they come.
    seed
        of the random choices.

    Raises
    ------
    UserError
        if something is not allowed, or if the source has too few images: says how many it has.
    """
    one_of("by", by, ("category", "confidence", "random"))
    whole("seed", seed)
    if ratio is not None:
        real("ratio", ratio, 1 / len(target.x_train))
    if imbalance is not None:
        real("imbalance", imbalance, 1)
        if by == "random":
            raise UserError("imbalance: random images have no labels; choose them by category or by confidence")
    if (by == "confidence") != (teacher is not None):
        raise UserError("by: 'confidence' needs a teacher, and nothing else takes one")
    pool = _pool(source, target)
    labels, score = _labels(source, target, pool, by, teacher, categories)
    usable = np.flatnonzero(labels >= 0)
    if not len(usable):
        raise UserError(f"by: no image of {source} belongs to a class of {target.name}; choose by confidence or random")
    present = np.bincount(labels[usable], minlength=target.num_classes)
    shares = (imbalance or 1) ** -np.linspace(0, 1, target.num_classes)
    if ratio is not None:
        count = round(ratio * len(target.x_train))
    elif imbalance is None:
        count = len(usable)
    else:
        count = int((present[present > 0] / shares[present > 0]).min() * shares[present > 0].sum())
    if count > len(usable):
        raise UserError(
            f"ratio: {ratio:g} of {target.name}'s {len(target.x_train)} images is {count}, but {source} has "
            f"{len(usable)} to choose from by {by}; give at most {int(1e4 * len(usable) / len(target.x_train)) / 1e4:g}"
        )
    if score is None:
        score = np.random.default_rng(seed).random(len(labels))
    order = usable[np.argsort(-score[usable], kind="stable")]
    if imbalance is not None:
        counts = allot(shares, present, count)
        order = np.concatenate([order[labels[order] == label][:n] for label, n in enumerate(counts)])
    chosen = np.sort(order[:count])
    x = convert(pool.x, chosen, target)
    y = None if by == "random" else labels[chosen]
    record = {
        "source": source,
        "part": "train",
        "available": len(pool.x),
        "target": target.name,
        "ratio": len(chosen) / len(target.x_train),
        "count": len(chosen),
        "by": by,
        "imbalance": imbalance,
        "seed": seed,
        "classes": None if y is None else np.bincount(y, minlength=target.num_classes).tolist(),
        "indices": chosen.tolist(),
        "sha256": hashlib.sha256(x.tobytes()).hexdigest(),
    }
    return Collected(x, y, record)


def allot(shares: ndarray, available: Int[ndarray, " classes"], total: int) -> Int[ndarray, " classes"]:
    """`total` images over the classes, as near to the shares as whole numbers and the available images let it be.

    What a class lacks goes to the others in proportion; what rounding leaves, to the largest fractions first.
    """
    given = np.zeros(len(available), np.int64)
    while (rest := total - given.sum()) and (spare := given < available).any():
        ideal = rest * np.where(spare, shares, 0) / shares[spare].sum()
        step = np.floor(ideal).astype(np.int64)
        left = np.argsort(step - ideal, kind="stable")[: rest - step.sum()]
        step[left] += 1
        given = np.minimum(given + step, available)
    return given


def convert(
    x: UInt8[ndarray, "images height width channels"] | ImageFiles | Photographs,
    index: Int[ndarray, " chosen"],
    target: Dataset,
) -> UInt8[ndarray, "chosen target_height target_width target_channels"]:
    """The chosen images in the target's shape: grey from colour by ITU-R 601's weights, then resized as `resize` does.

    Only these are decoded where they are image files.
    """
    size, _, channels = target.x_train.shape[1:]
    made = np.empty((len(index), size, size, channels), np.uint8)
    for start in range(0, len(index), _CHUNK):
        part = x[index[start : start + _CHUNK]]
        if channels == 1 and part.shape[3] == 3:
            part = np.round(part @ np.array([0.299, 0.587, 0.114]))[..., None].astype(np.uint8)
        made[start : start + _CHUNK] = resize(part, size)  # one channel is copied to three
    return made


def _pool(source: str, target: Dataset) -> Split:
    height, width, channels = target.x_train.shape[1:]
    if height != width:
        raise UserError(f"collected data: {target.name} has images of {height}×{width}; only square ones are filled")
    if channels not in (1, 3):
        raise UserError(
            f"collected data: {target.name} has {channels} channels; only grey and colour images are filled"
        )
    if source == PHOTOGRAPHS:
        pieces = Photographs(height)
        return Split(pieces, np.zeros(len(pieces), np.int64))
    known_dataset("source", source)
    if source == target.name or any({source, target.name} <= group for group in _SHARED):
        raise UserError(f"source: {source} shares images with {target.name}; collected data must come from elsewhere")
    pool = load_training_split(source)
    if pool.x.shape[3] not in (1, 3):
        raise UserError(f"source: {source} has {pool.x.shape[3]} channels; only grey and colour images are collected")
    return pool


def _labels(
    source: str,
    target: Dataset,
    pool: Split,
    by: str,
    teacher: Callable[[Any], Any] | None,
    categories: Mapping[int, int] | None,
) -> tuple[Int[ndarray, " images"], ndarray | None]:
    """The target's class for each image of the source, −1 where it is not to be taken; and how sure that is."""
    if by == "random":
        return np.zeros(len(pool.x), np.int64), None
    if by == "confidence":
        return _judged(pool, target, teacher)
    if source == PHOTOGRAPHS:
        raise UserError("by: photographs have no categories; choose by confidence or random")
    if categories is None:
        categories = matching(source, pool.classes, target)
    wrong = sorted(set(categories.values()) - set(range(target.num_classes)))
    if wrong:
        raise UserError(f"categories: {target.name} has no class {wrong[0]}; give 0 to {target.num_classes - 1}")
    table = np.full(int(pool.y.max()) + 1, -1)
    for mine, theirs in categories.items():
        if not 0 <= mine < len(table):
            raise UserError(f"categories: {source} has no class {mine}; give 0 to {len(table) - 1}")
        table[mine] = theirs
    return table[pool.y], None


def _judged(pool: Split, target: Dataset, teacher: Callable[[Any], Any]) -> tuple[Int[ndarray, " images"], ndarray]:
    """The teacher's class for each image, and its probability."""
    import torch

    network = teacher if isinstance(teacher, torch.nn.Module) else None
    device = next((p.device for p in network.parameters()), "cpu") if network else "cpu"
    training = network.training if network else False
    labels, sure = [], []
    if network:
        network.eval()
    with torch.no_grad():
        for index in np.array_split(np.arange(len(pool.x)), -(-len(pool.x) // _CHUNK)):
            x = torch.from_numpy(target.normalise(convert(pool.x, index, target))).to(device)
            best = teacher(x).float().softmax(1).max(1)
            labels.append(best.indices.cpu().numpy())
            sure.append(best.values.cpu().numpy())
    if network:
        network.train(training)
    return np.concatenate(labels), np.concatenate(sure)
