"""Chapter 4's closed forms on mixtures, Eq. 7, slopes, the shared classifier: against direct sums and brute force."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize

from dfkd_lib import theory
from dfkd_lib.losses import hidfd

SEEDS = st.integers(0, 2**32)
share = st.floats(0, 1)


def distributions(seed: int, points: int, number: int = 2) -> np.ndarray:
    return np.random.default_rng(seed).dirichlet(np.ones(points), size=number)


def joint(seed: int, images: int, classes: int) -> np.ndarray:
    return distributions(seed, images * classes, 1).reshape(images, classes)


# --- the hybrid data -------------------------------------------------------------------------------------------------


@given(SEEDS, st.integers(1, 9))
def test_total_variation_is_the_largest_difference_of_any_event(seed, points):
    p, q = distributions(seed, points)
    events = itertools.product([0, 1], repeat=points)
    largest = max(abs((p - q) @ np.array(event)) for event in events)
    assert theory.tvd(p, q) == pytest.approx(largest, abs=1e-12)


@given(SEEDS, st.integers(1, 20), share)
def test_the_hybrid_lies_on_the_line(seed, points, alpha):
    p, q = distributions(seed, points)
    u = theory.hybrid(p, q, np.array([alpha]))[0]
    assert u.sum() == pytest.approx(1)
    whole = float(theory.tvd(p, q))
    assert theory.tvd(u, q) == pytest.approx(alpha * whole, abs=1e-12)
    assert theory.tvd(u, p) == pytest.approx((1 - alpha) * whole, abs=1e-12)
    bound = theory.tvd_bound(np.array([alpha]), whole)[0]
    assert bound == pytest.approx(theory.tvd(u, p) + whole, abs=1e-12)  # it is the triangle's, as in the paper
    assert bound >= theory.tvd(u, q) - 1e-12


def test_disjoint_samples_are_at_distance_one_whatever_they_are_of():
    p, q = np.array([0.5, 0.5, 0, 0]), np.array([0, 0, 0.5, 0.5])
    assert theory.tvd(p, q) == 1


@given(SEEDS, st.integers(1, 9), share)
def test_losses_differ_by_no_more_than_the_bound_and_some_by_as_much(seed, points, alpha):
    rng = np.random.default_rng(seed)
    o, p, q = distributions(seed, points, 3)
    u = alpha * p + (1 - alpha) * q
    loss = rng.uniform(-3, 5, points)
    width = float(np.ptp(loss))
    d_pq, d_op = float(theory.tvd(p, q)), float(theory.tvd(o, p))
    assert abs(loss @ (p - u)) <= theory.loss_gap_bound(alpha, width, d_pq) + 1e-12
    assert abs(loss @ (o - u)) <= theory.loss_gap_bound(alpha, width, d_pq, d_op) + 1e-12
    worst = (p > q).astype(float)  # range one
    assert worst @ (p - u) == pytest.approx(theory.loss_gap_bound(alpha, 1.0, d_pq), abs=1e-12)


def test_synthetic_data_can_bring_the_hybrid_nearer_to_the_teachers_own():
    """P lacks what Q has: the best share is inside, though P's bound asks for one."""
    o, p, q = np.array([0.5, 0.5]), np.array([1.0, 0.0]), np.array([0.2, 0.8])
    alpha = np.linspace(0, 1, 101)
    far = theory.tvd(theory.hybrid(p, q, alpha), o)
    assert far[alpha.searchsorted(0.375)] < 0.01 < min(far[0], far[-1])


# --- inflation -------------------------------------------------------------------------------------------------------

counts = st.integers(1, 60)


@given(counts, counts, st.integers(1, 12))
def test_the_effective_size_is_that_of_the_repeated_list(collected, synthetic, repeats):
    """Var(mean) = Σ (how often / length)², for losses of variance one."""
    often = np.array([repeats] * collected + [1] * synthetic)
    length = often.sum()
    assert theory.inflated_share(collected, synthetic, repeats) == pytest.approx(repeats * collected / length)
    effective = theory.effective_size(collected, synthetic, repeats)
    assert effective == pytest.approx(1 / ((often / length) ** 2).sum())
    assert effective <= collected + synthetic + 1e-9


def test_effective_size_by_simulation():
    rng = np.random.default_rng(0)
    losses = rng.normal(size=(20_000, 5 + 20))
    means = (3 * losses[:, :5].sum(1) + losses[:, 5:].sum(1)) / 35
    assert 1 / means.var() == pytest.approx(theory.effective_size(5, 20, 3), rel=0.05)


@given(counts, counts, st.floats(0, 2), st.floats(0.2, 3))
def test_the_best_inflation_minimises_the_error(collected, synthetic, bias, spread):
    best = theory.best_inflation(synthetic, bias, spread)
    least = theory.mean_error(collected, synthetic, best, bias, spread)
    for other in (0.0, 1.0, *(best * np.geomspace(0.3, 3, 21))):
        assert least <= theory.mean_error(collected, synthetic, other, bias, spread) + 1e-12
    alpha = theory.inflated_share(collected, synthetic, best)
    error = ((1 - alpha) * bias) ** 2 + spread**2 * (alpha**2 / collected + (1 - alpha) ** 2 / synthetic)
    assert least == pytest.approx(error)


# --- Eq. 1 and 7 -----------------------------------------------------------------------------------------------------


@given(SEEDS, st.integers(1, 5), st.integers(2, 4))
def test_the_optimal_classifier_beats_any_other(seed, images, classes):
    rng = np.random.default_rng(seed)
    p, q = joint(seed, images, classes), joint(seed + 1, images, classes)
    real, fake = theory.optimal_classifier(p, q)
    np.testing.assert_allclose((real + fake).sum(1), 1)
    best = (p * np.log(real)).sum() + (q * np.log(fake)).sum()
    for other in rng.dirichlet(np.ones(2 * classes), size=(20, images)):
        assert (p * np.log(other[:, :classes])).sum() + (q * np.log(other[:, classes:])).sum() <= best + 1e-12


@given(SEEDS, st.integers(1, 5), st.integers(2, 4))
def test_the_class_term_is_the_divergence_and_its_two_parts(seed, images, classes):
    p, q = joint(seed, images, classes), joint(seed + 1, images, classes)
    by_hand = (q * np.log(q / p)).sum()
    assert theory.class_term(p, q) == pytest.approx(by_hand, abs=1e-12)
    assert theory.kl_divergence(q, p) == pytest.approx(by_hand, abs=1e-12)
    of_labels, within = theory.class_parts(p, q)
    assert of_labels + within == pytest.approx(by_hand, abs=1e-12)
    assert of_labels == pytest.approx((q.sum(0) * np.log(q.sum(0) / p.sum(0))).sum(), abs=1e-12)


def test_divergences_are_infinite_where_one_has_no_mass():
    p, q = np.array([[0.5, 0.0], [0.25, 0.25]]), np.array([[0.25, 0.25], [0.25, 0.25]])
    assert theory.kl_divergence(q, p) == theory.class_term(p, q) == math.inf
    assert math.isfinite(theory.kl_divergence(p, q))
    assert theory.kl_divergence(p, p) == 0


@given(SEEDS, st.floats(0.05, 0.95))
def test_brute_force_over_the_generator_copies_each_class_whatever_the_labels(seed, label_share):
    """Two images, two classes: the least class term is at Q_{X|Y} = P_{X|Y}, and is KL(Q_Y ‖ P_Y)."""
    p = 0.02 + 0.92 * joint(seed, 2, 2)
    q_y = np.array([label_share, 1 - label_share])
    grid = (np.arange(30) + 0.5) / 30
    grid_terms = [
        (theory.class_term(p, np.array([[s, t], [1 - s, 1 - t]]) * q_y), s, t) for s, t in itertools.product(grid, grid)
    ]
    least, s, t = min(grid_terms)
    wanted = p[0] / p.sum(0)
    assert [s, t] == pytest.approx(wanted, abs=1 / 30)
    p_y = p.sum(0)
    best = theory.class_term(p / p_y * p_y, p / p_y * q_y)
    assert best == pytest.approx((q_y * np.log(q_y / p_y)).sum(), abs=1e-12) and best <= least


def test_the_printed_sign_of_equation_1_has_no_lower_bound():
    """Down to −t per class term as its logit falls by t; mended, no logit does better than the entropy."""
    y, zeros = torch.tensor([0, 1]), torch.zeros(2, 4, dtype=torch.float64)
    for size in (10.0, 100.0, 1000.0):
        real, fake = zeros.clone(), zeros.clone()
        real[[0, 1], y], fake[[0, 1], y + 2] = -size, -size
        printed = -hidfd.class_discriminator(real, y, fake, y)
        assert printed.item() < -2 * size < 0


@given(SEEDS, st.integers(2, 5), st.integers(2, 4))
def test_pairs_of_one_class_make_every_class_count_alike(seed, images, classes):
    """The classifier learned with Q_Y = P_Y, met with classes drawn alike."""
    rng = np.random.default_rng(seed)
    p_y = rng.dirichlet(np.ones(classes))
    p, q = rng.dirichlet(np.ones(images), size=(2, classes)).transpose(0, 2, 1)
    real, fake = theory.optimal_classifier(p * p_y, q * p_y)
    met = (q / classes * np.log(fake / real)).sum()
    assert met == pytest.approx(np.mean([theory.kl_divergence(q[:, y], p[:, y]) for y in range(classes)]), abs=1e-9)
    real, _ = theory.optimal_classifier(p * p_y, p * p_y)
    assert real.sum(1) == pytest.approx(np.full(images, 0.5))


@given(SEEDS, st.integers(1, 6))
def test_the_adversarial_term_is_what_the_best_discriminator_reaches(seed, images):
    p, q = distributions(seed, images)
    best = theory.adversarial_term(p, q)
    d = p / (p + q)
    assert best == pytest.approx((p * np.log(d) + q * np.log(1 - d)).sum(), abs=1e-12)
    for other in np.random.default_rng(seed).uniform(0.01, 0.99, (20, images)):
        assert (p * np.log(other) + q * np.log(1 - other)).sum() <= best + 1e-12


# --- slopes ----------------------------------------------------------------------------------------------------------


@given(st.floats(-12, 12))
def test_slopes_are_autograd_s(u):
    slopes = theory.generator_slopes(np.array([1 / (1 + math.exp(-u))]))
    for form in hidfd.GAN:
        logit = torch.tensor([u], dtype=torch.float64, requires_grad=True)
        hidfd.gan_generator(logit, form).backward()
        assert abs(logit.grad.item()) == pytest.approx(slopes[form][0], abs=1e-12), form
    classes = torch.tensor([[u, 1.0, -u, 0.3]], dtype=torch.float64, requires_grad=True)
    hidfd.class_generator(classes, torch.tensor([0])).backward()
    assert classes.grad.norm().item() == pytest.approx(slopes["classes"][0])


# --- feature integration ---------------------------------------------------------------------------------------------


@given(SEEDS, st.integers(1, 8), st.floats(0, 1))
def test_blending_does_not_move_the_best_features(seed, others, gate):
    """gate · E‖a − d‖ + ‖b − d‖ is least at d = b, for any points a and any gate up to one."""
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(others, 3)), rng.normal(size=3)

    def loss(d):
        return gate * np.linalg.norm(a - d, axis=1).mean() + np.linalg.norm(b - d)

    assert loss(b) <= optimize.minimize(loss, a.mean(0), method="Nelder-Mead").fun + 1e-9


# --- the shared classifier -------------------------------------------------------------------------------------------


def classifier(seed: int, classes: int, width: int):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(30, width)), rng.normal(size=(classes, width)), rng.normal(size=classes)


@given(SEEDS, st.integers(2, 6), st.integers(1, 5))
def test_within_the_radius_no_answer_changes_and_just_beyond_it_one_does(seed, classes, width):
    features, weight, bias = classifier(seed, classes, width)
    radii = theory.feature_radius(features, weight, bias)
    for x, radius in zip(features, radii, strict=True):
        logits = weight @ x + bias
        j = logits.argmax()
        for direction in np.random.default_rng(seed).normal(size=(20, width)):
            moved = x + 0.999 * radius * direction / np.linalg.norm(direction)
            assert (weight @ moved + bias).argmax() == j
        distances = [
            ((logits[j] - logits[k]) / np.linalg.norm(weight[j] - weight[k]), k) for k in range(classes) if k != j
        ]
        distance, k = min(distances)
        assert distance == pytest.approx(radius)
        towards = (weight[k] - weight[j]) / np.linalg.norm(weight[k] - weight[j])
        assert (weight @ (x + 1.001 * radius * towards + 1e-9 * towards) + bias).argmax() != j


@given(SEEDS, st.integers(2, 6), st.integers(1, 5), st.floats(0, 2))
def test_the_guarantees_are_in_order(seed, classes, width, size):
    features, weight, bias = classifier(seed, classes, width)
    moved = features + size * np.random.default_rng(seed + 1).normal(size=features.shape)
    crude, sharp = theory.norm_radius(features, weight, bias), theory.feature_radius(features, weight, bias)
    assert (crude <= sharp + 1e-12).all()
    gap = np.abs((moved - features) @ weight.T)
    away = np.linalg.norm(moved - features, axis=1)
    assert (gap <= np.linalg.norm(weight, axis=1) * away[:, None] + 1e-12).all()
    shares = theory.agreement(features, moved, weight, bias)
    assert shares["by_norms"] <= shares["by_distances"] <= shares["observed"]
    changed = 1 - shares["observed"]
    assert changed <= theory.disagreement_bound(sharp, float(away.mean())) + 1e-12 <= 1 + 1e-12


def test_two_equal_rows_share_a_logit_and_have_no_boundary():
    weight, bias = np.array([[1.0, 0], [1, 0], [0, 1]]), np.array([1.0, 0, 0])
    assert theory.feature_radius(np.array([[2.0, 0]]), weight, bias)[0] == pytest.approx(3 / math.sqrt(2))
    assert theory.feature_radius(np.array([[2.0, 0]]), weight, np.zeros(3))[0] == 0  # tied: nothing is guaranteed


@given(SEEDS, st.floats(0, 3))
def test_the_bound_on_disagreement_by_brute_force(seed, mean_distance):
    radii = np.random.default_rng(seed).exponential(size=12)
    s = np.concatenate([np.linspace(1e-3, radii.max(), 4000), radii - 1e-12])
    by_hand = min(((radii <= v).mean() + mean_distance / v) for v in s)
    assert theory.disagreement_bound(radii, mean_distance) == pytest.approx(min(by_hand, 1), abs=1e-6)
