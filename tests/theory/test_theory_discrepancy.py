"""Chapter 1's closed forms, against sums, simulations and autograd."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dfkd_lib import theory
from dfkd_lib.losses import DISCREPANCIES, mae

SEEDS = st.integers(0, 2**32)


def logits(seed, images=4, classes=6):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(2, images, classes)) * rng.uniform(0.1, 5)


@given(SEEDS)
def test_discrepancy_averages_to_the_loss(seed):
    teacher, student = logits(seed)
    loss = mae(torch.tensor(teacher), torch.tensor(student)).item()
    assert theory.discrepancy(teacher, student).mean() == pytest.approx(loss)


@given(SEEDS, st.integers(2, 12))
def test_the_gap_is_a_covariance(seed, cells):
    """On finitely many cells both are sums; the estimate is n/(n−1) times the sum."""
    rng = np.random.default_rng(seed)
    p_g, d = rng.dirichlet(np.ones(cells)), rng.exponential(size=cells)
    found = theory.covariance(p_g * cells, d)[0] * (cells - 1) / cells
    assert found == pytest.approx(p_g @ d - d.mean(), abs=1e-12)


def test_standard_errors_are_the_spread_over_repetitions():
    rng = np.random.default_rng(0)
    w = rng.exponential(size=(2000, 400))
    d = np.sqrt(w) + rng.exponential(size=w.shape)  # skewed and correlated
    for estimate, other in ((theory.covariance, d), (theory.gap, d[:, :50])):
        pairs = zip(w, other, strict=True)
        values, errors = np.array([estimate(a, b) for a, b in pairs]).T
        assert np.sqrt((errors**2).mean()) == pytest.approx(values.std(), rel=0.1)


@pytest.mark.parametrize("name", DISCREPANCIES)
@given(SEEDS)
def test_logit_gradients_are_autograds(name, seed):
    teacher, student = logits(seed)
    s = torch.tensor(student, requires_grad=True)
    loss = DISCREPANCIES[name](torch.tensor(teacher), s)
    (loss * len(student)).backward()  # of one image's loss, not of the batch's mean
    ours = theory.logit_gradients(teacher, student)[name]
    np.testing.assert_allclose(ours, s.grad, atol=1e-12)


@given(SEEDS, st.integers(2, 8))
def test_orders_of_the_gradients_in_logits(seed, classes):
    q, v = np.random.default_rng(seed).normal(size=(2, 1, classes))
    v -= v.mean()  # KL is blind to a common shift
    v /= np.linalg.norm(v)
    r = np.geomspace(1e-6, 1e-4, 5)
    found = [theory.logit_gradients(q, q + size * v) for size in r]
    for name, order in {"mae": 0, "mse": 1, "kl": 1, "mse_mae": 0}.items():
        norms = [np.linalg.norm(g[name]) for g in found]
        slope, _ = np.polyfit(np.log(r), np.log(norms), 1)
        assert slope == pytest.approx(order, abs=2e-3)
    shifted = theory.logit_gradients(q, q + 30.0)["kl"]
    np.testing.assert_allclose(shifted, 0, atol=1e-12)
