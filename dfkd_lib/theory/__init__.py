"""The closed forms that the book's derivations end in, and the estimators its checks use. NumPy only, float64."""

from .averages import (
    adam_on_noise,
    autocorrelation,
    coloured_ratio,
    ema,
    ema_gain,
    ema_weights,
    filtered_ratio,
    half_life,
    mean_age,
    most_disjoint_balls,
    power_spectrum,
    simplex_scale,
    volume_scale,
    wasserstein1,
    white_ratio,
)
from .seeds import mean_interval

__all__ = [
    "adam_on_noise",
    "autocorrelation",
    "coloured_ratio",
    "ema",
    "ema_gain",
    "ema_weights",
    "filtered_ratio",
    "half_life",
    "mean_age",
    "mean_interval",
    "most_disjoint_balls",
    "power_spectrum",
    "simplex_scale",
    "volume_scale",
    "wasserstein1",
    "white_ratio",
]
