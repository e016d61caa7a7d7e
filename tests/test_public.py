"""The names that `import dfkd_lib` offers, and that their annotations are checked."""

import pytest
import torch
from jaxtyping import TypeCheckError

import dfkd_lib
from dfkd_lib import losses, theory


def test_every_public_name_is_there_and_no_other():
    for name in dfkd_lib.__all__:
        assert getattr(dfkd_lib, name).__name__ == name and name in dir(dfkd_lib)
    with pytest.raises(AttributeError, match="no attribute 'distil'"):
        _ = dfkd_lib.distil


def test_a_wrong_shape_or_type_is_refused_while_tests_run():
    """Unchecked, (4, 10) and (4, 1) would broadcast, to a number that means nothing."""
    for call in (
        lambda: losses.mae(torch.zeros(4, 10), torch.zeros(4, 1)),
        lambda: losses.kl(torch.zeros(4), torch.zeros(4)),
        lambda: theory.white_ratio("0.95"),
    ):
        with pytest.raises(TypeCheckError):
            call()
    assert theory.white_ratio(0) == 1  # a whole number passes for a real one
