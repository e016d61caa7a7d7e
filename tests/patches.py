"""Images that any network learns within a second."""

import numpy as np


def patches() -> dict[str, np.ndarray]:
    """A bright patch on a dark ground, whose place tells the class: 256 images to train on and 64 to test."""
    random = np.random.default_rng(0)
    x = random.integers(40, size=(320, 32, 32, 1), dtype=np.uint8)
    y = np.arange(320) % 10
    for image, label in zip(x, y, strict=True):
        row, column = 8 * (label // 4), 8 * (label % 4)
        image[row : row + 8, column : column + 8] += 200
    return {
        "x_train": x[:256],
        "y_train": y[:256],
        "x_test": x[256:],
        "y_test": y[256:],
    }
