"""Chapter 0: what temperature does to a gradient, what the best of several tests promises, what seeds and test images
can tell apart. Accuracies and differences in points (percent), unless said otherwise.
"""

import math

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from scipy.integrate import quad
from scipy.special import log_softmax, ndtr, ndtri, softmax
from scipy.stats import nct
from scipy.stats import t as student_t

# --- Temperature (Hinton et al. 2015, Section 2) ---------------------------------------------------------------------


def kd_gradient(
    teacher: Float[ndarray, "*images classes"], student: Float[ndarray, "*images classes"], temperature: float
) -> Float[ndarray, "*images classes"]:
    """T·(softmax(s/T) − softmax(t/T)): the gradient of T² KL(p_T ‖ p_S) with respect to the student's logits."""
    return temperature * (softmax(student / temperature, -1) - softmax(teacher / temperature, -1))


def centred_gap(
    teacher: Float[ndarray, "*images classes"], student: Float[ndarray, "*images classes"]
) -> Float[ndarray, "*images classes"]:
    """(ŝ − t̂) / C, logits less their mean over classes: what `kd_gradient` tends to as T grows."""
    gap = student - teacher
    return (gap - gap.mean(-1, keepdims=True)) / gap.shape[-1]


def centred_gap_error(largest: float, classes: int, temperature: float) -> float:
    """4 M² e^(2M/T) / (C T): no component of `kd_gradient` is further from `centred_gap`, if no centred logit of
    either network is larger than M in size.
    """
    return 4 * largest**2 * math.exp(2 * largest / temperature) / (classes * temperature)


def entropy(logits: Float[ndarray, "*images classes"]) -> Float[ndarray, "*images"]:
    """Entropy of softmax(logits), in nats."""
    log_p = log_softmax(logits, -1)
    return -(np.exp(log_p) * log_p).sum(-1)


# --- The best of several tests ---------------------------------------------------------------------------------------


def best_of(tests: int, correlation: float = 0.0) -> float:
    """E max of `tests` standard normal variables, any two of which have that correlation (≥ 0): how far the best lies
    above what all of them measure, in standard deviations of one. By quadrature; at most √(2 ln K).
    """
    above, _ = quad(lambda x: 1 - ndtr(x) ** tests, 0, math.inf)
    below, _ = quad(lambda x: ndtr(x) ** tests, -math.inf, 0)
    return math.sqrt(1 - correlation) * (above - below)


# --- Seeds -----------------------------------------------------------------------------------------------------------


def normal_coverage(seeds: int, level: float = 0.95) -> float:
    """How often mean ± 1.96 s/√n holds the truth, for n normal values, where the t-interval does in 95 % of cases."""
    z = ndtri((1 + level) / 2)
    return float(2 * student_t.cdf(z, seeds - 1) - 1)


def power(difference: float, spread: float, seeds: int, level: float = 0.95) -> float:
    """How often a t-interval over so many paired differences, normal with that mean and standard deviation, lies wholly
    on the right side of zero.
    """
    quantile = student_t.ppf((1 + level) / 2, seeds - 1)
    return float(nct.sf(quantile, seeds - 1, abs(difference) * math.sqrt(seeds) / spread))


def seeds_needed(difference: float, spread: float, chance: float = 0.8) -> int:
    """The least number of seeds at which the `power` is `chance`, for a difference that is not zero."""
    if not difference:
        raise ValueError("difference: no number of seeds finds one of zero")
    seeds = 2
    while power(difference, spread, seeds) < chance:
        seeds += 1
    return seeds


# --- Test images -----------------------------------------------------------------------------------------------------


def accuracy_error(accuracy: float, images: int) -> float:
    """√(p(1 − p)/n): the standard error of an accuracy p on n test images drawn at random, in points."""
    return math.sqrt(accuracy * (100 - accuracy) / images)


def difference_error(discordant: float, difference: float, images: int) -> float:
    """Standard error of a difference of two accuracies on the same n test images, in points.

    `discordant` is the share, in percent, of images that exactly one of the two students gets right. An image counts
    +1, −1 or 0, so its variance is the discordant share less the square of the difference.
    """
    return 100 * math.sqrt((discordant / 100 - (difference / 100) ** 2) / images)


def images_needed(difference: float, discordant: float, chance: float = 0.8, level: float = 0.95) -> int:
    """The least number of test images at which an interval of `difference_error` lies wholly on the right side of zero
    with that chance, by the normal approximation; as `seeds_needed`. No difference is larger than the discordant share.
    """
    errors = ndtri((1 + level) / 2) + ndtri(chance)
    return math.ceil((errors * difference_error(discordant, difference, 1) / difference) ** 2)
