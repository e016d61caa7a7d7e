"""Small data sets in every layout, for the tests of data."""

from pathlib import Path

import numpy as np
from PIL import Image
from refused import refused

from dfkd_lib.data import Dataset, load_dataset

RANDOM = np.random.default_rng(0)
COLOUR = ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616))


def refusal(name: str) -> str:
    return refused(load_dataset, name)


def pixels(*shape: int) -> np.ndarray:
    return RANDOM.integers(256, size=shape, dtype=np.uint8)


def made(n: int = 40, size: int = 32, channels: int = 3, name="made", classes=()):
    """A data set in memory, all of noise."""
    mean, std = (constants[:channels] for constants in COLOUR)
    x, y = pixels(2 * n, size, size, channels), np.arange(2 * n) % 10
    return Dataset(name, x[:n], y[:n], x[n:], y[n:], mean, std, classes)


def write_npz(path: Path, size=32, channels=1, train=20, **changes) -> dict:
    count = len(changes.get("classes", range(10)))
    arrays = {}
    for part, n in (("train", train), ("test", 10)):
        arrays[f"x_{part}"] = pixels(n, size, size, channels)
        arrays[f"y_{part}"] = np.arange(n) % count
    arrays = {k: v for k, v in (arrays | changes).items() if v is not None}
    np.savez(path, **arrays)
    return arrays


def write_idx(root: Path, folder: str) -> dict:
    raw, found = root / folder / "raw", {}
    raw.mkdir(parents=True)
    for part, prefix, n in (("train", "train", 12), ("test", "t10k", 6)):
        x, y = pixels(n, 28, 28), (np.arange(n) % 10).astype(np.uint8)
        sizes = b"".join(k.to_bytes(4, "big") for k in x.shape)
        images, labels = b"\0\0\x08\x03" + sizes, b"\0\0\x08\x01" + sizes[:4]
        (raw / f"{prefix}-images-idx3-ubyte").write_bytes(images + x.tobytes())
        (raw / f"{prefix}-labels-idx1-ubyte").write_bytes(labels + y.tobytes())
        found |= {f"x_{part}": x[..., None], f"y_{part}": y}
    return found


def write_images(
    folder: Path, classes: str, each=2, size=(32, 32), mode="RGB", end="png"
):
    """Image k of class c is all of the grey level 10·c + k."""
    for number, name in enumerate(classes.split()):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for k in range(each):
            grey = np.full((size[1], size[0]), 10 * number + k, np.uint8)
            Image.fromarray(grey).convert(mode).save(folder / name / f"{k}.{end}")
