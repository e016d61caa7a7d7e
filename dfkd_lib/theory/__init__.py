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
<<<<<<< HEAD
from .evaluation import (
    accuracy_error,
    best_of,
    centred_gap,
    centred_gap_error,
    difference_error,
    entropy,
    images_needed,
    kd_gradient,
    normal_coverage,
    power,
    seeds_needed,
=======
from .interpolation import (
    gap_of_bends,
    mean_square_weight,
    mean_weight,
    mixture_density,
    one_hot_gradient,
    slope_changes,
    square_bias,
    tent,
>>>>>>> ch2
)
from .seeds import mean_interval

__all__ = [
    "accuracy_error",
    "adam_on_noise",
    "autocorrelation",
    "best_of",
    "centred_gap",
    "centred_gap_error",
    "coloured_ratio",
    "difference_error",
    "ema",
    "ema_gain",
    "ema_weights",
    "entropy",
    "filtered_ratio",
    "gap_of_bends",
    "half_life",
    "images_needed",
    "kd_gradient",
    "mean_age",
    "mean_interval",
    "mean_square_weight",
    "mean_weight",
    "mixture_density",
    "most_disjoint_balls",
<<<<<<< HEAD
    "normal_coverage",
    "power",
=======
    "one_hot_gradient",
>>>>>>> ch2
    "power_spectrum",
    "seeds_needed",
    "simplex_scale",
    "slope_changes",
    "square_bias",
    "tent",
    "volume_scale",
    "wasserstein1",
    "white_ratio",
]
