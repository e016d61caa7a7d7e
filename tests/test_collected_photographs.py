"""Photographs cut into pieces, and how many collected images each class is given."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfkd_lib.collected import allot, collect
from dfkd_lib.data import resize
from dfkd_lib.errors import UserError
from dfkd_lib.photographs import SIDES, STRIDE, Photographs

# --- photographs -----------------------------------------------------------------------------------------------------


def test_pieces_of_photographs():
    from sklearn.datasets import load_sample_images

    pieces, images = Photographs(32), load_sample_images().images
    assert pieces.shape == (len(pieces), 32, 32, 3) and len(pieces) > 60_000  # enough for all of MNIST
    windows = {pieces.window(number) for number in range(len(pieces))}
    assert len(windows) == len(pieces)
    for number in (0, 1, 5000, len(pieces) - 1):
        photograph, top, left, side = pieces.window(number)
        cut = images[photograph][top : top + side, left : left + side]
        assert cut.shape == (side, side, 3) and top % STRIDE == left % STRIDE == 0
        np.testing.assert_array_equal(pieces[np.array([number])][0], resize(cut[None], 32)[0])
    several = np.array([len(pieces) - 1, 0, 60_000, 5000, 1])  # of mixed sizes
    for number, piece in zip(several, pieces[several], strict=True):
        np.testing.assert_array_equal(piece, pieces[np.array([number])][0])
    assert {window[0] for window in windows} == {0, 1} and {window[3] for window in windows} == set(SIDES)
    with pytest.raises(IndexError):
        pieces.window(len(pieces))


def test_photographs_for_digits(digits):
    got = collect("photographs", digits, ratio=1.0)
    assert got.x.shape == digits.x_train.shape and got.y is None and got.x.std() > 30
    assert got.record["count"] == len(digits.x_train)
    with pytest.raises(UserError, match="no categories"):
        collect("photographs", digits, by="category")


# --- counts ----------------------------------------------------------------------------------------------------------


@given(
    st.lists(st.tuples(st.floats(0.01, 100), st.integers(0, 40)), min_size=1, max_size=12),
    st.floats(0, 1),
)
def test_allotted_counts(classes, share):
    shares, available = np.array([s for s, _ in classes]), np.array([n for _, n in classes])
    total = int(share * available.sum())
    given_out = allot(shares, available, total)
    assert given_out.sum() == total and (given_out >= 0).all() and (given_out <= available).all()
    ideal = total * shares / shares.sum()
    if (ideal <= available).all():
        assert np.abs(given_out - ideal).max() < 1


def test_what_a_class_lacks_goes_to_the_others_in_proportion():
    assert allot(np.array([1.0, 1.0, 1.0]), np.array([2, 50, 50]), 30).tolist() == [2, 14, 14]
    assert allot(np.array([2.0, 1.0, 1.0]), np.array([50, 0, 50]), 30).tolist() == [20, 0, 10]
    assert allot(np.array([1.0, 1.0]), np.array([3, 4]), 7).tolist() == [3, 4]
