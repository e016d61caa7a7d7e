"""Chapter 0: temperature, intervals, and what seeds and test images can resolve.

Accuracies and differences in points (percent), unless stated otherwise.
"""

import math
from collections.abc import Sequence
from itertools import count

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from scipy import special, stats
from scipy.integrate import quad

Answers = Float[ndarray, "*images classes"]


def kd_gradient(teacher: Answers, student: Answers, temperature: float) -> Answers:
    """T·(softmax(s/T) − softmax(t/T)): the gradient of T² KL(p_T ‖ p_S) in s."""
    p_s, p_t = (special.softmax(x / temperature, -1) for x in (student, teacher))
    return temperature * (p_s - p_t)


def centred_gap(teacher: Answers, student: Answers) -> Answers:
    """(ŝ − t̂) / C, logits minus their mean: the limit of `kd_gradient` for large T."""
    residual = student - teacher
    return (residual - residual.mean(-1, keepdims=True)) / residual.shape[-1]


def best_of(tests: int, correlation: float = 0.0) -> float:
    """E max of standard normal variables with pairwise `correlation`; ≤ √(2 ln K)."""
    above, _ = quad(lambda x: 1 - special.ndtr(x) ** tests, 0, math.inf)
    below, _ = quad(lambda x: special.ndtr(x) ** tests, -math.inf, 0)
    return math.sqrt(1 - correlation) * (above - below)


def mean_interval(values: Sequence[float], level: float = 0.95) -> tuple[float, float]:
    """Mean over seeds, and the half-width of its t-interval; NaN for one value."""
    x = np.asarray(values, dtype=float)
    if len(x) < 2:
        return float(x.mean()), math.nan
    quantile = stats.t.ppf((1 + level) / 2, len(x) - 1)
    return float(x.mean()), float(quantile * x.std(ddof=1) / math.sqrt(len(x)))


def power(difference: float, spread: float, seeds: int) -> float:
    """P(the t-interval of paired normal differences lies on the right side of zero)."""
    shift = abs(difference) * math.sqrt(seeds) / spread
    return float(stats.nct.sf(stats.t.ppf(0.975, seeds - 1), seeds - 1, shift))


def seeds_needed(difference: float, spread: float, chance: float = 0.8) -> int:
    """The least number of seeds at which the `power` is `chance`."""
    if not difference:
        raise ValueError("difference: no number of seeds can resolve 0")
    return next(n for n in count(2) if power(difference, spread, n) >= chance)


def difference_error(discordant: float, difference: float, images: int) -> float:
    """Standard error of a difference of two accuracies on the same n images.

    `discordant`: the percentage of images that exactly one of the two gets right.
    """
    return 100 * math.sqrt((discordant / 100 - (difference / 100) ** 2) / images)


def images_needed(difference: float, discordant: float) -> int:
    """As `seeds_needed`, for test images, by the normal approximation."""
    errors = special.ndtri(0.975) + special.ndtri(0.8)
    one = difference_error(discordant, difference, 1)
    return math.ceil((errors * one / difference) ** 2)
