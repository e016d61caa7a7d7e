"""Collected data: real images from another source than the teacher's training data.

HiDFD trains its GAN and, in part, its student on them; DFAD's KD-REL and KD-UNR distil
on a related and on an unrelated source. Neither lists its sources: these are ours.
"""

import hashlib
from typing import Any

import numpy as np
import torch
from jaxtyping import Int, UInt8
from numpy import ndarray

from ..errors import UserError, one_of, real, whole
from .catalogue import EMBEDDED, find, known_dataset
from .dataset import Dataset, load_part
from .images import Collected, Images
from .layouts import CHUNK, Split, resize

PHOTOGRAPHS = "photographs"  # two that ship with scikit-learn, cut into pieces
_TINY = ("tiny_imagenet_32", "tiny_imagenet")
# by data set, in order of preference
RELATED: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("digits", "digits_half"), ("mnist", "usps")),
    "digits_hybrid": ("digits_rest", "mnist", "usps"),
    "mnist": ("usps", "digits"),
    "usps": ("mnist", "digits"),
    "svhn": ("mnist", "usps", "digits"),
    **dict.fromkeys(("cifar10", "cifar100"), (*_TINY, "imagenet")),
    "camvid": ("cityscapes",),  # DFAD Fig. 11
    "nyuv2": ("sunrgbd",),  # DFAD Fig. 12
    **dict.fromkeys(("cinic10", "caltech101"), ("imagenet", *_TINY)),
    **dict.fromkeys(("food101", "places365"), ("imagenet", *_TINY)),
}
_GREY = "digits digits_half digits_hybrid mnist fashion_mnist kmnist usps svhn"
_COLOUR = "cifar10 cifar100 cinic10 tiny_imagenet tiny_imagenet_32 caltech101"
UNRELATED: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(_GREY.split(), (*_TINY, PHOTOGRAPHS)),
    **dict.fromkeys(_COLOUR.split(), ("svhn", "mnist", "digits")),
    # DFAD Fig. 11 and 12 have VOC 2012; streets and rooms are unrelated too (ours)
    "camvid": ("voc2012", "nyuv2", PHOTOGRAPHS),
    "nyuv2": ("voc2012", "camvid", PHOTOGRAPHS),
    "cityscapes": ("voc2012", "nyuv2", PHOTOGRAPHS),
    "scenes": ("voc2012", "nyuv2", "camvid", "svhn", "digits"),
}
# They share images. CINIC-10 is made of ImageNet too, which HiDFD uses all the same.
_SHARED = (
    {"digits", "digits_half", "digits_hybrid"},
    {"digits", "digits_half", "digits_rest"},
    {*_TINY, "imagenet"}, {"cifar10", "cinic10"},
)  # fmt: skip
# label = digit; usps_framed is written by tools/frame_usps.py
_DIGITS = "digits digits_half digits_hybrid digits_rest mnist svhn usps usps_framed"
# ImageNet's names for CIFAR's classes, as HiDFD searches for them; none fits a deer
_SYNONYMS = """airplane: airliner, warplane; automobile: beach wagon, convertible,
limousine, sports car; bird: albatross, black stork, goose, king penguin; butterfly:
monarch; cat: tabby; cattle: bison, ox; dog: chihuahua, german shepherd, golden
retriever, labrador retriever, standard poodle, yorkshire terrier; frog: bullfrog;
horse: sorrel; mountain: alp; sea: seashore; ship: container ship, gondola, lifeboat;
snake: boa constrictor; spider: black widow, tarantula; sweet pepper: bell pepper;
telephone: pay-phone; truck: moving van""".replace("\n", " ")
_OTHERS = ("custard apple", "mouse", "sea lion")  # the mouse is a computer's


def matching(source: str, names: tuple[str, ...], target: Dataset) -> dict[int, int]:
    """From the source's labels to the target's: by name, last word or synonym."""
    if {source, target.name} <= set(_DIGITS.split()):
        return {label: label for label in range(10)}
    if not (names and target.classes):
        unnamed = target.name if names else source
        raise UserError(f"by: {unnamed} does not name its classes; give another by")
    known = (line.split(": ") for line in _SYNONYMS.split("; "))
    synonyms = {other: name for name, others in known for other in others.split(", ")}
    plain = [[n.lower().replace("_", " ") for n in c] for c in (names, target.classes)]
    return {
        label: number
        for label, name in enumerate(plain[0])
        for number, word in enumerate(plain[1])
        if word == synonyms.get(name) or f" {name}".endswith(f" {word}")
        if name not in _OTHERS
    }


class Photographs:
    """All square pieces of two photographs, `size` wide; resized when indexed."""

    def __init__(self, size: int):
        from sklearn.datasets import load_sample_images

        self.pieces = [
            image[None, top : top + side, left : left + side]
            for image in load_sample_images().images
            for side in (32, 64, 128, 256)
            for top in range(0, image.shape[0] - side + 1, 4)
            for left in range(0, image.shape[1] - side + 1, 4)
        ]
        self.shape = (len(self.pieces), size, size, 3)

    def __getitem__(self, index: Int[ndarray, " n"]) -> UInt8[ndarray, "n s s 3"]:
        return np.concatenate([resize(self.pieces[i], self.shape[1]) for i in index])


def source_for(kind: str, dataset: str, wanted: str = "auto") -> str:
    """The source `wanted`; or the first 'related' (or 'unrelated') on this machine."""
    if wanted != "auto":
        return known_dataset("collected_from", wanted)
    listed = (UNRELATED if kind == "unrelated" else RELATED).get(dataset, ())
    for source in listed:
        if source in (PHOTOGRAPHS, *EMBEDDED) or find(source):
            return source
    raise UserError(
        f"source: of those for {dataset}, {kind} ({', '.join(listed) or 'none'}), none "
        "is on this machine; put one into DFKD_DATA's folder, or name a source"
    )


def collect(
    source: str, target: Dataset, *, ratio: float | None = None, by: str = "random",
    teacher: torch.nn.Module | None = None, imbalance: float | None = None,
    seed: int = 0,
) -> Collected:  # fmt: skip
    """Real images from the training part of a data set, or "photographs".

    `ratio`: HiDFD's ρ, images per training image of the target (None: all, or as many
    as keep the imbalance). `by`: "random"; "category", of the target's classes;
    "confidence", by the largest softmax probability of the `teacher`, which labels them
    (Chen et al. 2021b). `imbalance`: images of class 0 per image of the last, falling
    geometrically; a class with too few hands its part to the others.
    """
    one_of("by", by, ("category", "confidence", "random"))
    whole("seed", seed)
    originals = len(target.x_train)
    if ratio is not None:
        real("ratio", ratio, 1 / originals)
    if imbalance is not None:
        real("imbalance", imbalance, 1)
        if by == "random":
            raise UserError("imbalance: random images have no labels; give another by")
    if (by == "confidence") != (teacher is not None):
        raise UserError("by: 'confidence' needs a teacher, and nothing else takes one")
    height, width, channels = target.x_train.shape[1:]
    if target.crop:  # crops are cut from squares as high as the target's images
        height = width = min(height, width)
    if source == PHOTOGRAPHS:
        pool = Split(Photographs(height), np.zeros(0, np.int64))
    else:
        known_dataset("source", source)
        if source == target.name or any({source, target.name} <= g for g in _SHARED):
            raise UserError(f"source: {source} shares images with {target.name}")
        pool = load_part(source, "train")[1]
    if height != width or not {channels, pool.x.shape[3]} <= {1, 3}:
        raise UserError(
            f"source: {source} has {pool.x.shape[3]} channels, {target.name} images of "
            f"{channels}×{height}×{width}; only square ones of 1 or 3 channels will do"
        )
    available = pool.x.shape[0]
    score = np.random.default_rng(seed).random(available)
    labels = np.zeros(available, np.int64)
    if by == "confidence":
        labels, score = _judged(pool, target, teacher)
    elif by == "category":
        names = matching(source, pool.classes, target)
        labels = np.array([names.get(label, -1) for label in pool.y.tolist()])
    usable = np.flatnonzero(labels >= 0)
    present = np.bincount(labels[usable], minlength=target.num_classes)
    parts = (imbalance or 1) ** -np.linspace(0, 1, target.num_classes)
    count = len(usable) or 1
    if ratio is not None:
        count = round(ratio * originals)
    elif imbalance is not None and len(usable):
        some = present > 0
        count = int((present[some] / parts[some]).min() * parts[some].sum())
    if count > len(usable):
        most = int(1e4 * len(usable) / originals) / 1e4
        raise UserError(
            f"ratio: {count} images are too many, {source} has {len(usable)} by {by} "
            f"for {target.name}; give at most {most:g}, or another source or by"
        )
    order = usable[np.argsort(-score[usable], kind="stable")]
    if imbalance is not None:
        counts = enumerate(allot(parts, present, count))
        order = np.concatenate([order[labels[order] == c][:n] for c, n in counts])
    chosen = np.sort(order[:count])
    x, y = convert(pool.x, chosen, target), None if by == "random" else labels[chosen]
    classes = None if y is None else np.bincount(y, minlength=len(present)).tolist()
    record = {
        "source": source, "part": "train", "available": available,
        "target": target.name, "ratio": count / originals, "count": count,
        "by": by, "imbalance": imbalance, "seed": seed, "classes": classes,
        "indices": chosen.tolist(), "sha256": hashlib.sha256(x.tobytes()).hexdigest(),
    }  # fmt: skip
    return Collected(x, y, record)


def allot(parts: ndarray, available: ndarray, total: int) -> Int[ndarray, " classes"]:
    """`total` images over the classes, in proportion to `parts` while there are enough.

    What a class lacks goes to the others; what rounding leaves, to the largest parts.
    """
    given = np.zeros(len(available), np.int64)
    while (rest := total - given.sum()) and (spare := given < available).any():
        ideal = rest * np.where(spare, parts, 0) / parts[spare].sum()
        step = np.floor(ideal).astype(np.int64)
        step[np.argsort(step - ideal, kind="stable")[: rest - step.sum()]] += 1
        given = np.minimum(given + step, available)
    return given


def convert(x: Any, index: Int[ndarray, " n"], target: Dataset) -> ndarray:
    """The chosen images, uint8, in the target's shape; grey by ITU-R 601's weights."""
    *sides, channels = target.x_train.shape[1:]
    size = min(sides)
    made = np.empty((len(index), size, size, channels), np.uint8)
    for start in range(0, len(index), CHUNK):
        part = x[index[start : start + CHUNK]]
        if channels == 1 and part.shape[3] == 3:
            part = np.round(part @ [0.299, 0.587, 0.114]).astype(np.uint8)[..., None]
        made[start : start + CHUNK] = resize(part, size)  # one channel is copied to 3
    return made


def images_for(
    kind: str, dataset: Dataset, *, source: str = "auto", share: float = 1.0,
    seed: int, device: str | torch.device, **choice: Any,
) -> tuple[Images, dict[str, Any]]:  # fmt: skip
    """The real images, or a `share` of them, that a student learns from; their record.

    `kind`: "original", the data set's training images; "related", "unrelated" or
    "collected", those of another source, chosen by `choice` (options of `collect`).
    """
    if kind == "original":
        images, record = Images.of(dataset, device), {"source": dataset.name}
    else:
        source = source_for(kind, dataset.name, source)
        found = collect(source, dataset, seed=seed, **choice)
        images, record = Images.of_collected(found, dataset, device), {**found.record}
        if record["count"] == record["available"]:
            record["indices"] = "all"
    if share < 1:
        random = torch.Generator().manual_seed(seed)
        kept = torch.randperm(len(images), generator=random)
        kept = kept[: max(round(share * len(images)), 1)].sort().values
        images, record = images[kept], record | {"share": share, "kept": kept.tolist()}
    return images, record | {"images": len(images)}


@torch.no_grad()
def _judged(
    pool: Split, target: Dataset, teacher: torch.nn.Module
) -> tuple[Int[ndarray, " n"], ndarray]:
    """The teacher's class for each image, and its probability."""
    device = next((p.device for p in teacher.parameters()), "cpu")
    training, best, count = teacher.training, [], pool.x.shape[0]
    teacher.eval()
    for index in np.array_split(np.arange(count), -(-count // CHUNK)):
        x = target.normalise(convert(pool.x, index, target))
        logits = teacher(torch.from_numpy(x).to(device)).float()
        best.append(torch.stack(logits.softmax(1).max(1)).cpu())
    teacher.train(training)
    sure, labels = torch.cat(best, 1).numpy()
    return labels.astype(np.int64), sure
