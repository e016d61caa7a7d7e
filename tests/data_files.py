"""Small data sets in every layout, for the tests of data."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dfkd_lib.data import load_dataset
from dfkd_lib.errors import UserError

RANDOM = np.random.default_rng(0)


def empty_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A DFKD_DATA that holds nothing. Nothing is downloaded: a test that wants to must say so."""
    folder = tmp_path / "data"
    folder.mkdir()
    monkeypatch.setenv("DFKD_DATA", str(folder))
    monkeypatch.setenv("DFKD_OFFLINE", "1")
    return folder


def refusal(name: str) -> str:
    with pytest.raises(UserError) as caught:
        load_dataset(name)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    return message


def pixels(*shape: int) -> np.ndarray:
    return RANDOM.integers(256, size=shape, dtype=np.uint8)


def write_npz(path: Path, size: int = 32, channels: int = 1, classes: int = 10, train: int = 20) -> dict:
    made = {"x_train": pixels(train, size, size, channels), "y_train": np.arange(train) % classes}
    made |= {"x_test": pixels(10, size, size, channels), "y_test": np.arange(10) % classes}
    np.savez(path, **made)
    return made


def write_idx(root: Path, folder: str, train: int = 12, test: int = 6) -> dict:
    raw = root / folder / "raw"
    raw.mkdir(parents=True)
    made = {}
    for part, prefix, n in (("train", "train", train), ("test", "t10k", test)):
        x, y = pixels(n, 28, 28), (np.arange(n) % 10).astype(np.uint8)
        sizes = b"".join(k.to_bytes(4, "big") for k in x.shape)
        (raw / f"{prefix}-images-idx3-ubyte").write_bytes(b"\0\0\x08\x03" + sizes + x.tobytes())
        (raw / f"{prefix}-labels-idx1-ubyte").write_bytes(b"\0\0\x08\x01" + n.to_bytes(4, "big") + y.tobytes())
        made |= {f"x_{part}": x[..., None], f"y_{part}": y}
    return made


def write_images(folder: Path, classes: list[str], each: int = 2, size: tuple[int, int] = (32, 32), mode="RGB") -> None:
    for number, name in enumerate(classes):
        (folder / name).mkdir(parents=True)
        for k in range(each):
            grey = np.full((size[1], size[0]), 10 * number + k, np.uint8)
            Image.fromarray(grey).convert(mode).save(folder / name / f"{k}.png")
