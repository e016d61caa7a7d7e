"""Chapter 0's closed forms, each against autograd, a known value, a simulation or an enumeration."""

import itertools
import math

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dfkd_lib import theory
from dfkd_lib.losses import baselines

SEEDS = st.integers(0, 2**32)


def logits(seed: int, classes: int, scale: float) -> tuple[np.ndarray, np.ndarray]:
    return tuple(scale * np.random.default_rng(seed).normal(size=(2, 3, classes)))


# --- temperature -----------------------------------------------------------------------------------------------------


@given(SEEDS, st.integers(2, 12), st.floats(0.1, 20), st.floats(0.5, 100))
def test_kd_gradient_is_autograds(seed, classes, scale, temperature):
    teacher, student = logits(seed, classes, scale)
    s = torch.tensor(student, requires_grad=True)
    baselines.kd(torch.tensor(teacher), s, temperature).backward()
    np.testing.assert_allclose(theory.kd_gradient(teacher, student, temperature), 3 * s.grad, atol=1e-9)


@given(SEEDS, st.integers(2, 12), st.floats(0.1, 20), st.floats(0.5, 1e4))
def test_centred_gap_is_near_the_gradient(seed, classes, scale, temperature):
    teacher, student = logits(seed, classes, scale)
    largest = max(np.abs(x - x.mean(1, keepdims=True)).max() for x in (teacher, student))
    gap = theory.kd_gradient(teacher, student, temperature) - theory.centred_gap(teacher, student)
    # The rounding of probabilities near 1 / C is blown up by the temperature.
    assert np.abs(gap).max() <= theory.centred_gap_error(largest, classes, temperature) + 1e-15 * temperature


@given(SEEDS, st.integers(2, 12))
def test_centred_gap_is_the_gradient_of_the_centred_squared_error(seed, classes):
    teacher, student = (torch.tensor(x) for x in logits(seed, classes, 3))
    student.requires_grad_()
    centred = [x - x.mean(1, keepdim=True) for x in (teacher, student)]
    ((centred[0] - centred[1]).square().sum() / (2 * classes)).backward()
    np.testing.assert_allclose(theory.centred_gap(teacher.numpy(), student.detach().numpy()), student.grad, atol=1e-12)


@given(SEEDS, st.integers(2, 12), st.floats(0.1, 20))
def test_entropy(seed, classes, scale):
    x, _ = logits(seed, classes, scale)
    p = np.exp(x - x.max(1, keepdims=True))
    expected = scipy.stats.entropy(p, axis=1)  # it normalises
    np.testing.assert_allclose(theory.entropy(x), expected, atol=1e-9)


def test_entropy_of_certainty_is_zero():
    assert theory.entropy(np.array([[2000.0, 0, 0]])) == pytest.approx(0)


# --- the best of several tests ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tests", "expected"),
    [(1, 0), (2, 1 / math.sqrt(math.pi)), (3, 1.5 / math.sqrt(math.pi)), (100, 2.50759), (1000, 3.24144)],
)
def test_best_of_known_values(tests, expected):
    assert theory.best_of(tests) == pytest.approx(expected, abs=1e-5)


@given(st.integers(2, 5000))
def test_best_of_grows_below_its_bound(tests):
    assert theory.best_of(tests - 1) < theory.best_of(tests) <= math.sqrt(2 * math.log(tests))


@settings(max_examples=10)
@given(st.integers(1, 30), st.floats(0, 1), SEEDS)
def test_best_of_correlated_tests(tests, correlation, seed):
    rng = np.random.default_rng(seed)
    common, own = rng.normal(size=(20_000, 1)), rng.normal(size=(20_000, tests))
    best = (math.sqrt(correlation) * common + math.sqrt(1 - correlation) * own).max(1)
    assert theory.best_of(tests, correlation) == pytest.approx(best.mean(), abs=0.05)


# --- seeds -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seeds", [2, 3, 5, 20])
def test_normal_coverage(seeds):
    x = np.random.default_rng(0).normal(size=(200_000, seeds))
    held = np.abs(x.mean(1)) <= 1.959964 * x.std(1, ddof=1) / math.sqrt(seeds)
    assert theory.normal_coverage(seeds) == pytest.approx(held.mean(), abs=0.005)


@pytest.mark.parametrize(("difference", "spread", "seeds"), [(0.5, 0.5, 5), (-1.0, 0.7, 3), (0.2, 1.0, 30)])
def test_power(difference, spread, seeds):
    x = abs(difference) + spread * np.random.default_rng(0).normal(size=(50_000, seeds))
    half = scipy.stats.t.ppf(0.975, seeds - 1) * x.std(1, ddof=1) / math.sqrt(seeds)
    assert theory.power(difference, spread, seeds) == pytest.approx((x.mean(1) > half).mean(), abs=0.01)


@given(st.floats(0.3, 3), st.floats(0.3, 1.5), st.floats(0.5, 0.95))
def test_seeds_needed_are_enough_and_no_more(difference, spread, chance):
    seeds = theory.seeds_needed(difference, spread, chance)
    assert theory.power(difference, spread, seeds) >= chance
    assert seeds == 2 or theory.power(difference, spread, seeds - 1) < chance


# --- test images -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("right", "images"), [(0.97, 450), (0.5, 100), (0.9, 10)])
def test_accuracy_error_is_the_binomials(right, images):
    expected = 100 * scipy.stats.binom(images, right).std() / images
    assert theory.accuracy_error(100 * right, images) == pytest.approx(expected)


@pytest.mark.parametrize(("only_a", "only_b"), [(0.02, 0.01), (0.1, 0.1), (0.0, 0.3)])
def test_difference_error_by_enumeration(only_a, only_b):
    """Every outcome of four images: both, only a, or only b right."""
    chances, values = (only_a, only_b, 1 - only_a - only_b), (1, -1, 0)
    outcomes = list(itertools.product(range(3), repeat=4))
    chance = np.array([math.prod(chances[i] for i in outcome) for outcome in outcomes])
    mean = np.array([100 * sum(values[i] for i in outcome) / 4 for outcome in outcomes])
    variance = chance @ mean**2 - (chance @ mean) ** 2
    got = theory.difference_error(100 * (only_a + only_b), 100 * (only_a - only_b), 4)
    assert got == pytest.approx(math.sqrt(variance))


@given(st.floats(0.1, 2), st.floats(2.5, 20), st.floats(0.5, 0.95))
def test_images_needed_are_enough_and_no_more(difference, discordant, chance):
    """The estimate is normal around the difference; its interval is above zero if it exceeds 1.96 errors."""

    def seen(images):
        error = theory.difference_error(discordant, difference, images)
        return scipy.stats.norm.sf(scipy.stats.norm.ppf(0.975) * error, loc=difference, scale=error)

    images = theory.images_needed(difference, discordant, chance)
    assert seen(images) >= chance - 1e-9
    assert images == 1 or seen(images - 1) < chance


def test_images_needed_see_it_in_four_of_five_experiments():
    images = theory.images_needed(1, 6)
    counts = np.random.default_rng(0).multinomial(images, [0.035, 0.025, 0.94], size=50_000)
    gap = (counts[:, 0] - counts[:, 1]) / images
    error = np.sqrt((counts[:, :2].sum(1) / images - gap**2) / images)
    assert (gap > 1.96 * error).mean() == pytest.approx(0.8, abs=0.01)


def test_no_number_of_seeds_finds_nothing():
    with pytest.raises(ValueError, match="difference"):
        theory.seeds_needed(0, 1)
