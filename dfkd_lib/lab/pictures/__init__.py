"""Every figure and table of the book, in one style."""
# ruff: noqa: F403

from .curves import *
from .diagrams import *
from .ladder import *
from .style import *
