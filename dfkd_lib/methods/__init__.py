"""The methods, one file per paper. Each says what the samples are and what the losses are."""

from .abm import ABM
from .arvi import ARVI
from .dafl import DAFL
from .deepinversion import DeepInversion
from .degan import DeGAN
from .dfad import DFAD
from .feature_transfer import AT, FT, FitNet
from .hidfd import HiDFD
from .mad import EMA, MAD
from .memory import DFKDMem
from .random_images import Random
from .with_data import KD, KDCollected, KDRelated, KDUnrelated

__all__ = [
    "ABM",
    "ARVI",
    "AT",
    "DAFL",
    "DFAD",
    "DFKDMem",
    "DeGAN",
    "DeepInversion",
    "EMA",
    "FT",
    "FitNet",
    "HiDFD",
    "KD",
    "KDCollected",
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
    "kd_collected": KDCollected,
    "fitnet": FitNet,
    "at": AT,
    "ft": FT,
    "hidfd": HiDFD,
    "degan": DeGAN,
}
