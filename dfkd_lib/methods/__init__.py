"""The methods, one file per paper, by name."""
# ruff: noqa: F401

from .arvi import ARVI
from .cmi import CMI
from .dafl import DAFL
from .deepinversion import DeepInversion
from .dfad import DFAD
from .dfnd import DFND
from .dfq import DFQ
from .fast import Composed, Fast
from .features import AT, FT, FitNet
from .hidfd import DeGAN, HiDFD
from .kd import KD, Alone, KDCollected, KDRelated, KDUnrelated, Random
from .kd3 import KD3
from .mad import ABM, EMA, MAD, DFKDMem
from .nayer import NAYER
from .pre import PRE
from .setting import readable
from .spaceshipnet import SpaceshipNet
from .state import Choices, Losses, Memory, State, Task, learning_rate_factor
from .zskt import ZSKT

METHODS = {
    "dfad": DFAD, "arvi": ARVI, "abm": ABM, "dfkd_mem": DFKDMem, "mad": MAD,
    "dafl": DAFL, "deepinversion": DeepInversion, "random": Random,
    "kd_ori": KD, "kd_rel": KDRelated, "kd_unr": KDUnrelated,
    "kd_collected": KDCollected, "fitnet": FitNet, "at": AT, "ft": FT,
    "hidfd": HiDFD, "degan": DeGAN, "alone": Alone, "zskt": ZSKT,
    "dfq": DFQ, "cmi": CMI, "fast": Fast, "nayer": NAYER,
    "spaceshipnet": SpaceshipNet, "dfnd": DFND, "kd3": KD3, "pre": PRE,
    "composed": Composed,
}  # fmt: skip
