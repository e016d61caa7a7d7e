"""Data sets in files: an npz or a folder of images, damaged or made wrong."""

import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from PIL import Image

from dfkd_lib.data import Dataset, load_dataset
from reliability.trial import PROOF, Case
from reliability.values import damaged


class Hostile:
    """Makes a file where it is unpickled."""

    def __init__(self, folder: Path):
        self.proof = folder / PROOF

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.proof,)


# What may lie in any file's place, whatever its kind.
IN_PLACE: dict[str, Callable[[Path], object]] = {
    "a folder": lambda path: path.mkdir(),
    "a link to itself": lambda path: path.symlink_to(path),
    "a link to nothing": lambda path: path.symlink_to("nothing"),
    "nothing": lambda path: None,
    "a pickle": lambda path: path.write_bytes(pickle.dumps(Hostile(path.parent))),
}


# --- data sets -------------------------------------------------------------------------------------------------------


def arrays() -> dict[str, np.ndarray]:
    """A small data set of one's own: 24 and 12 images, three classes."""
    chance = np.random.default_rng(0)
    made: dict[str, np.ndarray] = {}
    for part, n in (("train", 24), ("test", 12)):
        made[f"x_{part}"] = chance.integers(256, size=(n, 8, 8, 3), dtype=np.uint8)
        made[f"y_{part}"] = np.arange(n) % 3
    return made


def is_data(made: dict[str, Any]) -> bool:
    """Whether README's text allows these arrays."""
    if not {"x_train", "y_train", "x_test", "y_test"} <= set(made):
        return False
    for part in ("train", "test"):
        x, y = made[f"x_{part}"], made[f"y_{part}"]
        if x.dtype != np.uint8 or x.ndim != 4 or x.size == 0 or x.shape[3] not in (1, 3):
            return False
        if y.ndim != 1 or y.dtype.kind not in "iu" or len(y) != len(x) or int(y.min()) < 0:
            return False
    if made["x_train"].shape[1:] != made["x_test"].shape[1:] or made["y_train"].min() != 0:
        return False
    most = int(made["y_train"].max())
    if not 0 < most < 65_536 or made["y_test"].max() > most:  # two classes at least
        return False
    varied = np.ptp(made["x_train"].reshape(-1, made["x_train"].shape[3]), axis=0) > 0
    return bool(varied.all())


def _x(chance: Random) -> tuple[str, Callable[[np.ndarray], Any]]:
    return chance.choice(
        [
            *((f"as {kind}", lambda x, kind=kind: x.astype(kind)) for kind in ("f4", "f8", "i1", "u2", "?")),
            *((f"cut to {n}", lambda x, n=n: x[:n]) for n in (0, 1, 5)),
            *((f"of {n} channels", lambda x, n=n: np.resize(x, (*x.shape[:3], n))) for n in (0, 1, 2, 4)),
            *((f"of size {n}", lambda x, n=n: np.resize(x, (len(x), *n, 3))) for n in ((0, 8), (0, 0), (1, 1), (8, 9))),
            ("channels first", lambda x: x.transpose(0, 3, 1, 2)),
            ("without channels", lambda x: x[..., 0]),
            ("flat", lambda x: x.reshape(len(x), -1)),
            ("one number", lambda x: np.uint8(3)),
            ("all black", lambda x: x * 0),
            ("one channel black", lambda x: x * np.array([1, 1, 0], np.uint8)),
            ("text", lambda x: np.array("images")),
            ("big endian", lambda x: x.astype(">u2")),
            ("a record array", lambda x: np.zeros(len(x), [("a", "u1")])),
            ("dates", lambda x: np.zeros(len(x), "M8[s]")),
            ("a million without pixels", lambda x: np.zeros((10**6, 0, 8, 3), np.uint8)),
            ("fortran's order", lambda x: np.asfortranarray(x)),
        ]
    )


def _y(chance: Random) -> tuple[str, Callable[[np.ndarray], Any]]:
    return chance.choice(
        [
            *((f"as {kind}", lambda y, kind=kind: y.astype(kind)) for kind in ("f4", "u1", "i2", "u8", "?", "S", "U")),
            *((f"plus {n}", lambda y, n=n: y + n) for n in (1, -1, 100, 2**40, -(2**63))),
            *((f"times {n}", lambda y, n=n: y * n) for n in (0, 2, 10**9, 2**61)),
            ("of bytes, one too large", lambda y: np.where(np.arange(len(y)) == 3, 255, y).astype(np.uint8)),
            ("one-hot", lambda y: np.eye(3, dtype=int)[y]),
            ("a column", lambda y: y[:, None]),
            ("one too few", lambda y: y[1:]),
            ("one number", lambda y: np.int64(0)),
            ("unsigned with 2**64 - 1", lambda y: np.where(y == 2, np.uint64(2**64 - 1), y.astype(np.uint64))),
            ("none", lambda y: y[:0]),
            ("names", lambda y: np.array(["cat", "dog", "eel"])[y]),
            ("with nan", lambda y: np.where(y == 0, np.nan, y)),
        ]
    )


def _loaded(folder: Path) -> Dataset:
    os.environ["DFKD_DATA"] = str(folder)
    return load_dataset("mine")


def _same_data(made: dict[str, Any]) -> Callable[[Any, Path], bool]:
    return lambda data, folder: all(np.array_equal(getattr(data, name), made[name]) for name in arrays())


def npz(chance: Random) -> Case:
    """A data set in an npz: wrong arrays, wrong labels, damaged files, hostile ones."""
    made, roll, what = dict(arrays()), chance.random(), "as it should be"
    path = "mine.npz"
    if roll < 0.2:
        return in_place("npz", path, _loaded, chance, lambda file: np.savez(file, **made), right=_same_data(made))
    if roll < 0.3:
        what = chance.choice(("objects", "hostile"))
        odd = lambda f: np.array([Hostile(f) if what == "hostile" else object] * 24, dtype=object)  # noqa: E731
        name = chance.choice(sorted(made))
        hostile = lambda f: np.savez(f / path, **made | {name: odd(f)})  # noqa: E731
        return Case("npz", f"{name}: {what}", _loaded, hostile, names=(path,))
    for _ in range(chance.choice((1, 1, 2))):
        name = chance.choice(sorted(made))
        if chance.random() < 0.1:
            del made[name]
            what = f"without {name}"
            break
        words, change = (_x if name[0] == "x" else _y)(chance)
        with np.errstate(over="ignore"):
            try:
                made[name] = np.asarray(change(made[name]))
            except (ValueError, IndexError, TypeError):
                break  # the second change does not go with the first
        what = f"{name} {words}" if what == "as it should be" else f"{what}, {name} {words}"
    save = chance.choice((np.savez, np.savez_compressed))
    stored = lambda f: save(f / path, **made)  # noqa: E731
    return Case("npz", what, _loaded, stored, good=is_data(made), names=(path,), right=_same_data(made))


def in_place(
    entry: str,
    name: str,
    call: Callable[[Path], Any],
    chance: Random,
    write: Callable[[Path], object],
    *,
    right: Callable[[Any, Path], bool] = lambda value, folder: True,
) -> Case:
    """Something else in a file's place, or the file damaged: that may be harmless, as in a date."""
    if chance.random() < 0.3:
        what, put = chance.choice(list(IN_PLACE.items()))
        good = None if entry == "records" and what == "nothing" else False  # a folder may be empty
        return Case(entry, f"{name} is {what}", call, lambda f: put(f / name), good=good, right=right)
    seed = chance.randrange(2**32)

    def prepare(folder: Path) -> None:
        write(folder / name)
        (folder / name).write_bytes(damaged((folder / name).read_bytes(), Random(seed))[1])

    return Case(entry, f"{name} damaged, seed {seed}", call, prepare, good=None, right=right)


def images(chance: Random) -> Case:
    """A data set in a folder of images, with something odd in it."""
    part, kind = chance.choice(("train", "test")), chance.choice(("cat", "dog"))
    name = chance.choice(("0.png", "a.png", "z.jpg"))  # first, so that it sets the size; or not

    def pillow(**how: Any) -> Callable[[Path], object]:
        return lambda path: Image.new(how["mode"], how["size"]).save(path, "png")

    good: dict[str, Callable[[Path], object]] = {
        "wide": pillow(mode="RGB", size=(40, 20)),
        "small": pillow(mode="L", size=(5, 5)),
        "a palette": pillow(mode="P", size=(9, 9)),
        "black and white": pillow(mode="1", size=(9, 9)),
    }
    bad: dict[str, Callable[[Path], object]] = {
        "empty": lambda path: path.write_bytes(b""),
        "text": lambda path: path.write_text("no image"),
        "cut": lambda path: (good["wide"](path), path.write_bytes(path.read_bytes()[:60])),
        "of 16 bits": lambda path: Image.fromarray(np.zeros((9, 9), np.uint16)).save(path, "png"),
        "a bomb": lambda path: path.write_bytes(b"P5 99999 99999 255\n"),
        "only a head": lambda path: path.write_bytes(b"\x89PNG\r\n\x1a\n"),
        "a pickle": IN_PLACE["a pickle"],
        "a folder": lambda path: path.mkdir(),
        "a link to itself": lambda path: path.symlink_to(path),
    }
    what = chance.choice([*good, *bad, "another class in test", "no test", "no classes", "a file for train"])

    def prepare(folder: Path) -> None:
        for p in ("train", "test"):
            for k, level in (("cat", 10), ("dog", 200)):
                (folder / "mine" / p / k).mkdir(parents=True)
                grey = np.arange(144, dtype=np.uint8).reshape(12, 12) // 2 + level // 2
                Image.fromarray(grey).convert("RGB").save(folder / "mine" / p / k / "m.png")
        place = folder / "mine" / part / kind / name
        if what in good | bad:
            (good | bad)[what](place)
        elif what == "another class in test":
            shutil.copytree(folder / "mine" / "test" / "cat", folder / "mine" / "test" / "eel")
        elif what == "a file for train":
            shutil.rmtree(folder / "mine" / "train")
            (folder / "mine" / "train").write_text("not a folder")
        else:
            shutil.rmtree(folder / "mine" / ("test" if what == "no test" else "train"))
            (folder / "mine" / "train").mkdir(exist_ok=True)

    def whole(data: Any, folder: Path) -> bool:
        return (len(data.x_train), len(data.x_test)) == (2 + (part == "train"), 2 + (part == "test"))

    return Case(
        "images",
        f"{part}/{kind}/{name}: {what}",
        lambda f: (lambda data: (data, np.asarray(data.x_train))[0])(_loaded(f)),
        prepare,
        good=None if what == "small" else what in good,
        names=("mine",),
        right=whole,
    )
