"""Chapter 4's closed forms, against direct sums and brute force."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfkd_lib import theory

SEEDS = st.integers(0, 2**32)
counts = st.integers(1, 60)


def distributions(seed, points, number=2):
    return np.random.default_rng(seed).dirichlet(np.ones(points), size=number)


def joints(seed, images, classes):
    return distributions(seed, images * classes).reshape(2, images, classes)


@given(SEEDS, st.integers(1, 9))
def test_total_variation_is_the_largest_difference_of_any_event(seed, points):
    p, q = distributions(seed, points)
    events = itertools.product([0, 1], repeat=points)
    largest = max(abs((p - q) @ np.array(event)) for event in events)
    assert theory.tvd(p, q) == pytest.approx(largest, abs=1e-12)


@given(SEEDS, st.integers(1, 20), st.floats(0, 1))
def test_the_hybrid_lies_on_the_line_and_bounds_every_loss(seed, points, alpha):
    o, p, q = distributions(seed, points, 3)
    u = alpha * p + (1 - alpha) * q
    whole = float(theory.tvd(p, q))
    assert theory.tvd(u, q) == pytest.approx(alpha * whole, abs=1e-12)
    assert theory.tvd(u, p) == pytest.approx((1 - alpha) * whole, abs=1e-12)
    loss = np.random.default_rng(seed).uniform(0, 1, points)
    far = float(theory.tvd(o, p)) + (1 - alpha) * whole
    assert abs(loss @ (o - u)) <= far + 1e-12
    worst = (p > q).astype(float)  # attains it for O = P
    assert worst @ (p - u) == pytest.approx((1 - alpha) * whole, abs=1e-12)


@given(counts, counts, st.integers(1, 12), st.floats(0, 2), st.floats(0.2, 3))
def test_the_error_of_the_hybrids_mean(collected, synthetic, repeats, bias, spread):
    """Var(mean) = σ² Σ (how often / length)²; the least is at 1 + |D_s| (b/σ)²."""
    often = np.array([repeats] * collected + [1] * synthetic)
    effective = 1 / ((often / often.sum()) ** 2).sum()
    found = theory.effective_size(collected, synthetic, repeats)
    assert found == pytest.approx(effective)

    def error(n):
        return theory.mean_error(collected, synthetic, n, bias, spread)

    share = repeats * collected / often.sum()
    by_hand = ((1 - share) * bias) ** 2 + spread**2 / effective
    assert error(repeats) == pytest.approx(by_hand)
    best = 1 + synthetic * (bias / spread) ** 2
    others = 0.0, 1.0, 0.5 * best, 2 * best
    assert all(error(best) <= error(n) + 1e-12 for n in others)


@given(SEEDS, st.integers(1, 5), st.integers(2, 4))
def test_the_class_term_is_the_divergence_and_its_two_parts(seed, images, classes):
    p, q = joints(seed, images, classes)
    by_hand = (q * np.log(q / p)).sum()
    assert theory.class_term(p, q) == pytest.approx(by_hand, abs=1e-12)
    assert theory.kl_divergence(q, p) == pytest.approx(by_hand, abs=1e-12)
    p_y, q_y = p.sum(0), q.sum(0)
    pairs = zip((q / q_y).T, (p / p_y).T, strict=True)
    within = q_y @ [theory.kl_divergence(*pair) for pair in pairs]
    of_labels = theory.kl_divergence(q_y, p_y)
    assert of_labels + within == pytest.approx(by_hand, abs=1e-12)


def classifier(seed, classes, width):
    rng = np.random.default_rng(seed)
    shapes = (30, width), (classes, width), classes
    return [rng.normal(size=shape) for shape in shapes]


@given(SEEDS, st.integers(2, 6), st.integers(1, 5))
def test_within_the_radius_no_answer_changes_and_beyond_it_one_does(
    seed, classes, width
):
    features, weight, bias = classifier(seed, classes, width)
    radii = theory.feature_radius(features, weight, bias)
    rng = np.random.default_rng(seed)
    for x, radius in zip(features, radii, strict=True):
        logits = weight @ x + bias
        j = logits.argmax()
        for direction in rng.normal(size=(20, width)):
            moved = x + 0.999 * radius * direction / np.linalg.norm(direction)
            assert (weight @ moved + bias).argmax() == j
        ways = np.delete(weight - weight[j], j, axis=0)
        lengths = np.linalg.norm(ways, axis=1)
        distances = np.delete(logits[j] - logits, j) / lengths
        k = distances.argmin()
        assert distances[k] == pytest.approx(radius)
        beyond = x + (1.001 * radius + 1e-9) * ways[k] / lengths[k]
        assert (weight @ beyond + bias).argmax() != j


@given(SEEDS, st.integers(2, 6), st.integers(1, 5), st.floats(0, 2))
def test_the_guarantees_are_in_order(seed, classes, width, size):
    features, *layer = classifier(seed, classes, width)
    noise = np.random.default_rng(seed + 1).normal(size=features.shape)
    moved = features + size * noise
    crude = theory.norm_radius(features, *layer)
    sharp = theory.feature_radius(features, *layer)
    assert (crude <= sharp + 1e-12).all()
    one, other = ((x @ layer[0].T + layer[1]).argmax(1) for x in (features, moved))
    away = np.linalg.norm(moved - features, axis=1)
    assert (one == other)[away < sharp].all()
    bound = theory.disagreement_bound(sharp, float(away.mean()))
    assert (one != other).mean() <= bound + 1e-12 <= 1 + 1e-12


@given(SEEDS, st.floats(0, 3))
def test_the_bound_on_disagreement_by_brute_force(seed, mean_distance):
    radii = np.random.default_rng(seed).exponential(size=12)
    s = np.concatenate([np.linspace(1e-3, radii.max(), 4000), radii - 1e-12])
    least = min((radii <= v).mean() + mean_distance / v for v in s)
    bound = theory.disagreement_bound(radii, mean_distance)
    assert bound == pytest.approx(min(least, 1), abs=1e-6)
