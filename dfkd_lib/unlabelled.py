"""Real images to check a student on, if there are some: a folder, or an npz; labels are welcome and not needed."""

import copy
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int, UInt8
from numpy import ndarray
from torch import nn

from .data import resize
from .errors import UserError, first_line, shown
from .evaluation import accuracy, logits_of
from .files import at_home
from .layouts import IMAGE_SUFFIXES, ImageFiles
from .losses import mad
from .trained import Constants


def load_images(
    path: str | Path, shape: tuple[int, int, int], num_classes: int
) -> tuple[UInt8[ndarray, "images channels height width"], Int[ndarray, " images"] | None]:
    """The images of a folder and all below it, or an npz's array ``x`` (or ``x_test``), uint8 and NHWC.

    They are brought to `shape`, (channels, size, size): the middle square, resized. An npz may have labels, ``y`` (or
    ``y_test``).

    Raises
    ------
    UserError
        if there are none, or they are something else.
    """
    if not isinstance(path, str | Path) or not str(path).strip():
        raise UserError(f"check: {shown(path)} is no path; give a folder of images, or an npz with an array x")
    path, (channels, size, _), y = at_home("check", path), shape, None
    # os.path answers no where pathlib fails: at a name that is too long, or holds a NUL.
    if os.path.isdir(path):
        files = sorted(str(file) for file in path.rglob("*") if file.suffix.lower() in IMAGE_SUFFIXES)
        if not files:
            raise UserError(f"check: {path} has no images; their names end in {', '.join(sorted(IMAGE_SUFFIXES))}")
        x = np.asarray(ImageFiles(tuple(files), channels, size, 256 if size == 224 else size))
    elif os.path.isfile(path):
        x, y = _arrays(path, channels, num_classes)
        x = x if x.shape[1:3] == (size, size) else resize(x, size)
    else:
        raise UserError(f"check: there is no {shown(str(path))}; give a folder of images, or an npz with an array x")
    return np.ascontiguousarray(x.transpose(0, 3, 1, 2)), y


def check_on(
    teacher: nn.Module, student: nn.Module, images: tuple[Any, Any], constants: Constants, device: str
) -> dict[str, int | float]:
    """Agreement in percent and KL in nats on real images, and both accuracies where there are labels."""
    pixels, y = images
    mean, std = (torch.tensor(c).view(-1, 1, 1) for c in constants)

    def on(network: nn.Module) -> torch.Tensor:  # part by part: as floats, photographs fill four times the memory
        network = copy.deepcopy(network).to(device)
        parts = ((part.float() / 255 - mean) / std for part in torch.from_numpy(pixels).split(64))
        return torch.cat([logits_of(network, part.to(device)).cpu() for part in parts])

    answers, logits = on(teacher), on(student)
    found = {
        "images": len(pixels),
        "agreement": accuracy(logits, answers.argmax(1)),
        "kl": mad.kl(answers, logits).item(),
    }
    if y is None:
        return found
    labels = torch.from_numpy(y)
    return found | {"teacher_accuracy": accuracy(answers, labels), "student_accuracy": accuracy(logits, labels)}


def _arrays(path: Path, channels: int, num_classes: int) -> tuple[ndarray, ndarray | None]:
    try:
        if not zipfile.is_zipfile(path):
            raise ValueError("it is no npz file")
        with np.load(path, allow_pickle=False) as file:
            x, y = ([file[n] for n in names if n in file.files] for names in (("x", "x_test"), ("y", "y_test")))
    except Exception as error:  # a damaged archive fails in zipfile, zlib, NumPy or tokenize, each in its own way
        raise UserError(
            f"check: {path} cannot be read ({first_line(error)}); give a folder of images, or an npz"
        ) from error
    if not x:
        raise UserError(f"check: {path} has no array x; write it with np.savez(path, x=images), uint8, NHWC")
    x, y = x[0], y[0] if y else None
    if x.dtype != np.uint8 or x.ndim != 4 or x.shape[3] != channels or 0 in x.shape:
        raise UserError(
            f"check: {path}: x is {x.dtype} of shape {x.shape}; it must be uint8, (images, height, width, {channels})"
        )
    if y is None:
        return x, y
    if y.shape != (len(x),) or not np.issubdtype(y.dtype, np.integer):
        raise UserError(f"check: {path}: y is {y.dtype} of shape {y.shape}; it must hold {len(x)} whole numbers")
    if y.min() < 0 or y.max() >= num_classes:
        raise UserError(
            f"check: {path}: y has labels from {y.min()} to {y.max()}; the teacher's are from 0 to {num_classes - 1}"
        )
    return x, y.astype(np.int64)
