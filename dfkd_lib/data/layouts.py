"""How images lie in files: npz, torchvision's layouts, folders. Pixels: uint8 NHWC."""

import contextlib
import os
import shutil
import socket
import sys
import tempfile
import warnings
import zipfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from glob import glob
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import UInt8
from numpy import ndarray
from torch.nn import functional as F

from ..errors import UserError, first_line, told
from .catalogue import DATASETS, TORCHVISION, VOID, Place, missing

SUFFIXES = (".bmp", ".gif", ".jfif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif")
SUFFIXES += (".tiff", ".webp")
CHUNK = 512  # images that are converted at once, so that no large set is copied
_NOT_THE_USERS = {"__MACOSX", "@eaDir"}  # besides what begins with a dot
_SEGMENTED = "images", "masks"  # folders
_PATIENCE = 30  # seconds without an answer; torchvision would wait for ever


@dataclass(frozen=True, eq=False)
class ImageFiles:
    """Images in files, decoded by ``x[index]``: resized, and the middle cropped."""

    paths: tuple[str, ...]
    channels: int
    size: int
    width: int = 0  # 0: a square

    ndim, dtype = 4, np.dtype(np.uint8)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        return len(self.paths), self.size, self.width or self.size, self.channels

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: Any) -> UInt8[ndarray, "*n h w c"]:
        chosen = np.arange(len(self))[index]
        made = np.empty((chosen.size, *self.shape[1:]), np.uint8)
        with ThreadPoolExecutor() as pool:  # Pillow decodes outside Python's lock
            for k, image in enumerate(pool.map(self._decode, chosen.ravel().tolist())):
                made[k] = image
        return made.reshape(*chosen.shape, *self.shape[1:])

    def _decode(self, number: int) -> ndarray:
        from torchvision.transforms import functional as vision

        image = opened(self.paths[number]).convert("L" if self.channels == 1 else "RGB")
        if self.shape[2] != self.size:
            x = np.asarray(image).reshape(1, image.height, image.width, -1)
            return resize(x, *self.shape[1:3])[0]
        # ImageNet's way
        short = 256 if self.size == 224 and min(image.size) != 224 else self.size
        image = vision.resize(image, short)  # bilinear, antialiased
        image = vision.center_crop(image, self.size)
        return np.asarray(image).reshape(self.shape[1:])


def opened(path: str) -> Any:
    """An image of Pillow's, decoded."""
    from PIL import Image

    with told(f"image {path} cannot be read", "replace it"), Image.open(path) as image:
        if image.mode[0] in "IF":
            raise ValueError(f"mode {image.mode}; give 8 bits per channel")
        image.load()
        return image


def image_files(folder: Path, left_out: Counter | None = None) -> list[str]:
    """The image files of a folder and all below it, in order, without hidden ones.

    `left_out` counts the endings of the other files.
    """
    left_out, found = Counter() if left_out is None else left_out, []
    for file in glob("**", root_dir=folder, recursive=True):
        path = os.path.join(folder, file)
        if _NOT_THE_USERS & {*Path(file).parts} or os.path.isdir(path):
            continue
        if file.lower().endswith(SUFFIXES):
            found.append(path)
        else:
            left_out[os.path.splitext(file)[1] or "no ending"] += 1
    if not found:
        others = f" but {_counted(left_out)}" if left_out else ""
        kinds = ", ".join(SUFFIXES)
        raise UserError(f"{folder} has no images ({kinds}){others}; add some")
    return sorted(found)


def _counted(kinds: Counter) -> str:
    return ", ".join(f"{n} of {ending}" for ending, n in kinds.most_common(5))


def read_npz(path: Path, *names: str) -> dict[str, ndarray]:
    """Those of the named arrays that an npz has; nothing is unpickled."""
    if not zipfile.is_zipfile(path):
        raise UserError(f"{path} is no npz file; write it again")
    with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
        return {name: file[name] for name in names if name in file.files}


def resize(
    x: UInt8[ndarray, "n h w c"], size: int, wide: int = 0, labels: bool = False
) -> UInt8[ndarray, "n s t c"]:
    """The middle of the shape size×wide, a square if `wide` is 0, resized to it.

    Bilinear, antialiased where it shrinks; of label maps, the nearest label.
    """
    mode = "nearest-exact" if labels else "bilinear"
    (height, width), wide = x.shape[1:3], wide or size
    h = max(min(height, width * size // wide), 1)
    w = max(min(width, height * wide // size), 1)
    x = x[:, (height - h) // 2 :, (width - w) // 2 :][:, :h, :w]
    if (h, w) == (size, wide):
        return x
    made = np.empty((len(x), size, wide, x.shape[3]), np.uint8)
    for start in range(0, len(x), CHUNK):
        part = torch.tensor(x[start : start + CHUNK]).permute(0, 3, 1, 2).float()
        part = F.interpolate(part, (size, wide), mode=mode, antialias=not labels)
        made[start : start + CHUNK] = part.round().clamp(0, 255).permute(0, 2, 3, 1)
    return made


class Split(NamedTuple):
    """The training or the test part; `classes`: their names, where known."""

    x: Any  # uint8 NHWC, or ImageFiles
    y: ndarray
    classes: tuple[str, ...] = ()


def read(name: str, place: Place, part: str) -> Split:
    """A part, 'train' or 'test', of a data set that was located. Not yet checked."""
    layout, path = place
    try:
        if layout == "npz":
            x, y = f"x_{part}", f"y_{part}"
            made = read_npz(path, x, y, "classes")
            if not {x, y} <= set(made):
                raise UserError(f"{path} lacks {x} or {y}; add both arrays")
            return Split(made[x], made[y], tuple(map(str, made.get("classes", ()))))
        return (_folder if layout == "folder" else _torchvision)(name, path, part)
    except UserError as error:
        raise UserError(f"dataset {name}: {error}") from error
    except Exception as error:  # damaged files fail each in their own way
        why = f"{path} cannot be read ({first_line(error)}); get it again"
        raise UserError(f"dataset {name}: {why}") from error


def _folders(path: Path) -> list[str]:
    return sorted({entry[:-1] for entry in glob("*/", root_dir=path)} - _NOT_THE_USERS)


def _listed(folder: Path, classes: list[str]) -> tuple[list[str], ndarray]:
    """The image files of each class that has a folder, and their classes' numbers."""
    present = [y for y, name in enumerate(classes) if (folder / name).is_dir()]
    left_out: Counter = Counter()
    files = [image_files(folder / classes[y], left_out) for y in present]
    paths = [path for found in files for path in found]
    if left_out:
        print(f"{folder}: left out: {_counted(left_out)}", file=sys.stderr)
    return paths, np.repeat(present, [len(found) for found in files])


def _files(name: str, paths: Any, shape_of: Any = ()) -> ImageFiles:
    """At the catalogue's size, or at the median of all those files', at most 224."""
    if name in DATASETS:
        return ImageFiles(tuple(map(str, paths)), *DATASETS[name][1:3])
    with ThreadPoolExecutor() as pool:
        modes, sides = zip(*pool.map(_header, shape_of), strict=True)
    channels = 1 if {*modes} <= {"1", "L", "LA"} else 3
    return ImageFiles(tuple(paths), channels, min(int(np.median(sides)), 224))


def _header(path: str) -> tuple[str, int]:
    """An image's mode and shorter side, without its pixels."""
    from PIL import Image

    with told(f"image {path} cannot be read", "replace it"), Image.open(path) as image:
        return image.mode, min(image.size)


def _folder(name: str, root: Path, part: str) -> Split:
    """``train/CLASS/*``; ``test`` or ``val`` alike, or as Tiny ImageNet lists it.

    Or ``train/images/*`` and ``train/masks/*`` of the same names, for label maps; other
    folders beside these two are no classes.
    """
    classes = _folders(root / "train")
    if {*classes} >= {*_SEGMENTED}:
        tests = [t for t in ("test", "val") if (root / t).is_dir()]
        folder = root / (part if part == "train" else tests[0] if tests else "test")
        return Split(*image_pairs(folder))
    if not classes:
        raise UserError(f"{root / 'train'} has no folders; make one for each class")
    paths, y = _listed(root / "train", classes)
    trained, annotated = paths, root / "val" / "val_annotations.txt"
    if part == "test" and annotated.is_file():
        rows = [line.split("\t") for line in annotated.read_text().splitlines()]
        paths = [root / "val" / "images" / row[0] for row in rows]
        y = np.array([classes.index(row[1]) for row in rows])
    elif part == "test":
        named = {t: {*_folders(root / t)} for t in ("test", "val")}
        fits = [t for t, found in named.items() if set() < found <= {*classes}]
        if not fits:
            raise UserError(f"{root} has no test or val with train's folders; add it")
        paths, y = _listed(root / fits[0], classes)
    words = root / "words.txt"
    lines = words.read_text("utf-8").splitlines() if words.is_file() else ()
    known = dict(line.split("\t", 1) for line in lines if "\t" in line)
    names = tuple(known.get(entry, entry).split(",")[0] for entry in classes)
    return Split(_files(name, paths, trained), y, names)


def image_pairs(
    folder: Path, sides: tuple[int, ...] = (), channels: int = 3
) -> tuple[UInt8[ndarray, "n h w c"], UInt8[ndarray, "n h w"]]:
    """Images, and label maps of the same names, in a folder's ``images`` and ``masks``.

    The middle of the shape `sides` is resized to it. Without `sides` all have one
    shape, and the shorter side is at most 256. A UserError for what does not fit.
    """
    found = [image_files(folder / kind) for kind in _SEGMENTED]
    stems = [[Path(path).stem for path in paths] for paths in found]
    if stems[0] != stems[1]:
        odd = sorted(set(stems[0]) ^ set(stems[1])) or stems[0]
        line = f"{folder}: images and masks differ, as in {odd[0]}"
        raise UserError(f"{line}; pair them")
    return _pairs(*found, sides, channels)


def _pairs(
    images: list[str], masks: list[str], sides: tuple[int, ...] = (), channels: int = 3
) -> tuple[ndarray, ndarray]:
    from PIL import Image, ImageOps

    first, mode = opened(images[0]), "L" if channels == 1 else "RGB"
    scale = min(256 / min(first.size), 1)
    size = sides[::-1] or tuple(round(side * scale) for side in first.size)
    x = np.empty((len(images), *size[::-1], channels), np.uint8)
    y = np.empty(x.shape[:3], np.uint8)

    def put(k: int) -> None:
        image, mask = opened(images[k]), opened(masks[k])
        like, (w, h) = (images[k], image.size) if sides else (images[0], first.size)
        for path, one in ((images[k], image), (masks[k], mask)):
            if one.size != (w, h):
                line = f"{path} has {one.size[0]}×{one.size[1]} pixels, {like} has"
                raise UserError(f"{line} {w}×{h}; give them one size")
        image = ImageOps.fit(image.convert(mode), size, Image.BILINEAR)
        x[k] = np.atleast_3d(image)
        if mask.format == "JPEG":
            raise UserError(f"{masks[k]}: JPEG changes labels; give masks as PNG")
        mask = np.asarray(ImageOps.fit(mask, size, Image.NEAREST))
        if mask.ndim != 2:
            raise UserError(f"mask {masks[k]} has colours; give each pixel its class")
        y[k] = mask

    with ThreadPoolExecutor() as pool:
        [*pool.map(put, range(len(images)))]
    return x, y


def _torchvision(name: str, root: Path, part: str) -> Split:
    if name == "caltech101":  # torchvision's takes every file for an image
        folder = root / "caltech101" / "101_ObjectCategories"
        classes = [entry for entry in _folders(folder) if entry != "BACKGROUND_Google"]
        paths, y = _listed(folder, classes)
        order = np.random.default_rng(0).permutation(len(paths))
        tests = round(1695 / 8677 * len(paths))  # DFAD Section 4.1.1: split at random
        chosen = np.sort(order[:tests] if part == "test" else order[tests:])
        return Split(_files(name, np.array(paths)[chosen]), y[chosen], tuple(classes))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # NumPy's, of data types in CIFAR's old pickles
        made = torchvision_dataset(name, root, part)
    if not len(made):
        raise UserError(f"{root} has no images of {name}'s {part} part; get it again")
    if name == "voc2012":  # its images have many sizes
        return Split(*_pairs(made.images, made.masks, (256, 256)))
    classes = tuple(getattr(made, "classes", ()))
    if name == "cityscapes":  # its files are listed in no order
        pairs = sorted(zip(made.images, (m for (m,) in made.targets), strict=True))
        x, ids = _pairs(*map(list, zip(*pairs, strict=True)))
        known = {c.id: c.train_id for c in classes if 0 <= c.train_id < VOID}
        y = np.array([known.get(k, VOID) for k in range(256)], np.uint8)[ids]
        return Split(x, y, tuple(c.name for c in classes if c.id in known))
    if name == "food101":
        return Split(_files(name, made._image_files), np.array(made._labels), classes)
    if name == "places365":
        paths, y = zip(*made.imgs, strict=True)
        return Split(_files(name, paths), np.array(y), classes)
    if name == "svhn":
        return Split(made.data.transpose(0, 2, 3, 1), made.labels)
    x, y = np.asarray(made.data), np.asarray(made.targets)
    return Split(x if x.ndim == 4 else x[..., None], y, classes)


def torchvision_dataset(name: str, root: Path, part: str, **options: bool) -> Any:
    """torchvision's own object; of CIFAR's batches, it compares the MD5 sums."""
    from torchvision import datasets

    places = {"split": "val" if part == "test" else "train-standard", "small": True}
    split, val = {"split": part}, "val" if part == "test" else "train"
    which = {"svhn": split, "food101": split, "places365": places, "caltech101": {}}
    which["cityscapes"] = {"split": val, "target_type": "semantic"}
    which["voc2012"] = {"image_set": val}
    options |= which.get(name, {"train": part == "train"})
    return getattr(datasets, TORCHVISION[name][0])(root, **options)


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
    return "torchvision", root
