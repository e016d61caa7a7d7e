"""Closed forms of the book's derivations, one file a chapter: NumPy and SciPy."""
# ruff: noqa: F403

from .averages import *
from .discrepancy import *
from .evaluation import *
from .hybrid import *
from .interpolation import *
