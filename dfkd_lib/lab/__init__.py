"""What the chapters measure and draw with; probes do not change the run they watch."""
# ruff: noqa: F401

from . import papers, pictures, scoreboard
from .probe import LAGS, GANProbe, Probe
