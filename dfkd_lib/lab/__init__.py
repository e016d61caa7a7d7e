"""What the chapters measure and draw with; probes do not change the run they watch."""
# ruff: noqa: F401

from . import chords, papers, pictures, scoreboard
from .counters import flop
from .gan_probe import GANProbe
from .landscape import Landscape, Snapshot, gradient_norms, share_that_speaks
from .probe import LAGS, Probe
