"""The methods, one file per paper. Each says what the samples are and what the losses are."""

from .abm import ABM
from .arvi import ARVI
from .dafl import DAFL
from .deepinversion import DeepInversion
from .dfad import DFAD
from .feature_transfer import AT, FT, FitNet
from .mad import EMA, MAD
from .memory import DFKDMem
from .random_images import Random
from .with_data import KD, KDRelated, KDUnrelated

__all__ = [
    "ABM",
    "ARVI",
    "AT",
    "DAFL",
    "DFAD",
    "DFKDMem",
    "DeepInversion",
    "EMA",
    "FT",
    "FitNet",
    "KD",
    "KDRelated",
    "KDUnrelated",
    "MAD",
    "METHODS",
    "Random",
]

METHODS = {
    "dfad": DFAD,
    "arvi": ARVI,
    "abm": ABM,
    "dfkd_mem": DFKDMem,
    "mad": MAD,
    "dafl": DAFL,
    "deepinversion": DeepInversion,
    "random": Random,
    "kd_ori": KD,
    "kd_rel": KDRelated,
    "kd_unr": KDUnrelated,
    "fitnet": FitNet,
    "at": AT,
    "ft": FT,
}
