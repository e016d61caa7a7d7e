"""Chapter 0's closed forms, against autograd, known values and simulations."""

import math

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dfkd_lib import theory
from dfkd_lib.losses import kd

SEEDS = st.integers(0, 2**32)
classes_, scale_ = st.integers(2, 12), st.floats(0.1, 20)


def logits(seed, classes, scale):
    return scale * np.random.default_rng(seed).normal(size=(2, 3, classes))


@given(SEEDS, classes_, scale_, st.floats(0.5, 100))
def test_kd_gradient_is_autograds(seed, classes, scale, temperature):
    teacher, student = logits(seed, classes, scale)
    s = torch.tensor(student, requires_grad=True)
    kd(torch.tensor(teacher), s, temperature).backward()
    ours = theory.kd_gradient(teacher, student, temperature)
    np.testing.assert_allclose(ours, 3 * s.grad, atol=1e-9)


@given(SEEDS, classes_, scale_, st.floats(0.5, 1e4))
def test_centred_gap_is_near_the_gradient(seed, classes, scale, temperature):
    """Within 4 M² e^(2M/T) / (C T), M the largest centred logit."""
    teacher, student = pair = logits(seed, classes, scale)
    m = np.abs(pair - pair.mean(2, keepdims=True)).max()
    gap = theory.kd_gradient(teacher, student, temperature)
    gap -= theory.centred_gap(teacher, student)
    bound = 4 * m**2 * np.exp(2 * m / temperature) / classes / temperature
    # The temperature magnifies the rounding of probabilities near 1 / C.
    assert np.abs(gap).max() <= bound + 1e-15 * temperature


@settings(max_examples=10)
@given(st.integers(1, 30), st.floats(0, 1), SEEDS)
def test_best_of_correlated_tests(tests, correlation, seed):
    rng = np.random.default_rng(seed)
    common, own = rng.normal(size=(20_000, 1)), rng.normal(size=(20_000, tests))
    x = math.sqrt(correlation) * common + math.sqrt(1 - correlation) * own
    best = theory.best_of(tests, correlation)
    assert best == pytest.approx(x.max(1).mean(), abs=0.05)


@given(st.lists(st.floats(-100, 100), min_size=2, max_size=10, unique=True))
def test_mean_interval(values):
    mean, half = theory.mean_interval(values, 0.9)
    sem = scipy.stats.sem(values)
    interval = scipy.stats.t.interval(0.9, len(values) - 1, np.mean(values), sem)
    assert (mean - half, mean + half) == pytest.approx(interval)


@pytest.mark.parametrize(
    ("difference", "spread", "seeds"), [(0.5, 0.5, 5), (-1.0, 0.7, 3), (0.2, 1.0, 30)]
)
def test_power(difference, spread, seeds):
    x = np.random.default_rng(0).normal(abs(difference), spread, size=(50_000, seeds))
    half = scipy.stats.t.ppf(0.975, seeds - 1) * x.std(1, ddof=1) / math.sqrt(seeds)
    resolved = (x.mean(1) > half).mean()
    power = theory.power(difference, spread, seeds)
    assert power == pytest.approx(resolved, abs=0.01)


@given(st.floats(0.3, 3), st.floats(0.3, 1.5), st.floats(0.5, 0.95))
def test_seeds_needed_are_enough_and_no_more(difference, spread, chance):
    seeds = theory.seeds_needed(difference, spread, chance)
    assert theory.power(difference, spread, seeds) >= chance
    assert seeds == 2 or theory.power(difference, spread, seeds - 1) < chance
    with pytest.raises(ValueError, match="difference"):
        theory.seeds_needed(0, spread)
