"""Pieces of two photographs that ship with scikit-learn: a source of unrelated real images that is always there."""

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray

from .data import resize

SIDES = (32, 64, 128, 256)  # pixels of a piece in its photograph
STRIDE = 4  # pixels from one piece to the next


@dataclass(frozen=True)
class Photographs:
    """All square pieces of a temple in China and of a flower, colour, `size` pixels wide; cut when indexed.

    Numbered by photograph, side, row and column, so that a number tells which piece it is.
    """

    size: int

    dtype = np.dtype(np.uint8)
    ndim = 4

    @property
    def shape(self) -> tuple[int, int, int, int]:
        return len(self), self.size, self.size, 3

    def __len__(self) -> int:
        return sum(rows * columns for _, _, rows, columns in _grids())

    def window(self, number: int) -> tuple[int, int, int, int]:
        """Of a piece: its photograph (0: China, 1: flower), top, left and side, in pixels."""
        for photograph, side, rows, columns in _grids():
            if number < rows * columns:
                return photograph, number // columns * STRIDE, number % columns * STRIDE, side
            number -= rows * columns
        raise IndexError(number)

    def __getitem__(self, index: Any) -> UInt8[ndarray, "pieces size size 3"]:
        made = np.empty((len(index), self.size, self.size, 3), np.uint8)
        windows = np.array([self.window(int(number)) for number in index]).reshape(-1, 4)
        for side in SIDES:
            chosen = np.flatnonzero(windows[:, 3] == side)
            if len(chosen):
                pieces = [
                    _photographs()[photograph][top : top + side, left : left + side]
                    for photograph, top, left, _ in windows[chosen]
                ]
                made[chosen] = resize(np.stack(pieces), self.size)
        return made


@cache
def _photographs() -> tuple[ndarray, ...]:
    from sklearn.datasets import load_sample_images

    return tuple(load_sample_images().images)


@cache
def _grids() -> tuple[tuple[int, int, int, int], ...]:
    """Photograph, side, rows and columns of pieces."""
    return tuple(
        (number, side, (height - side) // STRIDE + 1, (width - side) // STRIDE + 1)
        for number, (height, width, _) in enumerate(photograph.shape for photograph in _photographs())
        for side in SIDES
    )
