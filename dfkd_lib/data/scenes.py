"""Scenes with exact label maps, composed of what scikit-learn ships.

On a piece of a photograph hang signs, coloured plates with a handwritten digit. A pixel
of a plate has the class of its digit, 1 to 10, any other is background, 0; the plate's
edge is void. Beside every even digit, at its right, hangs the next odd one: 0 with 1, 2
with 3, and so on, as a pole carries a light in the streets of DFAD's Fig. 6.
"""

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray

SIDE, PLATE = 96, 22  # pixels of a scene and of a plate
COUNTS = {"train": 400, "test": 100}


def scenes(part: str) -> tuple[UInt8[ndarray, "n 96 96 3"], UInt8[ndarray, "n 96 96"]]:
    """The 'train' or 'test' scenes and their labels, always the same.

    The two parts share neither digits nor halves of photographs.
    """
    from scipy.ndimage import zoom
    from sklearn.datasets import load_digits, load_sample_images

    from .catalogue import VOID

    first, random = part == "train", np.random.default_rng(COUNTS[part])
    part_of = slice(None, 320) if first else slice(320, None)
    photographs = [p[:, part_of] for p in load_sample_images().images]
    x, y = load_digits(return_X_y=True)
    chosen = slice(None, 1300) if first else slice(1300, None)
    x, y = x[chosen].reshape(-1, 8, 8) / 16, y[chosen]
    of_class = [np.flatnonzero(y == c) for c in range(10)]
    images = np.empty((COUNTS[part], SIDE, SIDE, 3), np.uint8)
    labels = np.zeros(images.shape[:3], np.uint8)
    for image, label in zip(images, labels, strict=True):
        photograph = photographs[random.integers(len(photographs))]
        top, left = (random.integers(n - SIDE + 1) for n in photograph.shape[:2])
        image[:] = photograph[top : top + SIDE, left : left + SIDE]
        for row in range(3):  # at most one pair of signs in each third
            if random.random() < 0.2:
                continue
            even = 2 * random.integers(5)
            top = 32 * row + random.integers(32 - PLATE + 1)
            left = random.integers(SIDE - 2 * PLATE - 1)
            for digit, start in ((even, left), (even + 1, left + PLATE + 2)):
                drawn = zoom(x[random.choice(of_class[digit])], 2.25, order=1)
                ink = np.pad(drawn.clip(0, 1), (PLATE - len(drawn)) // 2)[..., None]
                dark, light = random.integers(0, 90, 3), random.integers(165, 256, 3)
                where = slice(top, top + PLATE), slice(start, start + PLATE)
                image[where] = np.round(light + (dark - light) * ink)
                label[where] = VOID
                inner = (slice(s.start + 1, s.stop - 1) for s in where)
                label[tuple(inner)] = digit + 1
    return images, labels
