"""Annotations are checked while tests run: these shapes and types would otherwise pass unseen."""

import pytest
import torch
from jaxtyping import TypeCheckError

from dfkd_lib import theory
from dfkd_lib.losses import dfad
from dfkd_lib.models import LeNet5


def test_losses_refuse_logits_of_different_shapes():
    """Unchecked, (4, 10) and (4, 1) would broadcast, to a number that means nothing."""
    with pytest.raises(TypeCheckError):
        dfad.mae(torch.zeros(4, 10), torch.zeros(4, 1))


def test_networks_refuse_images_of_another_size():
    with pytest.raises(TypeCheckError):
        LeNet5()(torch.zeros(2, 1, 28, 28))


def test_plain_types_are_checked_and_whole_numbers_pass_for_real_ones():
    assert theory.white_ratio(0) == 1
    with pytest.raises(TypeCheckError):
        theory.white_ratio("0.95")
