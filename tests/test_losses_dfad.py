"""DFAD's losses against plain NumPy, and their gradients against finite differences."""

import numpy as np
import pytest
import torch
from hypothesis import given
from loss_checks import arrays, check_gradient, few, finite, huge, logits, tensors

from dfkd_lib.losses import dfad, mad

LOSSES = {
    dfad.mae: lambda r: np.abs(r).mean(),
    dfad.mse: lambda r: (r**2).mean(),
    dfad.mse_mae: lambda r: (r**2).mean() + np.abs(r).mean(),
    dfad.log_mae: lambda r: np.log(1 + np.abs(r).mean()),
}
all_losses = pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.__name__)


@all_losses
@given(pair=logits(least_classes=1))
def test_losses_of_logits(loss, pair):
    t, s = pair
    assert loss(*tensors(t, s)).item() == pytest.approx(LOSSES[loss](t - s))


@all_losses
@given(pair=arrays("b c h w", "b c h w"))
def test_losses_of_segmentation_logits(loss, pair):
    t, s = pair
    assert loss(*tensors(t, s)).item() == pytest.approx(LOSSES[loss](t - s))


@all_losses
@few
@given(pair=logits(least_classes=1))
def test_gradients(loss, pair):
    """Random logits keep away from MAE's kink."""
    check_gradient(loss, *pair)


@all_losses
def test_zero_at_equality(loss):
    (t,) = tensors(np.arange(6.0).reshape(2, 3))
    assert loss(t, t).item() == 0


@all_losses
def test_huge_logits_are_finite(loss):
    assert finite(loss, *huge())


@pytest.mark.parametrize("loss, power", [(dfad.mae, 0), (dfad.mse, 1), (mad.kl, 1)])
def test_gradients_near_agreement(loss, power):
    """Why MAE (DFAD Section 3.2.1): at a tenth of the residual, its gradient by the logits stays; others fade."""
    random = np.random.default_rng(0)
    t, direction = tensors(random.normal(size=(4, 5)), random.normal(size=(4, 5)))
    sizes = []
    for step in (1e-3, 1e-4):
        s = (t + step * direction).requires_grad_()
        sizes.append(torch.autograd.grad(loss(t, s), s)[0].norm().item())
    assert sizes[1] / sizes[0] == pytest.approx(0.1**power, rel=1e-2)


@given(logits(least_classes=1))
def test_log_mae_divides_maes_gradient(pair):
    t, s = tensors(*pair)
    s.requires_grad_()
    of_mae, of_log = (torch.autograd.grad(loss(t, s), s)[0] for loss in (dfad.mae, dfad.log_mae))
    torch.testing.assert_close(of_log, of_mae / (1 + dfad.mae(t, s)))


def test_the_candidates_of_figure_4():
    assert dfad.DISCREPANCIES == {"mae": dfad.mae, "mse": dfad.mse, "kl": mad.kl, "mse_mae": dfad.mse_mae}
