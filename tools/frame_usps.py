"""USPS in MNIST's frame: a box of 20 pixels, its centre of mass in the middle of 28×28.

MNIST was made like this; USPS fills its 16×16 pixels. `python tools/frame_usps.py`
reads USPS from $DFKD_DATA and writes usps_framed.npz there: chapter 4's control for the
frame of the collected images.
"""

import io
import os
import sys
from pathlib import Path

import numpy as np
from numpy import ndarray
from PIL import Image
from scipy.ndimage import center_of_mass, shift

from dfkd_lib.data import locate
from dfkd_lib.data.layouts import read
from dfkd_lib.errors import UserError
from dfkd_lib.files import write_atomically

SIZE, BOX = 28, 20
INK = 40  # grey levels below are paper


def framed(digit: ndarray) -> ndarray:
    """One digit, uint8 (height, width), in MNIST's frame, uint8 (28, 28).

    An image without ink stays empty.
    """
    made = np.zeros((SIZE, SIZE))
    rows, columns = (np.flatnonzero(digit.max(axis) > INK) for axis in (1, 0))
    if not len(rows):
        return made.astype(np.uint8)
    crop = digit[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    height, width = (max(round(BOX / max(crop.shape) * side), 1) for side in crop.shape)
    top, left = (SIZE - height) // 2, (SIZE - width) // 2
    scaled = Image.fromarray(crop).resize((width, height), Image.BILINEAR)
    made[top : top + height, left : left + width] = scaled
    middle = np.subtract((SIZE - 1) / 2, center_of_mass(made))
    return np.round(shift(made, middle, order=1)).clip(0, 255).astype(np.uint8)


def main() -> int:
    if not os.environ.get("DFKD_DATA"):
        line = "error: DFKD_DATA is not set; give it the folder for usps_framed.npz"
        print(line, file=sys.stderr)
        return 2
    try:
        place = locate("usps")
        parts = {part: read("usps", place, part) for part in ("train", "test")}
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    made = {}
    for part, split in parts.items():
        images = np.stack([framed(digit[..., 0]) for digit in split.x])
        made |= {f"x_{part}": images[..., None], f"y_{part}": split.y}
    file = io.BytesIO()
    np.savez_compressed(file, **made)
    path = Path(os.environ["DFKD_DATA"]).expanduser() / "usps_framed.npz"
    write_atomically(path, file.getvalue())
    print(f"written: {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
