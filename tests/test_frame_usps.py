"""USPS in MNIST's frame: the box, the centre, the file."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import center_of_mass

from tools import frame_usps


@given(
    top=st.integers(0, 8),
    left=st.integers(0, 8),
    height=st.integers(3, 8),
    width=st.integers(3, 8),
)
def test_a_rectangle_ends_in_a_box_of_20_pixels_around_the_centre(
    top, left, height, width
):
    digit = np.zeros((16, 16), np.uint8)
    digit[top : top + height, left : left + width] = 255
    made = frame_usps.framed(digit)
    assert made.shape == (28, 28) and made.dtype == np.uint8
    rows, columns = (np.flatnonzero(made.max(axis) > 127) for axis in (1, 0))
    sides = len(rows), len(columns)
    assert max(sides) == pytest.approx(20, abs=1)
    assert min(sides) == pytest.approx(
        20 * min(height, width) / max(height, width), abs=1.5
    )
    assert center_of_mass(made) == pytest.approx((13.5, 13.5), abs=0.1)


def test_an_empty_image_stays_empty():
    assert not frame_usps.framed(np.zeros((16, 16), np.uint8)).any()


def test_the_file(tmp_path, monkeypatch, capsys):
    random = np.random.default_rng(0)
    arrays = {
        f"x_{part}": random.integers(256, size=(3, 16, 16, 1), dtype=np.uint8)
        for part in ("train", "test")
    }
    arrays |= {f"y_{part}": np.arange(3) for part in ("train", "test")}
    monkeypatch.setenv("DFKD_OFFLINE", "1")
    monkeypatch.delenv("DFKD_DATA", raising=False)
    assert frame_usps.main() == 2
    assert "DFKD_DATA is not set" in capsys.readouterr().err
    monkeypatch.setenv("DFKD_DATA", str(tmp_path))
    assert frame_usps.main() == 2
    assert "usps.npz" in capsys.readouterr().err
    np.savez(tmp_path / "usps.npz", **arrays)
    assert frame_usps.main() == 0
    with np.load(tmp_path / "usps_framed.npz") as made:
        assert made["x_train"].shape == (3, 28, 28, 1) and made["y_test"].tolist() == [
            0,
            1,
            2,
        ]
        assert (
            made["x_train"][1, ..., 0]
            == frame_usps.framed(arrays["x_train"][1, ..., 0])
        ).all()
