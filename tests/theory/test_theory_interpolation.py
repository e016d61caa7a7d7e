"""Chapter 2's closed forms, against direct sums, quadrature and autograd."""

import math

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from dfkd_lib import theory
from dfkd_lib.losses import one_hot

SEEDS = st.integers(0, 2**32)


@given(st.integers(0, 12), SEEDS)
def test_bends_of_any_piecewise_affine_function_sum_to_its_gap(bends, seed):
    rng = np.random.default_rng(seed)
    t = np.sort(rng.uniform(size=bends))
    at = np.concatenate([[0.0], t, [1.0]])
    if np.diff(at).min() < 1e-6:
        return
    values, lam = rng.normal(size=(bends + 2, 3)), rng.uniform(size=50)
    here = np.stack([np.interp(lam, at, column) for column in values.T], 1)
    gap = lam[:, None] * values[-1] + (1 - lam[:, None]) * values[0] - here
    changes = theory.slope_changes(t, values)
    # Slopes are differences over short intervals: rounding is relative to the largest.
    close = 1e-13 * (1 + np.abs(changes).sum())
    np.testing.assert_allclose(theory.gap_of_bends(lam, t, changes), gap, atol=close)


@given(st.integers(2, 10), st.floats(0.1, 30), SEEDS)
def test_one_hot_gradient_and_what_it_does_to_margins(classes, size, seed):
    x = size * np.random.default_rng(seed).normal(size=(4, classes))
    logits = torch.tensor(x, requires_grad=True)
    one_hot(logits).backward()
    gradient = theory.one_hot_gradient(x)
    np.testing.assert_allclose(gradient, 4 * logits.grad.numpy(), atol=1e-12)
    p = logits.detach().softmax(1).amax(1).numpy()
    norms = np.linalg.norm(gradient, axis=1)
    assert (norms <= math.sqrt(2) * (1 - p) + 1e-12).all()
    rates = gradient - gradient[range(4), x.argmax(1)][:, None]  # of each margin
    assert (rates > -1e-12).all()
