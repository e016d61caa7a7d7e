"""How images and arrays are read and checked. Pixels stay uint8, NHWC."""

import os
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from numpy import ndarray
from torch.nn import functional as F

from ..errors import UserError, first_line

SUFFIXES = (".bmp", ".gif", ".jfif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif")
SUFFIXES += (".tiff", ".webp")
CHUNK = 512  # images that are converted at once, so that no large set is copied


@dataclass(frozen=True, eq=False)
class ImageFiles:
    """Images left in their files, decoded by ``x[index]`` and by ``np.asarray(x)``.

    The short side is brought to `size` pixels, or to 256 for 224, as ImageNet's is; the
    middle is cropped.
    """

    paths: tuple[str, ...]
    channels: int
    size: int

    ndim, dtype = 4, np.dtype(np.uint8)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        return len(self.paths), self.size, self.size, self.channels

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: Any) -> UInt8[ndarray, "*images size size channels"]:
        chosen = np.arange(len(self))[index]
        made = np.empty((chosen.size, *self.shape[1:]), np.uint8)
        # Pillow decodes outside Python's lock
        with ThreadPoolExecutor(min(16, os.cpu_count() or 1)) as pool:
            for place, image in enumerate(
                pool.map(self._decode, chosen.ravel().tolist())
            ):
                made[place] = image
        return made.reshape(*chosen.shape, *self.shape[1:])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> ndarray:
        return self[:].astype(dtype or np.uint8, copy=False)

    def _decode(self, number: int) -> ndarray:
        image = opened(self.paths[number]).convert("L" if self.channels == 1 else "RGB")
        short = 256 if self.size == 224 and min(image.size) != 224 else self.size
        width, height = (int(short * side / min(image.size)) for side in image.size)
        image = image.resize((width, height), 2)  # bilinear, antialiased
        left, top = round((width - self.size) / 2), round((height - self.size) / 2)
        image = image.crop((left, top, left + self.size, top + self.size))
        return np.asarray(image).reshape(self.size, self.size, self.channels)


def opened(path: str) -> Any:
    """An image of Pillow's, decoded."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            if image.mode[0] in "IF":
                raise ValueError(f"mode {image.mode}; give 8 bits per channel")
            image.load()
            return image
    except Exception as error:  # each format's decoder fails in its own way
        why = first_line(error)
        raise UserError(f"image {path} cannot be read ({why}); replace it") from error


def image_files(folder: Path) -> list[str]:
    """The image files of a folder and all below it, in order, without hidden ones."""
    found = []
    for where, folders, files in os.walk(folder, followlinks=True):
        folders[:] = filter(visible, folders)
        found += [os.path.join(where, file) for file in filter(visible, files)]
    found = sorted(file for file in found if file.lower().endswith(SUFFIXES))
    if not found:
        raise UserError(f"{folder} has no images ({', '.join(SUFFIXES)}); add some")
    return found


def visible(name: str) -> bool:
    """Whether a file or folder is the user's, not Jupyter's, macOS's or a NAS's."""
    return not name.startswith(".") and name not in ("__MACOSX", "@eaDir")


def read_npz(path: Path, *names: str) -> dict[str, ndarray]:
    """Those of the named arrays that an npz has; nothing is unpickled."""
    try:
        if not zipfile.is_zipfile(path):
            raise ValueError("it is no npz file")
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            return {name: file[name] for name in names if name in file.files}
    except Exception as error:  # in zipfile, zlib, NumPy or tokenize
        why = first_line(error)
        raise UserError(f"{path} cannot be read ({why}); write it again") from error


def resize(
    x: UInt8[ndarray, "images height width channels"], size: int
) -> UInt8[ndarray, "images size size channels"]:
    """The middle square, resized: bilinear, antialiased where it shrinks."""
    height, width = x.shape[1:3]
    side = min(height, width)
    x = x[:, (height - side) // 2 :, (width - side) // 2 :][:, :side, :side]
    if side == size:
        return x
    made = np.empty((len(x), size, size, x.shape[3]), np.uint8)
    for start in range(0, len(x), CHUNK):
        part = torch.tensor(x[start : start + CHUNK]).permute(0, 3, 1, 2).float()
        part = F.interpolate(part, (size, size), mode="bilinear", antialias=True)
        part = part.round().clamp(0, 255).permute(0, 2, 3, 1)
        made[start : start + CHUNK] = part.to(torch.uint8).numpy()
    return made
