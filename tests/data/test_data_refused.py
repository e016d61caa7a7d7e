"""Where data is looked for, and what is refused of it: each in one line that helps."""

import gc
import shutil
import socket
from pathlib import Path
from unittest.mock import Mock
from urllib.error import URLError

import numpy as np
import pytest
import torchvision.datasets as tv
from data_files import refusal, write_idx, write_images, write_npz
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from refused import refused

from dfkd_lib.data import DATASETS, EMBEDDED, load_dataset, load_images
from dfkd_lib.data.catalogue import find, known_dataset, locate
from dfkd_lib.errors import UserError


def test_the_order(root, monkeypatch, tmp_path):
    """Each newly added place is preferred to those before."""
    monkeypatch.delenv("DFKD_OFFLINE")
    cache = tmp_path / "cache" / "data"  # the tests' DFKD_CACHE
    write_idx(root, "MNIST")
    (root / "MNIST" / "raw" / "t10k-labels-idx1-ubyte").unlink()
    assert find("mnist") is None and locate("mnist") == ("download", root)
    shutil.rmtree(root / "MNIST")
    for folder in (cache, root):
        write_images(folder / "mnist" / "train", "a")
        assert locate("mnist") == find("mnist") == ("folder", folder / "mnist")
    write_idx(root, "MNIST")
    assert locate("mnist") == ("torchvision", root)
    write_npz(root / "mnist.npz")
    assert locate("mnist") == ("npz", root / "mnist.npz")
    write_npz(root / "digits.npz")
    assert {locate(name) for name in EMBEDDED} == {("embedded", None)}


@pytest.mark.parametrize("name", ["mnist", "cinic10", "places365", "imagenet"])
def test_what_is_missing_names_its_file(root, monkeypatch, name):
    message = refusal(name)
    assert f"{root / name}.npz" in message and f"{root / name}/train" in message
    assert "http" in message or "DFKD_OFFLINE" in message or f"P('{root}'" in message
    monkeypatch.delenv("DFKD_DATA")
    assert "DFKD_DATA is not set" in refusal(name)


@pytest.mark.parametrize("name", ["camvid", "voc2012", "cityscapes"])
def test_missing_label_maps_name_their_files(root, name):
    message = refusal(name)
    assert f"{root / name}.npz" in message
    assert f"{root / name}/train/images/*.jpg and masks/*.png" in message
    assert "http" in message or f"V('{root}', download=True)" in message


@pytest.mark.parametrize("name", ["cifar", "../up", "", "-b", 3, None, "x" * 5000])
def test_unknown_names(root, name):
    write_npz(root.parent / "up.npz")
    write_npz(root / "-b.npz")
    message = refused(known_dataset, "dataset", name)
    assert message.startswith("dataset: ") and f"{root}/" in message
    assert all(known in message for known in (*DATASETS, "letters, digits, - and _"))


def test_a_download(root, monkeypatch, capsys):
    calls = []

    def download(self):
        if not self._check_exists():
            assert find("mnist") is None and socket.getdefaulttimeout() == 30
            print("torchvision talks")
            calls.append(write_idx(Path(self.root), "MNIST"))

    monkeypatch.delenv("DFKD_OFFLINE")
    monkeypatch.setattr(tv.MNIST, "download", download)
    for _ in range(2):
        assert load_dataset("mnist").x_train.shape == (12, 32, 32, 1)
    assert len(calls) == 1 and socket.getdefaulttimeout() is None
    assert [path.name for path in root.iterdir()] == ["MNIST"]
    said = capsys.readouterr()
    assert said.out == "" and str(root) in said.err


def test_a_failed_download(root, monkeypatch):
    monkeypatch.delenv("DFKD_OFFLINE")
    monkeypatch.setattr(tv.CIFAR100, "__init__", Mock(side_effect=URLError("no name")))
    message = refusal("cifar100")
    assert str(root / "cifar100.npz") in message and "download failed" in message
    assert not list(root.iterdir())


def test_damaged_files(root):
    file = root / "cifar100.npz"
    arrays = write_npz(file, channels=3)
    whole = file.read_bytes()

    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(st.integers(0, len(whole) - 1), st.binary(max_size=4), st.booleans())
    def check(place, content, cut):
        rest = b"" if cut else whole[place + len(content) :]
        file.write_bytes(whole[:place] + content + rest)
        try:
            data = load_dataset("cifar100")
        except UserError as error:
            assert str(file) in str(error) and len(str(error).splitlines()) == 1
        else:
            assert all(np.array_equal(getattr(data, k), v) for k, v in arrays.items())

    check()
    gc.collect()  # a file left open is a warning, so an error


ZEROS = np.zeros((20, 32, 32, 3), np.uint8)
TENS = np.arange(20) % 10
WRONG = {
    "x_train": [ZEROS / 255, ZEROS.transpose(0, 3, 1, 2), ZEROS[..., :1], None],
    "x_test": [ZEROS[:10].astype(np.int16), ZEROS[:10, ..., 0], ZEROS[:0]],
    "y_train": [TENS / 1, np.array([{}] * 20), TENS[1:], TENS - 1, TENS + 1, TENS * 0],
    "y_test": [None, np.eye(10, dtype=int), TENS[:10] + 10],
}


@pytest.mark.parametrize(("name", "array"), [(k, v) for k in WRONG for v in WRONG[k]])
def test_wrong_arrays(root, name, array):
    write_npz(root / "svhn.npz", channels=3, **{name: array})
    message = refusal("svhn")
    assert str(root / "svhn.npz") in message
    assert name in message or "pickle" in message
    (root / "svhn.npz").write_bytes(b"not an archive")
    assert "no npz file" in refusal("svhn")
    write_npz(root / "leaves.npz", x_train=ZEROS, x_test=ZEROS[:10])
    assert "same value" in refusal("leaves")


def test_wrong_folders(root):
    folder = root / "leaves"
    (folder / "train").mkdir(parents=True)
    assert f"{folder / 'train'}" in refusal("leaves")
    write_images(folder / "train", "ash oak")
    assert "test or val" in refusal("leaves")
    write_images(folder / "test", "ash elm")  # a class never trained on
    assert "test or val" in refusal("leaves")
    (folder / "test" / "elm").rename(folder / "test" / "oak")
    for content in (b"", b"no image", (folder / "test/oak/0.png").read_bytes()[:60]):
        (folder / "test" / "oak" / "1.png").write_bytes(content)
        assert "oak/1.png" in refusal("leaves")
    Image.fromarray(np.zeros((32, 32), np.uint16)).save(folder / "test/oak/1.png")
    assert "8 bits" in refusal("leaves")
    (folder / "train" / "zebra").mkdir()
    assert "zebra has no images" in refusal("leaves")


def test_images_to_check_on(tmp_path):
    write_images(tmp_path / "some", "a b", size=(40, 50))
    x, y = load_images(tmp_path / "some", (3, 32, 32), 10)
    assert x.shape == (4, 3, 32, 32) and y is None
    assert x[:, 2, 9, 9].tolist() == [0, 1, 10, 11]
    arrays = write_npz(tmp_path / "some.npz")
    x, y = load_images(str(tmp_path / "some.npz"), (1, 32, 32), 10)
    np.testing.assert_array_equal(x, arrays["x_test"].transpose(0, 3, 1, 2))
    np.testing.assert_array_equal(y, arrays["y_test"])
    assert load_images(tmp_path / "some.npz", (1, 16, 16), 10)[0].shape[2:] == (16, 16)
    for channels in (2, 4):
        message = refused(load_images, tmp_path / "some", (channels, 32, 32), 10)
        assert "1 or 3 channels" in message and "npz" in message


@pytest.mark.parametrize("path", ["", "nowhere", "a\0b", "x" * 5000, "empty", "text"])
def test_nothing_to_check_on(tmp_path, path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "text").write_text("no archive")
    given_path = f"{tmp_path}/{path}" if path else path
    assert refused(load_images, given_path, (1, 8, 8), 10).startswith("check: ")
    write_npz(tmp_path / "text")
    (tmp_path / "text.npz").rename(tmp_path / "text")
    assert "labels" in refused(load_images, tmp_path / "text", (1, 32, 32), 5)
    assert "of shape" in refused(load_images, tmp_path / "text", (3, 32, 32), 10)
