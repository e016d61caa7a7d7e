"""Data sets by name: the embedded digits, or arrays found under ``$DFKD_DATA``. Pixels stay uint8 NHWC until used.

In this book data has two uses only: to train a teacher, and to *test* a student. No student trains on it.
"""

import os
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int, UInt8
from numpy import ndarray

from .errors import UserError, one_of
from .recipes import DATASETS, NETWORKS

# Test images of the 1,797 digits: a quarter, and the half/half split that measures differences of methods more finely.
_DIGITS_TEST = {"digits": 450, "digits_half": 899}

# Channel means and deviations of the training pixels, in [0, 1]. CIFAR-100: computed from its 50,000 training images,
# equal to the figures that its users publish; CIFAR-10: the published figures.
_MOMENTS = {
    "cifar10": ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
    "cifar100": ((0.5071, 0.4866, 0.4409), (0.2673, 0.2564, 0.2762)),
}
_CLASSES = {"cifar10": 10, "cifar100": 100}
_ARRAYS = ("x_train", "y_train", "x_test", "y_test")


@dataclass(frozen=True)
class Dataset:
    """Images (uint8, NHWC), labels, and the constants that normalise a channel: (x / 255 − mean) / std."""

    name: str
    x_train: UInt8[ndarray, "train height width channels"]
    y_train: Int[ndarray, " train"]
    x_test: UInt8[ndarray, "test height width channels"]
    y_test: Int[ndarray, " test"]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @property
    def num_classes(self) -> int:
        return int(self.y_train.max()) + 1

    def normalise(
        self, x: UInt8[ndarray, "batch height width channels"]
    ) -> Float[ndarray, "batch channels height width"]:
        """Pixels as the networks see them: float32, NCHW, mean 0 and variance 1 per channel over the training set."""
        scaled = (x.astype(np.float32) / 255 - np.float32(self.mean)) / np.float32(self.std)
        return np.ascontiguousarray(scaled.transpose(0, 3, 1, 2))


def _digits(name: str) -> Dataset:
    """scikit-learn's 1,797 handwritten digits (8×8, 17 grey levels), bilinearly enlarged to 32×32; a fixed split."""
    from scipy.ndimage import zoom
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    x, y = load_digits(return_X_y=True)
    x = zoom(x.reshape(-1, 8, 8) / 16, (1, 4, 4), order=1, mode="nearest", grid_mode=True)
    x = np.round(255 * x).astype(np.uint8)[..., None]
    x_train, x_test, y_train, y_test = train_test_split(
        x, y.astype(np.int64), test_size=_DIGITS_TEST[name], stratify=y, random_state=0
    )
    grey = x_train / 255
    return Dataset(name, x_train, y_train, x_test, y_test, (float(grey.mean()),), (float(grey.std()),))


def locate(name: str) -> Path | None:
    """Where the data set's file is; None for the embedded ones. Reads nothing.

    Raises
    ------
    UserError
        if there is no data set of that name, or its file is not there: says which file is needed.
    """
    one_of("dataset", name, DATASETS)
    if name in _DIGITS_TEST:
        return None
    folder = os.environ.get("DFKD_DATA")
    wanted = f"{name}.npz with the arrays {' '.join(_ARRAYS)} (images uint8, NHWC; labels whole numbers)"
    if not folder:
        raise UserError(f"dataset {name}: DFKD_DATA is not set; point it to a folder that holds {wanted}")
    path = Path(folder) / f"{name}.npz"
    if not path.is_file():
        raise UserError(f"dataset {name}: there is no file {path}; DFKD_DATA's folder needs {wanted}")
    return path


def load_dataset(name: str) -> Dataset:
    """The data set called `name`: embedded (``digits``, ``digits_half``) or read from ``$DFKD_DATA/<name>.npz``.

    Raises
    ------
    UserError
        if it is unknown, missing, or its file does not hold what it should.
    """
    path = locate(name)
    if path is None:
        return _digits(name)
    if not zipfile.is_zipfile(path):
        raise UserError(f"dataset {name}: {path} is no npz file; it needs the arrays {' '.join(_ARRAYS)}")
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            arrays = [file[key] for key in _ARRAYS]
    except Exception as error:  # a damaged archive fails in zipfile, zlib, NumPy or tokenize, each in its own way
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise UserError(
            f"dataset {name}: {path} cannot be read as an npz with the arrays {' '.join(_ARRAYS)} ({reason})"
        ) from error
    _check_arrays(f"dataset {name}: {path}", *arrays)
    x_train, y_train, x_test, y_test = arrays
    if x_train.shape[3] != len(_MOMENTS[name][0]):
        raise UserError(
            f"dataset {name}: {path} has images of {x_train.shape[3]} channels; {name} has {len(_MOMENTS[name][0])}"
        )
    if y_train.max() >= _CLASSES[name]:
        raise UserError(f"dataset {name}: {path} has labels up to {y_train.max()}; {name} has {_CLASSES[name]} classes")
    return Dataset(name, x_train, y_train.astype(np.int64), x_test, y_test.astype(np.int64), *_MOMENTS[name])


def check_fits(dataset: Dataset, role: str, network: str) -> None:
    """Refuse a network (as teacher or as student: `role`) whose images are not the data set's."""
    height, width, channels = dataset.x_train.shape[1:]
    fitting = [name for name, c in NETWORKS.items() if c == channels]
    one_of(role, network, NETWORKS)
    if network not in fitting or (height, width) != (32, 32):
        raise UserError(
            f"{role}: {network} takes images of {NETWORKS[network]}×32×32, {dataset.name} has "
            f"{channels}×{height}×{width}; allowed with {channels}×32×32: {', '.join(fitting)}"
        )


def _check_arrays(where: str, x_train: ndarray, y_train: ndarray, x_test: ndarray, y_test: ndarray) -> None:
    """Refuse arrays that would only fail, or silently mislead, later."""
    for part, x, y in (("train", x_train, y_train), ("test", x_test, y_test)):
        if x.dtype != np.uint8 or x.ndim != 4 or x.shape[3] not in (1, 3) or not len(x):
            raise UserError(
                f"{where}: x_{part} is {x.dtype} of shape {x.shape}; it must be uint8, "
                "(images, height, width, 1 or 3 channels), with at least one image"
            )
        if y.shape != (len(x),) or not np.issubdtype(y.dtype, np.integer):
            raise UserError(f"{where}: y_{part} is {y.dtype} of shape {y.shape}; it must hold {len(x)} whole numbers")
        if y.min() < 0 or y.max() > y_train.max():
            raise UserError(f"{where}: y_{part} has labels outside 0 to {y_train.max()}")
    if x_train.shape[1:] != x_test.shape[1:]:
        raise UserError(f"{where}: images are {x_train.shape[1:]} in x_train, {x_test.shape[1:]} in x_test")
