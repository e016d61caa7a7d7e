"""Each layout is read back."""

import bz2
import hashlib
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torchvision.datasets as tv
from data_files import pixels, refusal, write_idx, write_images, write_npz
from PIL import Image
from scipy.io import savemat

from dfkd_lib.data import (
    DATASETS,
    ImageFiles,
    load_dataset,
    load_training_split,
    resize,
)


@pytest.mark.parametrize(
    ("name", "folder"),
    [("mnist", "MNIST"), ("fashion_mnist", "FashionMNIST"), ("kmnist", "KMNIST")],
)
def test_idx_files(root, name, folder):
    arrays = write_idx(root, folder)
    data = load_dataset(name)
    assert (data.mean, data.std) == DATASETS[name][3:]
    np.testing.assert_array_equal(data.x_train, resize(arrays["x_train"], 32))
    np.testing.assert_array_equal(data.x_test, resize(arrays["x_test"], 32))
    np.testing.assert_array_equal(data.y_test, arrays["y_test"])
    file = root / folder / "raw" / "train-images-idx3-ubyte"
    file.write_bytes(file.read_bytes()[:-100])
    assert str(root) in refusal(name)


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_cifars_batches(root, monkeypatch, name):
    kind, key, folder = {
        "cifar10": (tv.CIFAR10, "labels", "cifar-10-batches-py"),
        "cifar100": (tv.CIFAR100, "fine_labels", "cifar-100-python"),
    }[name]
    x, y, names = pixels(3, 3, 32, 32), [0, 1, 2], ["apple", "bear", "camel"]
    files = {
        "train": pickle.dumps({"data": x.reshape(3, -1), key: y}),
        "test": pickle.dumps({"data": 255 - x.reshape(3, -1), key: y}),
        "meta": pickle.dumps({kind.meta["key"]: names}),
    }
    (root / folder).mkdir()
    sums = {}
    for file, content in files.items():
        (root / folder / file).write_bytes(content)
        sums[file] = hashlib.md5(content).hexdigest()
    monkeypatch.setattr(kind, "train_list", [["train", sums["train"]]])
    monkeypatch.setattr(kind, "test_list", [["test", sums["test"]]])
    meta = {"filename": "meta", "md5": sums["meta"]}
    monkeypatch.setattr(kind, "meta", kind.meta | meta)
    data = load_dataset(name)
    np.testing.assert_array_equal(data.x_train, x.transpose(0, 2, 3, 1))
    np.testing.assert_array_equal(data.x_test, 255 - x.transpose(0, 2, 3, 1))
    assert data.y_train.tolist() == y and data.classes == tuple(names)

    class Payload:
        def __reduce__(self):
            return Path.touch, (root / "executed",)

    (root / folder / "train").write_bytes(pickle.dumps(Payload()))  # another MD5 sum
    assert "corrupted" in refusal(name)
    assert not (root / "executed").exists()


def test_svhns_matlab_files(root, monkeypatch):
    lists, x = {}, pixels(5, 32, 32, 3)
    for part in ("train", "test"):
        file = root / f"{part}_32x32.mat"
        y = np.array([[10], [1], [2], [9], [10]])
        savemat(file, {"X": x.transpose(1, 2, 3, 0), "y": y})
        lists[part] = ["", file.name, hashlib.md5(file.read_bytes()).hexdigest()]
    monkeypatch.setattr(tv.SVHN, "split_list", lists)
    data = load_dataset("svhn")
    np.testing.assert_array_equal(data.x_train, x)
    assert data.y_train.tolist() == [0, 1, 2, 9, 0]  # the files write 10 for 0


def test_uspss_text_files(root):
    for file, n in (("usps.bz2", 4), ("usps.t.bz2", 3)):
        lines = []
        for k in range(n):
            values = (f"{i + 1}:{-1 + 2 * (i % 256 == k)}" for i in range(256))
            lines.append(f"{k + 1} {' '.join(values)}")
        (root / file).write_bytes(bz2.compress("\n".join(lines).encode()))
    data = load_dataset("usps")
    assert data.x_train.shape == (4, 32, 32, 1) and data.y_test.tolist() == [0, 1, 2]
    assert data.x_train[0, 0, 0] == 255 and data.x_train[0, 8:].max() == 0


def test_caltech101(root):
    folder = root / "caltech101" / "101_ObjectCategories"
    write_images(folder, "BACKGROUND_Google ant bass crab", each=20, size=(160, 200))
    data = load_dataset("caltech101")
    assert data.classes == ("ant", "bass", "crab")
    assert len(data.y_test) == round(60 * 1695 / 8677)
    assert data.x_test.shape[1:] == data.x_train.shape[1:] == (128, 128, 3)
    seen = [*data.x_train[:][:, 0, 0, 0], *data.x_test[:, 0, 0, 0]]
    assert sorted(seen) == sorted(10 * c + k for c in (1, 2, 3) for k in range(20))
    np.testing.assert_array_equal(load_dataset("caltech101").y_test, data.y_test)


def test_food101(root):
    write_images(root / "food-101" / "images", "pie waffles", each=3, end="jpg")
    (root / "food-101" / "meta").mkdir()
    for part, ids in (("train", (0, 1)), ("test", (2,))):
        listed = {name: [f"{name}/{k}" for k in ids] for name in ("waffles", "pie")}
        (root / "food-101" / "meta" / f"{part}.json").write_text(json.dumps(listed))
    data = load_dataset("food101")
    assert data.classes == ("pie", "waffles") and data.y_test.tolist() == [1, 0]
    assert data.x_test.shape == (2, 224, 224, 3)
    assert isinstance(data.x_train, ImageFiles)
    assert np.abs(data.x_test[:, 0, 0, 0].astype(int) - [12, 2]).max() <= 2


def test_places365(root, monkeypatch):
    write_images(root / "data_256_standard", "a b", size=(260, 256))
    write_images(root / "val_256", ".", each=2, size=(256, 256))
    lists = {
        "categories_places365": "/a 0\n/b 1\n",
        "places365_train_standard": "/a/0.png 0\n/b/0.png 1\n/b/1.png 1\n",
        "places365_val": "0.png 1\n1.png 0\n",
    }
    for name, content in lists.items():
        (root / f"{name}.txt").write_text(content)
    monkeypatch.setattr(tv.Places365, "_check_integrity", lambda *args: True)
    data = load_dataset("places365")
    assert data.y_train.tolist() == [0, 1, 1] and data.y_test.tolist() == [1, 0]
    assert data.x_train[[2]].shape == (1, 224, 224, 3)
    assert data.x_train[2][0, 0, 0] == 11 and data.x_test[:, 0, 0, 0].tolist() == [0, 1]


@pytest.mark.parametrize("tested", ["test", "val"])
@pytest.mark.parametrize("name", ["cinic10", "leaves"])
def test_image_folders(root, name, tested):
    write_images(root / name / "train", "ash oak", each=3)
    write_images(root / name / tested, "oak", each=1)
    write_images(root / name / "test", "unlabelled")
    if tested == "test":
        (root / name / "test" / "unlabelled").rename(root / "elsewhere")
    data = load_dataset(name)
    assert data.classes == ("ash", "oak") and data.num_classes == 2
    assert data.y_train.tolist() == [0, 0, 0, 1, 1, 1] and data.y_test.tolist() == [1]
    assert np.asarray(data.x_train)[:, 5, 5, 1].tolist() == [0, 1, 2, 10, 11, 12]
    assert data.x_train[-1].shape == (32, 32, 3) and data.x_train[[]].shape[0] == 0
    assert isinstance(data.x_test, np.ndarray) and len(data.x_test) == 1


def test_hidden_files_are_no_images(root):
    write_images(root / "leaves" / "train", "ash oak __MACOSX .cache")
    write_images(root / "leaves" / "train" / "ash", ".ipynb_checkpoints @eaDir")
    write_images(root / "leaves" / "test", "ash oak")
    (root / "leaves" / "train" / "oak" / "._0.png").write_bytes(b"\0\5\26\7")
    (root / "leaves" / "train" / "oak" / "desktop.ini").write_text("no image")
    data = load_dataset("leaves")
    assert len(data.x_train) == 4 and data.classes == ("ash", "oak")


def test_tiny_imagenet_as_it_is_unpacked(root):
    folder = root / "tiny_imagenet"
    for name in ("n01", "n02"):
        write_images(folder / "train" / name, "images", size=(64, 64))
    write_images(folder / "val", "images", each=3, size=(64, 64))
    listed = "2.png\tn02\t0\t0\n0.png\tn01\t0\t0\n1.png\tn02\t0\t0\n"
    (folder / "val" / "val_annotations.txt").write_text(listed)
    (folder / "words.txt").write_text("n00\tthing\nn01\ttench, Tinca\nn02\tgoldfish\n")
    data = load_dataset("tiny_imagenet")
    assert data.y_test.tolist() == [1, 0, 1]
    assert data.x_test[:, 0, 0, 0].tolist() == [2, 0, 1]
    assert data.classes == ("tench", "goldfish") and data.x_train.shape == (
        4,
        64,
        64,
        3,
    )
    folder.rename(root / "tiny_imagenet_32")
    assert load_dataset("tiny_imagenet_32").x_test.shape == (3, 32, 32, 3)


@pytest.mark.parametrize(
    ("mode", "size", "shape"),
    [
        ("RGB", (50, 40), (40, 40, 3)),
        ("L", (40, 50), (40, 40, 1)),
        ("RGB", (300, 250), (224, 224, 3)),
        ("P", (30, 30), (30, 30, 3)),
    ],
)
def test_the_first_image_sets_the_shape_of_ones_own(root, mode, size, shape):
    write_images(root / "leaves" / "train", "ash oak", size=size, mode=mode)
    write_images(root / "leaves" / "test", "ash oak", size=(90, 70))
    data = load_dataset("leaves")
    assert data.x_train.shape[1:] == data.x_test.shape[1:] == shape


def test_photographs_are_reduced_and_cropped(tmp_path):
    x = np.zeros((100, 300), np.uint8)
    x[:, 100:200] = 200
    Image.fromarray(x).save(tmp_path / "x.png")
    assert (ImageFiles((str(tmp_path / "x.png"),), 1, 50)[0][:, 1:-1] == 200).all()
    stripes = np.tile(np.array([[0], [200]], np.uint8), (50, 100))
    Image.fromarray(stripes).save(tmp_path / "x.png")  # without antialiasing: 0 or 200
    image = ImageFiles((str(tmp_path / "x.png"),), 1, 50)[0].astype(int)
    assert np.abs(image[2:-2] - 100).max() <= 30


def test_ones_own_npz(root):
    names = np.array(["a", "b", "c", "d"])
    arrays = write_npz(root / "leaves.npz", 20, 3, classes=4, train=600)
    np.savez(root / "leaves.npz", **arrays, classes=names)
    data = load_dataset("leaves")
    np.testing.assert_array_equal(data.x_train, arrays["x_train"])
    assert data.num_classes == 4 and data.classes == tuple(names)
    scaled = arrays["x_train"] / 255
    np.testing.assert_allclose(data.mean, scaled.mean((0, 1, 2)), rtol=1e-12)
    np.testing.assert_allclose(data.std, scaled.std((0, 1, 2)), rtol=1e-12)


def test_a_source_needs_no_test_part(root):
    arrays = write_npz(root / "leaves.npz", x_test=None, y_test=None)
    np.testing.assert_array_equal(load_training_split("leaves").x, arrays["x_train"])
    assert "x_test" in refusal("leaves")


@pytest.mark.parametrize(
    ("name", "size"), [("usps", 16), ("mnist", 28), ("cifar10", 96)]
)
def test_an_npz_of_another_size(root, name, size):
    facts = DATASETS[name]
    arrays = write_npz(root / f"{name}.npz", size=size, channels=facts.channels)
    data = load_dataset(name)
    assert data.x_train.shape[1:] == (facts.size, facts.size, facts.channels)
    np.testing.assert_array_equal(data.x_test, resize(arrays["x_test"], facts.size))


def test_resizing():
    x = np.random.default_rng(0).integers(256, size=(5, 28, 28, 1), dtype=np.uint8)
    sum_of_shipped_teachers = "4e42b0bfb2ec5282"
    digest = hashlib.sha256(resize(x, 32).tobytes()).hexdigest()
    assert digest.startswith(sum_of_shipped_teachers)
    wide = pixels(3, 32, 40, 3)
    np.testing.assert_array_equal(resize(wide, 32), wide[:, :, 4:36])
