"""The methods, one file per paper. Each says what the samples are and what the losses are."""

from .abm import ABM
from .dfad import DFAD
from .mad import EMA, MAD

__all__ = ["ABM", "DFAD", "EMA", "MAD", "METHODS"]

METHODS = {"dfad": DFAD, "abm": ABM, "mad": MAD}
