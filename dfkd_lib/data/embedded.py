"""The data sets that need no file: scikit-learn's handwritten digits, and two moons."""

import numpy as np
from numpy import ndarray

Arrays = tuple[ndarray, ndarray, ndarray, ndarray]  # x_train, y_train, x_test, y_test


def arrays(name: str) -> Arrays:
    """Training images and labels, test images and labels, of a fixed split."""
    from scipy.ndimage import zoom
    from sklearn import datasets

    if name == "moons":  # a point is an image of one pixel, a coordinate is a channel
        points, y = datasets.make_moons(2000, noise=0.1, random_state=0)
        x = 255 * (points - (-1.75, -1.25)) / (4.5, 3.0)  # 256 levels a coordinate
        return _split(np.round(x).clip(0, 255).astype(np.uint8)[:, None, None], y, 500)
    # 1,797 digits (8×8, 17 grey levels), bilinearly enlarged to 32×32
    x, y = datasets.load_digits(return_X_y=True)
    x = x.reshape(-1, 8, 8) / 16
    x = zoom(x, (1, 4, 4), order=1, mode="nearest", grid_mode=True)
    x = np.round(255 * x).astype(np.uint8)[..., None]
    # testing on half of them resolves smaller differences
    x, y, *rest = _split(x, y, 450 if name == "digits" else 899)
    if name in ("digits", "digits_half"):
        return (x, y, *rest)
    x_test, y_test, *collectable = _split(*rest, 450)
    if name == "digits_rest":
        x, y = collectable
    return x, y, x_test, y_test


def _split(x: ndarray, y: ndarray, test: int) -> Arrays:
    from sklearn.model_selection import train_test_split

    x_train, x_test, y_train, y_test = train_test_split(
        x, y.astype(np.int64), test_size=test, stratify=y, random_state=0
    )
    return x_train, y_train, x_test, y_test
