"""Annotations are checked while tests run: wrong shapes would otherwise pass unseen."""

import pytest
import torch
from jaxtyping import TypeCheckError

from dfkd_lib import losses, theory


@pytest.mark.parametrize(
    "call",
    [
        # unchecked, (4, 10) and (4, 1) would broadcast, to a number that means nothing
        lambda: losses.mae(torch.zeros(4, 10), torch.zeros(4, 1)),
        lambda: losses.kl(torch.zeros(4), torch.zeros(4)),
        lambda: theory.white_ratio("0.95"),
    ],
)
def test_a_wrong_shape_or_type_is_refused(call):
    with pytest.raises(TypeCheckError):
        call()
    assert theory.white_ratio(0) == 1  # a whole number passes for a real one
