"""One's own data by name, constants computed from pixels, and images that are resized."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from data_files import empty_folder, pixels, refusal, write_images, write_npz

from dfkd_lib import data as data_module
from dfkd_lib.catalogue import DATASETS
from dfkd_lib.data import load_dataset, moments, resize
from dfkd_lib.errors import UserError
from dfkd_lib.layouts import ImageFiles
from dfkd_lib.sources import known_dataset


@pytest.fixture
def root(monkeypatch, tmp_path) -> Path:
    return empty_folder(monkeypatch, tmp_path)


def test_ones_own_npz(root):
    (root / "leaves").mkdir()  # without a folder train: no data set
    with pytest.raises(UserError):
        known_dataset("dataset", "leaves")
    made = write_npz(root / "leaves.npz", size=20, channels=3, classes=4, train=50)
    assert known_dataset("dataset", "leaves") == "leaves"
    data = load_dataset("leaves")
    np.testing.assert_array_equal(data.x_train, made["x_train"])  # at its own size
    assert data.num_classes == 4 and data.classes == ()
    np.testing.assert_allclose(data.mean, (made["x_train"] / 255).mean((0, 1, 2)), rtol=1e-12)
    np.testing.assert_allclose(data.std, (made["x_train"] / 255).std((0, 1, 2)), rtol=1e-12)


def test_names_of_classes_are_read(root):
    np.savez(root / "leaves.npz", **write_npz(root / "leaves.npz", classes=2), classes=np.array(["oak", "ash"]))
    assert load_dataset("leaves").classes == ("oak", "ash")


def test_an_image_of_one_value_cannot_be_normalised(root):
    made = write_npz(root / "leaves.npz")
    np.savez(root / "leaves.npz", **made | {"x_train": np.zeros_like(made["x_train"])})
    assert "leaves.npz" in (message := refusal("leaves")) and "same value" in message


def test_moments_of_many_images_go_in_parts(monkeypatch):
    monkeypatch.setattr(data_module, "_CHUNK", 7)
    x = pixels(20, 5, 4, 3)
    mean, std = moments(x)
    np.testing.assert_allclose(mean, (x / 255).mean((0, 1, 2)), rtol=1e-12)
    np.testing.assert_allclose(std, (x / 255).std((0, 1, 2)), rtol=1e-12)


def test_moments_of_image_files_are_those_of_a_sample(monkeypatch, tmp_path):
    write_images(tmp_path, ["a"], each=9)
    files = ImageFiles(tuple(str(tmp_path / "a" / f"{k}.png") for k in range(9)), 3, 32, 32)
    assert moments(files)[0] == pytest.approx([4 / 255] * 3)
    monkeypatch.setattr(data_module, "_SAMPLE", 2)  # the first and the last: grey levels 0 and 8
    assert moments(files)[1] == pytest.approx([4 / 255] * 3)


# --- resizing --------------------------------------------------------------------------------------------------------


def test_mnists_pixels_are_those_its_teacher_was_trained_on():
    x = np.random.default_rng(0).integers(256, size=(5, 28, 28, 1), dtype=np.uint8)
    assert hashlib.sha256(resize(x, 32).tobytes()).hexdigest().startswith("4e42b0bfb2ec5282")


def test_resizing_interpolates_between_pixel_centres():
    ramp = np.arange(0, 160, 10, dtype=np.uint8)  # 16 pixels
    x = np.broadcast_to(ramp, (2, 16, 16))[..., None].copy()
    centres = (np.arange(32) + 0.5) / 2 - 0.5
    expected = np.interp(centres, np.arange(16), ramp)
    assert np.abs(resize(x, 32)[1, 5, :, 0] - expected).max() <= 0.5
    assert np.abs(resize(x, 8)[0, 3, :, 0].astype(float)[1:-1] - (ramp[2:-2:2] + 5)).max() <= 0.5


def test_shrinking_averages_and_does_not_skip():
    x = np.zeros((1, 64, 64, 3), np.uint8)
    x[:, ::2] = 200  # stripes of one pixel: skipped, they would give 0 or 200
    assert np.abs(resize(x, 32)[:, 4:-4].astype(int) - 100).max() <= 30


def test_the_middle_square_is_taken():
    x = pixels(3, 32, 40, 3)
    np.testing.assert_array_equal(resize(x, 32), x[:, :, 4:36])
    assert resize(x, 16).shape == (3, 16, 16, 3)


@pytest.mark.parametrize(("name", "size"), [("usps", 16), ("mnist", 28), ("cifar10", 96), ("tiny_imagenet", 32)])
def test_an_npz_of_another_size(root, name, size):
    facts = DATASETS[name]
    made = write_npz(root / f"{name}.npz", size=size, channels=facts.channels)
    data = load_dataset(name)
    assert data.x_train.shape[1:] == data.x_test.shape[1:] == (facts.size, facts.size, facts.channels)
    np.testing.assert_array_equal(data.x_test, resize(made["x_test"], facts.size))
