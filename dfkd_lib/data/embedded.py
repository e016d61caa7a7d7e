"""The data sets that need no file: scikit-learn's handwritten digits, and two moons."""

import numpy as np
from numpy import ndarray

Arrays = tuple[ndarray, ndarray, ndarray, ndarray]  # x_train, y_train, x_test, y_test


def arrays(name: str) -> Arrays:
    """Training images and labels, test images and labels, of a fixed split."""
    if name == "moons":
        return _moons()
    # of 1,797; half of them resolve smaller differences
    x, y, *rest = _split(*_digits(), 450 if name == "digits" else 899)
    if name in ("digits", "digits_half"):
        return (x, y, *rest)
    x_test, y_test, *collectable = _split(*rest, 450)
    if name == "digits_hybrid":
        return x, y, x_test, y_test
    return (*collectable, x_test, y_test)


def _digits() -> tuple[ndarray, ndarray]:
    """1,797 handwritten digits (8×8, 17 grey levels), bilinearly enlarged to 32×32."""
    from scipy.ndimage import zoom
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    x = x.reshape(-1, 8, 8) / 16
    x = zoom(x, (1, 4, 4), order=1, mode="nearest", grid_mode=True)
    return np.round(255 * x).astype(np.uint8)[..., None], y


def _moons() -> Arrays:
    """Two half circles with noise: a point is a pixel, a coordinate is a channel."""
    from sklearn.datasets import make_moons

    points, y = make_moons(2000, noise=0.1, random_state=0)
    levels = 255 * (points - (-1.75, -1.25)) / (4.5, 3.0)  # 256 levels a coordinate
    return _split(np.round(levels).clip(0, 255).astype(np.uint8)[:, None, None], y, 500)


def _split(x: ndarray, y: ndarray, test: int) -> Arrays:
    from sklearn.model_selection import train_test_split

    x_train, x_test, y_train, y_test = train_test_split(
        x, y.astype(np.int64), test_size=test, stratify=y, random_state=0
    )
    return x_train, y_train, x_test, y_test
