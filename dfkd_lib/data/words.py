"""The text of class names as vectors, for methods that read it.

`words.npz` has the words of the classes of digits, Fashion-MNIST and CIFAR, from GloVe
6B in 100 dimensions (Pennington et al. 2014; public domain, PDDL 1.0).
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float32
from numpy import ndarray

from ..errors import UserError

_DIGITS = (
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
)
_OF_DIGITS = ("digits", "digits_half", "digits_hybrid", "mnist", "usps", "svhn")


def names_of(dataset: str, classes: Sequence[str]) -> tuple[str, ...]:
    """The words for a data set's classes: their names, of digits the numerals."""
    return _DIGITS if dataset in _OF_DIGITS else tuple(classes)


def word_vectors(names: Sequence[str]) -> Float32[ndarray, "classes 100"]:
    """A vector a class, the mean of those of its name's words, as in "oak_tree".

    A UserError if there are no names, or one has a word that is not in the file.
    """
    with np.load(Path(__file__).with_name("words.npz"), allow_pickle=False) as file:
        vectors = file["vectors"].astype("f4")
        known = dict(zip(file["words"].tolist(), vectors, strict=True))
    words = [name.lower().replace("-", "_").split("_") for name in names]
    if unknown := sorted({w for each in words for w in each if w not in known}):
        line = f"labels: no vector is known for {', '.join(unknown[:5])}"
        raise UserError(f"{line}; set labels=random")
    if not names:
        line = "labels: the names of the classes are not known"
        raise UserError(f"{line}; set labels=random")
    return np.stack([np.mean([known[w] for w in each], 0) for each in words]).astype(
        "f4"
    )
