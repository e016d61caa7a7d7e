"""The data sets that need no file: scikit-learn's handwritten digits, and two moons of points."""

import numpy as np
from numpy import ndarray

Arrays = tuple[ndarray, ndarray, ndarray, ndarray]  # x_train, y_train, x_test, y_test

# Test images of the 1,797 digits: a quarter, and the half/half split that measures differences of methods more finely.
_DIGITS_TEST = {"digits": 450, "digits_half": 899}
# For HiDFD: of the half that digits_half tests with, 450 images are to be collected from; the others test.
_COLLECTABLE = 450

_MOONS, _MOONS_TEST, _MOONS_NOISE = 2000, 500, 0.1
_MOONS_LOW, _MOONS_HIGH = (-1.75, -1.25), (2.75, 1.75)  # the rectangle that 256 levels a coordinate divide


def arrays(name: str) -> Arrays:
    """Training images and labels, test images and labels, of a fixed split."""
    if name == "moons":
        return _moons()
    if name in _DIGITS_TEST:
        return _split(*_digits(), _DIGITS_TEST[name])
    x, y, x_rest, y_rest = _split(*_digits(), _DIGITS_TEST["digits_half"])
    x_test, y_test, *collectable = _split(x_rest, y_rest, _COLLECTABLE)
    return (x, y, x_test, y_test) if name == "digits_hybrid" else (*collectable, x_test, y_test)


def _digits() -> tuple[ndarray, ndarray]:
    """scikit-learn's 1,797 handwritten digits (8×8, 17 grey levels), bilinearly enlarged to 32×32."""
    from scipy.ndimage import zoom
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    x = zoom(x.reshape(-1, 8, 8) / 16, (1, 4, 4), order=1, mode="nearest", grid_mode=True)
    return np.round(255 * x).astype(np.uint8)[..., None], y


def _moons() -> Arrays:
    """scikit-learn's two half circles with noise: a point is an image of one pixel, whose two channels are its
    coordinates. Whatever takes images then takes points, and what a method does can be seen.
    """
    from sklearn.datasets import make_moons

    points, y = make_moons(_MOONS, noise=_MOONS_NOISE, random_state=0)
    levels = 255 * (points - _MOONS_LOW) / np.subtract(_MOONS_HIGH, _MOONS_LOW)
    return _split(np.round(levels).clip(0, 255).astype(np.uint8)[:, None, None, :], y, _MOONS_TEST)


def _split(x: ndarray, y: ndarray, test: int) -> Arrays:
    from sklearn.model_selection import train_test_split

    x_train, x_test, y_train, y_test = train_test_split(
        x, y.astype(np.int64), test_size=test, stratify=y, random_state=0
    )
    return x_train, y_train, x_test, y_test
