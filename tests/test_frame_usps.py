"""USPS in MNIST's frame: the box, the centre, the file."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import center_of_mass

from tools import frame_usps

places, sides = st.integers(0, 8), st.integers(3, 8)


@given(top=places, left=places, height=sides, width=sides)
def test_a_rectangle_ends_in_a_box_of_20_pixels_around_the_centre(
    top, left, height, width
):
    digit = np.zeros((16, 16), np.uint8)
    assert not frame_usps.framed(digit).any()
    digit[top : top + height, left : left + width] = 255
    made = frame_usps.framed(digit)
    assert made.shape == (28, 28) and made.dtype == np.uint8
    short, long = sorted(len(np.flatnonzero(made.max(axis) > 127)) for axis in (0, 1))
    ratio = min(height, width) / max(height, width)
    assert (long, short) == pytest.approx((20, 20 * ratio), abs=1.5)
    assert center_of_mass(made) == pytest.approx((13.5, 13.5), abs=0.1)


def test_the_file(tmp_path, monkeypatch, capsys):
    assert frame_usps.main() == 2
    assert "DFKD_DATA is not set" in capsys.readouterr().err
    monkeypatch.setenv("DFKD_DATA", str(tmp_path))
    assert frame_usps.main() == 2
    assert "usps.npz" in capsys.readouterr().err
    x = np.random.default_rng(0).integers(256, size=(3, 16, 16, 1), dtype=np.uint8)
    y = np.arange(3)
    np.savez(tmp_path / "usps.npz", x_train=x, y_train=y, x_test=x[:1], y_test=y[:1])
    assert frame_usps.main() == 0
    with np.load(tmp_path / "usps_framed.npz") as made:
        assert made["y_train"].tolist() == [0, 1, 2]
        assert made["x_test"].shape == (1, 28, 28, 1)
        assert (made["x_train"][1, ..., 0] == frame_usps.framed(x[1, ..., 0])).all()
