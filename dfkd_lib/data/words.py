"""The text of class names as vectors, for methods that read it.

`assets/words.npz` has the words of the classes of digits, Fashion-MNIST and CIFAR, from
GloVe 6B in 100 dimensions (Pennington et al. 2014; public domain, PDDL 1.0).
"""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float32
from numpy import ndarray

from ..errors import UserError, shown

_DIGITS = (*"zero one two three four five six seven eight nine".split(),)
_OF_DIGITS = ("digits", "digits_half", "digits_hybrid", "mnist", "usps", "svhn")


def names_of(dataset: str, classes: Sequence[str]) -> tuple[str, ...]:
    """The words for a data set's classes: their names, of digits the numerals."""
    return _DIGITS if dataset in _OF_DIGITS else tuple(classes)


def word_vectors(names: Sequence[str], classes: int) -> Float32[ndarray, "classes 100"]:
    """A vector a class, the mean of those of its name's words, as in "oak_tree".

    A UserError if there is no name of its own for each class, or one has a word that is
    not in the file.
    """
    path = Path(__file__).parent / "assets" / "words.npz"
    with np.load(path, allow_pickle=False) as file:
        vectors = file["vectors"].astype("f4")
        known = dict(zip(file["words"].tolist(), vectors, strict=True))
    words = [re.findall(r"[^\W_]+", str(name).lower()) for name in names]
    lines = []
    if len(words) != classes or not all(words):
        lines.append("the names of the classes are not known")
    elif len({*map(tuple, words)}) < classes:
        lines.append("two classes have one name")
    elif unknown := sorted({w for each in words for w in each if w not in known}):
        lines.append(f"no vector is known for {shown(', '.join(unknown[:5]))}")
    if lines:
        raise UserError(f"labels: {lines[0]}; set labels=random")
    return np.stack([np.mean([known[w] for w in each], 0) for each in words])
