"""Where data sets are found, in which order, and what is said of a download that fails."""

import socket
import subprocess
import sys
from pathlib import Path
from urllib.error import URLError

import pytest
import torchvision.datasets as tv
from data_files import empty_folder, refusal, write_idx, write_images, write_npz

from dfkd_lib import downloads
from dfkd_lib.catalogue import DATASETS
from dfkd_lib.data import load_dataset
from dfkd_lib.errors import UserError
from dfkd_lib.sources import Place, find, known_dataset, locate


@pytest.fixture
def root(monkeypatch, tmp_path) -> Path:
    return empty_folder(monkeypatch, tmp_path)


def test_looking_for_data_imports_neither_torch_nor_anything_slow():
    code = (
        "import dfkd_lib.sources, sys; print([m for m in ('torch', 'numpy', 'torchvision', 'PIL') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"
    code = "import dfkd_lib.data, sys; print([m for m in ('torch', 'torchvision', 'sklearn') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


def test_the_catalogue():
    for name, facts in DATASETS.items():
        assert facts.source and (facts.mean is None) == (facts.std is None)
        assert facts.mean is None or len(facts.mean) == len(facts.std) == facts.channels
        assert facts.short_side == (256 if facts.size == 224 else facts.size)
        assert known_dataset("dataset", name) == name


def test_embedded_data_wins_over_files(root):
    write_npz(root / "digits.npz")
    assert locate("digits") == Place("embedded")


def test_precedence(root, monkeypatch, tmp_path):
    """Each newly added place is preferred to those before."""
    cache = tmp_path / "cache" / "data"  # the tests' DFKD_CACHE
    monkeypatch.delenv("DFKD_OFFLINE")
    assert find("mnist") is None
    assert locate("mnist") == Place("download", root)
    monkeypatch.setenv("DFKD_OFFLINE", "0")
    assert locate("mnist") == Place("download", root)
    write_images(cache / "mnist" / "train", ["a"])
    assert locate("mnist") == find("mnist") == Place("folder", cache / "mnist")
    write_images(root / "mnist" / "train", ["a"])
    assert locate("mnist") == Place("folder", root / "mnist")
    write_idx(root, "MNIST")
    assert locate("mnist") == Place("torchvision", root)
    write_npz(root / "mnist.npz")
    assert locate("mnist") == find("mnist") == Place("npz", root / "mnist.npz")


def test_half_of_torchvisions_files_are_not_the_data_set(root):
    write_idx(root, "MNIST")
    (root / "MNIST" / "raw" / "t10k-labels-idx1-ubyte").unlink()
    assert find("mnist") is None


def test_without_dfkd_data_the_cache_is_searched_and_filled(root, monkeypatch, tmp_path):
    cache = tmp_path / "cache" / "data"
    monkeypatch.delenv("DFKD_DATA")
    monkeypatch.delenv("DFKD_OFFLINE")
    assert locate("kmnist") == Place("download", cache)
    write_idx(cache, "KMNIST")
    assert locate("kmnist") == Place("torchvision", cache)


@pytest.mark.parametrize("name", ["cinic10", "tiny_imagenet", "tiny_imagenet_32", "places365", "imagenet", "ham10000"])
def test_what_is_not_downloaded_says_where_to_get_it(root, monkeypatch, name):
    monkeypatch.delenv("DFKD_OFFLINE")
    message = refusal(name)
    assert str(root / f"{name}.npz") in message and "{" not in message
    assert "https://" in message or "http://" in message or f"Places365 as P; [P('{root}'" in message


def test_offline(root):
    message = refusal("svhn")
    assert str(root / "svhn.npz") in message and "DFKD_OFFLINE" in message and "not set" not in message


def test_nowhere_to_look(root, monkeypatch):
    monkeypatch.delenv("DFKD_DATA")
    message = refusal("svhn")
    assert "DFKD_DATA is not set" in message and "svhn.npz" in message


@pytest.mark.parametrize("name", ["cifar", "../up", "", "a b", "a-b", 3, None, "/etc/passwd"])
def test_unknown_names(root, name):
    write_npz(root.parent / "up.npz")
    write_npz(root / "a-b.npz")
    calls = [lambda: known_dataset("dataset", name)]
    if isinstance(name, str):  # whatever a parameters cell holds, but only texts are located
        calls.append(lambda: locate(name))
    for call in calls:
        with pytest.raises(UserError, match="dataset: .* is not known") as caught:
            call()
        message = str(caught.value)
        assert all(known in message for known in DATASETS) and "DFKD_DATA" in message
        assert len(message.splitlines()) == 1


# --- downloads, by a torchvision that asks no network ----------------------------------------------------------------


@pytest.fixture
def online(root, monkeypatch) -> Path:
    monkeypatch.delenv("DFKD_OFFLINE")
    return root


def test_a_download(online, monkeypatch, capsys):
    calls = []

    def download(self):
        if not self._check_exists():
            print("torchvision talks")
            calls.append(write_idx(Path(self.root), "MNIST"))

    monkeypatch.setattr(tv.MNIST, "download", download)
    data = load_dataset("mnist")
    assert data.x_train.shape == (12, 32, 32, 1) and len(calls) == 1
    assert sorted(path.name for path in online.iterdir()) == ["MNIST"]
    said = capsys.readouterr()
    assert said.out == "" and "downloading" in said.err and str(online) in said.err
    assert load_dataset("mnist").x_train.shape == (12, 32, 32, 1) and len(calls) == 1


def test_a_download_beside_what_another_process_brought(online, monkeypatch):
    def download(name, root, part, download):
        if part == "train":
            write_idx(root, "MNIST")
            write_idx(online, "MNIST")  # meanwhile

    monkeypatch.setattr(downloads, "torchvision_dataset", download)
    assert load_dataset("mnist").x_test.shape == (6, 32, 32, 1)


@pytest.mark.parametrize(
    "error", [URLError("Name or service not known"), TimeoutError("timed\nout"), RuntimeError("MD5"), OSError("full")]
)
def test_a_failed_download(online, monkeypatch, error):
    def fail(*args, **kwargs):
        raise error

    monkeypatch.setattr("torchvision.datasets.cifar.download_and_extract_archive", fail)
    message = refusal("cifar100")
    assert str(online / "cifar100.npz") in message and "download failed" in message
    assert str(error).partition("\n")[0] in message
    assert not list(online.iterdir())


def test_a_download_into_a_folder_that_cannot_be_made(online, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("DFKD_DATA", str(tmp_path / "file"))
    assert "download failed" in refusal("cifar100")


def test_a_killed_download_leaves_nothing_that_is_taken_for_data(online, monkeypatch):
    def killed(name, root, part, download):
        write_idx(root, "MNIST")
        assert not (online / "MNIST").exists()
        raise KeyboardInterrupt

    monkeypatch.setattr(downloads, "torchvision_dataset", killed)
    with pytest.raises(KeyboardInterrupt):
        load_dataset("mnist")
    assert find("mnist") is None


def test_a_download_does_not_wait_for_ever(online, monkeypatch):
    seen = []

    def look(*args, **kwargs):
        seen.append(socket.getdefaulttimeout())
        raise URLError("no network")

    monkeypatch.setattr(downloads, "torchvision_dataset", look)
    refusal("svhn")
    assert seen == [30] and socket.getdefaulttimeout() is None
