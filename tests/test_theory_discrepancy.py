"""Chapter 1's closed forms, each against a brute-force sum, a simulation, autograd, or the library's loss."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dfkd_lib import theory
from dfkd_lib.losses import dfad, mad

SEEDS = st.integers(0, 2**32)
LOSSES = {"mae": dfad.mae, "mse": dfad.mse, "kl": mad.kl, "mse_mae": dfad.mse_mae}


def logits(seed: int, images: int = 4, classes: int = 6) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(2, images, classes)) * rng.uniform(0.1, 5)


# --- the bound -------------------------------------------------------------------------------------------------------


@given(SEEDS)
def test_discrepancy_averages_to_the_loss(seed):
    teacher, student = logits(seed)
    assert theory.discrepancy(teacher, student).mean() == pytest.approx(
        dfad.mae(torch.tensor(teacher), torch.tensor(student)).item()
    )


@given(SEEDS, st.integers(2, 12))
def test_the_gap_is_a_covariance(seed, cells):
    """On finitely many equal cells both sides are sums; the estimate is the population's, times n/(n−1)."""
    rng = np.random.default_rng(seed)
    p_g, d = rng.dirichlet(np.ones(cells)), rng.exponential(size=cells)
    w = p_g * cells
    exact = sum(p_g[i] * d[i] for i in range(cells)) - sum(d) / cells
    assert theory.covariance(w, d)[0] * (cells - 1) / cells == pytest.approx(exact, abs=1e-12)


@given(SEEDS, st.integers(2, 12))
def test_a_ratio_that_does_not_fall_with_d_gives_the_bound(seed, cells):
    """Chebyshev's association inequality; and the same ratio turned round gives the opposite."""
    rng = np.random.default_rng(seed)
    w, d = np.sort(rng.dirichlet(np.ones(cells)) * cells), np.sort(rng.exponential(size=cells))
    assert theory.covariance(w, d)[0] >= -1e-12
    assert theory.covariance(w[::-1], d)[0] <= 1e-12


def test_standard_errors_are_the_spread_over_repetitions():
    """With skewed and correlated draws, over 2,000 repetitions of 400 draws each."""
    rng = np.random.default_rng(0)
    w = rng.exponential(size=(2000, 400))
    d = np.sqrt(w) + rng.exponential(size=w.shape)
    for estimate, pairs in ((theory.covariance, zip(w, d, strict=True)), (theory.gap, zip(w, d[:, :50], strict=True))):
        values, errors = np.array([estimate(a, b) for a, b in pairs]).T
        assert np.sqrt((errors**2).mean()) == pytest.approx(values.std(), rel=0.1)


def test_gap_has_the_generated_side_first():
    assert theory.gap(np.array([3.0, 5.0]), np.array([1.0, 2.0]))[0] == 2.5


@given(SEEDS, st.floats(0.05, 3))
def test_fold_stays_inside_and_moves_no_two_points_apart(seed, radius):
    x = np.random.default_rng(seed).normal(scale=5 * radius, size=20)
    folded = theory.fold(x, radius)
    assert np.abs(folded).max() <= radius * (1 + 1e-12)
    inside = np.abs(x) <= radius
    np.testing.assert_allclose(folded[inside], x[inside], atol=1e-9)
    for i, j in itertools.combinations(range(20), 2):
        assert abs(folded[i] - folded[j]) <= abs(x[i] - x[j]) + 1e-9


@given(SEEDS, st.floats(0.3, 1.5))
def test_folded_ratio_is_the_density_of_folded_points(seed, sigma):
    """Its mean over the box is one, and the share of a half that it gives is the share of the draws there."""
    rng = np.random.default_rng(seed)
    radius, centres = 1.5, rng.uniform(-1.5, 1.5, size=(3, 2))
    line = radius * ((2 * np.arange(60) + 1) / 60 - 1)
    box = np.stack(np.meshgrid(line, line), -1).reshape(-1, 2)
    w = theory.folded_ratio(box, centres, sigma, radius)
    assert w.mean() == pytest.approx(1, abs=1e-3)
    drawn = centres[rng.integers(3, size=20_000)] + sigma * rng.normal(size=(20_000, 2))
    share = (theory.fold(drawn, radius)[:, 0] > 0).mean()
    assert (w * (box[:, 0] > 0)).mean() == pytest.approx(share, abs=0.02)


# --- the gradients ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LOSSES)
@given(SEEDS)
def test_logit_gradients_are_autograds(name, seed):
    teacher, student = logits(seed)
    asked = torch.tensor(student, requires_grad=True)
    (LOSSES[name](torch.tensor(teacher), asked) * len(student)).backward()  # of one image's loss, not the batch's mean
    np.testing.assert_allclose(theory.logit_gradients(teacher, student)[name], asked.grad, atol=1e-12)


@given(SEEDS, st.integers(2, 8))
def test_orders_of_the_gradients_in_logits(seed, classes):
    rng = np.random.default_rng(seed)
    q, v = rng.normal(size=(2, 1, classes))
    v -= v.mean()  # along the ones KL does not move
    v /= np.linalg.norm(v)
    r = np.geomspace(1e-6, 1e-4, 5)
    norms = {n: [np.linalg.norm(theory.logit_gradients(q, q + s * v)[n]) for s in r] for n in LOSSES}
    slopes = {n: theory.slope(r, np.array(y)) for n, y in norms.items()}
    assert slopes == pytest.approx({"mae": 0, "mse": 1, "kl": 1, "mse_mae": 0}, abs=2e-3)
    np.testing.assert_allclose(norms["mae"], math.sqrt(classes) / classes)
    np.testing.assert_allclose(norms["mse"], 2 * r / classes, rtol=1e-6)
    expected = np.linalg.norm(theory.kl_curvature(theory.softmax(q)[0]) @ v[0])
    np.testing.assert_allclose(norms["kl"], r * expected, rtol=1e-2)


@given(SEEDS, st.floats(-50, 50))
def test_kl_does_not_see_a_shift_of_all_logits(seed, shift):
    teacher, _ = logits(seed)
    np.testing.assert_allclose(theory.logit_gradients(teacher, teacher + shift)["kl"], 0, atol=1e-12)


@given(SEEDS, st.floats(0.1, 40))
def test_kls_curvature_vanishes_with_the_teachers_doubt(seed, scale):
    p = theory.softmax(scale * np.random.default_rng(seed).normal(size=(1, 7)))[0]
    largest = np.linalg.eigvalsh(theory.kl_curvature(p))[-1]
    assert largest <= 2 * (1 - p.max()) + 1e-12


@given(SEEDS)
def test_far_away_kl_and_mae_are_bounded_and_mse_is_not(seed):
    teacher, student = logits(seed, images=1)
    far = {n: np.linalg.norm(g) for n, g in theory.logit_gradients(teacher, teacher + 1e4 * student).items()}
    assert far["kl"] <= math.sqrt(2) and far["mae"] <= 1 / math.sqrt(6) + 1e-12
    assert far["mse"] == pytest.approx(2e4 * np.linalg.norm(student) / 6)


@given(st.floats(-3, 3), st.floats(0.1, 10))
def test_slope_finds_the_power(power, factor):
    x = np.geomspace(0.1, 10, 7)
    assert theory.slope(x, factor * x**power) == pytest.approx(power, abs=1e-9)
