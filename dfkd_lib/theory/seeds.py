"""All chapters: intervals over seeds."""

import math
from collections.abc import Sequence

import numpy as np
from scipy.stats import t as student_t


def mean_interval(values: Sequence[float], level: float = 0.95) -> tuple[float, float]:
    """Mean, and half the width of its t-interval over seeds. For paired differences, pass the differences."""
    x = np.asarray(values, dtype=float)
    if len(x) < 2:
        return float(x.mean()), math.nan
    spread = x.std(ddof=1) / math.sqrt(len(x))
    return float(x.mean()), float(student_t.ppf((1 + level) / 2, len(x) - 1) * spread)
