"""How torchvision's layouts and folders of images are read."""

import bz2
import hashlib
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torchvision.datasets as tv
from data_files import empty_folder, pixels, refusal, write_idx, write_images, write_npz
from PIL import Image
from scipy.io import savemat

from dfkd_lib.catalogue import DATASETS
from dfkd_lib.data import load_dataset, load_training_split, resize
from dfkd_lib.layouts import ImageFiles
from dfkd_lib.sources import locate


@pytest.fixture
def root(monkeypatch, tmp_path) -> Path:
    return empty_folder(monkeypatch, tmp_path)


@pytest.mark.parametrize(
    ("name", "folder"), [("mnist", "MNIST"), ("fashion_mnist", "FashionMNIST"), ("kmnist", "KMNIST")]
)
def test_idx_files(root, name, folder):
    made = write_idx(root, folder)
    data = load_dataset(name)
    assert (data.mean, data.std) == (DATASETS[name].mean, DATASETS[name].std)
    for part in ("train", "test"):
        np.testing.assert_array_equal(getattr(data, f"x_{part}"), resize(made[f"x_{part}"], 32))
        np.testing.assert_array_equal(getattr(data, f"y_{part}"), made[f"y_{part}"])


def test_the_same_pixels_from_an_npz_and_from_idx_files(root):
    made = write_idx(root, "MNIST")
    first = load_dataset("mnist")
    np.savez(root / "mnist.npz", **made)
    assert locate("mnist").layout == "npz"
    np.testing.assert_array_equal(first.x_train, load_dataset("mnist").x_train)


def test_damaged_idx_files(root):
    write_idx(root, "MNIST")
    file = root / "MNIST" / "raw" / "train-images-idx3-ubyte"
    file.write_bytes(file.read_bytes()[:-100])
    message = refusal("mnist")
    assert "mnist" in message and str(root) in message and "torchvision" in message


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_cifars_batches(root, monkeypatch, name):
    kind, key, folder = {
        "cifar10": (tv.CIFAR10, "labels", "cifar-10-batches-py"),
        "cifar100": (tv.CIFAR100, "fine_labels", "cifar-100-python"),
    }[name]
    x, y = pixels(6, 3, 32, 32), [0, 1, 2, 3, 4, 5]
    (root / folder).mkdir()
    files = {}
    for file in ("train", "test"):
        files[file] = pickle.dumps({"data": x.reshape(6, -1) if file == "train" else 255 - x.reshape(6, -1), key: y})
        (root / folder / file).write_bytes(files[file])
    names = ["apple", "bear", "camel", "dog", "elephant", "fox"]
    meta = pickle.dumps({kind.meta["key"]: names})
    (root / folder / "meta").write_bytes(meta)
    sums = {file: hashlib.md5(content).hexdigest() for file, content in {**files, "meta": meta}.items()}
    monkeypatch.setattr(kind, "train_list", [["train", sums["train"]]])
    monkeypatch.setattr(kind, "test_list", [["test", sums["test"]]])
    monkeypatch.setattr(kind, "meta", kind.meta | {"filename": "meta", "md5": sums["meta"]})
    data = load_dataset(name)
    np.testing.assert_array_equal(data.x_train, x.transpose(0, 2, 3, 1))
    np.testing.assert_array_equal(data.x_test, 255 - x.transpose(0, 2, 3, 1))
    assert data.y_train.tolist() == y and data.classes == tuple(names)

    class Payload:
        def __reduce__(self):
            return Path.touch, (root / "executed",)

    (root / folder / "train").write_bytes(pickle.dumps(Payload()))  # of another MD5 sum: not unpickled
    assert "corrupted" in refusal(name)
    assert not (root / "executed").exists()


def test_svhns_matlab_files(root, monkeypatch):
    lists, x = {}, pixels(5, 32, 32, 3)
    for part in ("train", "test"):
        file = root / f"{part}_32x32.mat"
        savemat(file, {"X": x.transpose(1, 2, 3, 0), "y": np.array([[10], [1], [2], [9], [10]])})
        lists[part] = ["", file.name, hashlib.md5(file.read_bytes()).hexdigest()]
    monkeypatch.setattr(tv.SVHN, "split_list", lists)
    data = load_dataset("svhn")
    np.testing.assert_array_equal(data.x_train, x)
    assert data.y_train.tolist() == [0, 1, 2, 9, 0]  # the files write 10 for 0


def test_uspss_text_files(root):
    for file, n in (("usps.bz2", 4), ("usps.t.bz2", 3)):
        lines = [f"{k + 1} " + " ".join(f"{i + 1}:{-1 + 2 * (i % 256 == k)}" for i in range(256)) for k in range(n)]
        (root / file).write_bytes(bz2.compress("\n".join(lines).encode()))
    data = load_dataset("usps")
    assert data.x_train.shape == (4, 32, 32, 1) and data.y_test.tolist() == [0, 1, 2]
    assert data.x_train[0, 0, 0] == 255 and data.x_train[0, 8:].max() == 0


def test_caltech101(root):
    folder = root / "caltech101" / "101_ObjectCategories"
    write_images(folder, ["BACKGROUND_Google", "ant", "bass", "crab"], each=20, size=(160, 200))
    data = load_dataset("caltech101")
    assert data.classes == ("ant", "bass", "crab")
    assert len(data.y_test) == round(60 * 1695 / 8677) and len(data.y_train) + len(data.y_test) == 60
    assert data.x_test.shape[1:] == data.x_train.shape[1:] == (128, 128, 3)
    seen = np.sort(np.concatenate([data.x_train[:][:, 0, 0, 0], data.x_test[:, 0, 0, 0]]))
    assert seen.tolist() == sorted(10 * c + k for c in (1, 2, 3) for k in range(20))  # each once, in one part
    np.testing.assert_array_equal(data.x_test[:, 0, 0, 0] // 10 > 0, True)
    np.testing.assert_array_equal(load_dataset("caltech101").y_test, data.y_test)  # the same split every time


def test_food101(root):
    write_images(root / "food-101" / "images", ["apple_pie", "waffles"], each=3, size=(40, 30))
    for file in (root / "food-101" / "images").rglob("*.png"):
        Image.open(file).save(file.with_suffix(".jpg"), quality=95)
    (root / "food-101" / "meta").mkdir()
    for part, ids in (("train", (0, 1)), ("test", (2,))):
        made = {name: [f"{name}/{k}" for k in ids] for name in ("waffles", "apple_pie")}
        (root / "food-101" / "meta" / f"{part}.json").write_text(json.dumps(made))
    data = load_dataset("food101")
    assert data.classes == ("apple_pie", "waffles")
    assert data.y_train.tolist() == [0, 0, 1, 1] and data.y_test.tolist() == [0, 1]
    assert data.x_test.shape == (2, 224, 224, 3) and isinstance(data.x_train, ImageFiles)
    assert np.abs(data.x_test[:, 0, 0, 0].astype(int) - [2, 12]).max() <= 2


def test_places365(root):
    write_images(root / "data_256_standard" / "a", ["airfield", "zoo"], size=(260, 256))
    write_images(root / "val_256", ["."], each=2, size=(256, 256))
    lines = ["/a/airfield/0.png 0", "/a/zoo/0.png 1", "/a/zoo/1.png 1"]
    (root / "places365_train_standard.txt").write_text("\n".join(lines))
    (root / "places365_val.txt").write_text("0.png 1\n1.png 0\n")
    data = load_dataset("places365")
    assert data.y_train.tolist() == [0, 1, 1] and data.y_test.tolist() == [1, 0]
    assert data.x_train[[2]].shape == (1, 224, 224, 3) and data.x_train[2][0, 0, 0] == 11
    assert data.x_test[:, 0, 0, 0].tolist() == [0, 1]


# --- folders of images -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tested", ["test", "val"])
@pytest.mark.parametrize("name", ["cinic10", "leaves"])
def test_a_folder_of_images(root, name, tested):
    write_images(root / name / "train", ["ash", "oak"], each=3)
    write_images(root / name / tested, ["ash", "oak"], each=1)
    (root / name / "train" / "ash" / "notes.txt").write_text("no image")
    (root / name / "train" / ".cache").mkdir()
    data = load_dataset(name)
    assert data.classes == ("ash", "oak")
    assert data.y_train.tolist() == [0, 0, 0, 1, 1, 1] and data.y_test.tolist() == [0, 1]
    assert np.asarray(data.x_train)[:, 5, 5, 1].tolist() == [0, 1, 2, 10, 11, 12]
    assert isinstance(data.x_test, np.ndarray) and data.x_test[:, 5, 5, 1].tolist() == [0, 10]
    assert data.normalise(data.x_train).shape == (6, 3, 32, 32)


def test_test_is_preferred_to_val_if_it_has_the_classes(root):
    write_images(root / "leaves" / "train", ["ash", "oak"])
    write_images(root / "leaves" / "val", ["ash", "oak"], each=1)
    write_images(root / "leaves" / "test", ["images"], each=5)  # without labels, as Tiny ImageNet's
    assert len(load_dataset("leaves").y_test) == 2
    write_images(root / "leaves" / "test2", ["ash", "oak"], each=4)
    (root / "leaves" / "test").rename(root / "leaves" / "unlabelled")
    (root / "leaves" / "test2").rename(root / "leaves" / "test")
    assert len(load_dataset("leaves").y_test) == 8


def test_tiny_imagenet_as_it_is_unpacked(root):
    folder = root / "tiny_imagenet"
    for name in ("n01", "n02"):
        write_images(folder / "train" / name, ["images"], each=2, size=(64, 64))
    write_images(folder / "val", ["images"], each=3, size=(64, 64))
    (folder / "val" / "val_annotations.txt").write_text("2.png\tn02\t0\t0\n0.png\tn01\t0\t0\n1.png\tn02\t0\t0\n")
    (folder / "words.txt").write_text("n00\tthing\nn01\ttench, Tinca tinca\nn02\tgoldfish\n")
    data = load_dataset("tiny_imagenet")
    assert data.y_test.tolist() == [1, 0, 1] and data.x_test[:, 0, 0, 0].tolist() == [2, 0, 1]
    assert data.classes == ("tench", "goldfish") and data.x_train.shape == (4, 64, 64, 3)
    (root / "tiny_imagenet").rename(root / "tiny_imagenet_32")
    assert load_dataset("tiny_imagenet_32").x_test.shape == (3, 32, 32, 3)


@pytest.mark.parametrize(
    ("saved", "mode", "size", "shape"),
    [
        ((50, 40), "RGB", (50, 40), (40, 40, 3)),
        ((40, 50), "L", (40, 50), (40, 40, 1)),
        ((300, 250), "RGB", (300, 250), (224, 224, 3)),
        ((30, 30), "P", (30, 30), (30, 30, 3)),
    ],
)
def test_the_first_image_sets_channels_and_size_of_ones_own(root, saved, mode, size, shape):
    write_images(root / "leaves" / "train", ["ash", "oak"], size=size, mode=mode)
    write_images(root / "leaves" / "test", ["ash", "oak"], size=(90, 70))
    data = load_dataset("leaves")
    assert data.x_train.shape[1:] == data.x_test.shape[1:] == shape


def test_photographs_are_reduced_at_their_short_side_and_cut(root, tmp_path):
    x = np.zeros((100, 300), np.uint8)
    x[:, 100:200] = 200  # the middle
    Image.fromarray(x).save(tmp_path / "x.png")
    made = ImageFiles((str(tmp_path / "x.png"),), 1, 48, 50)[0]
    assert made.shape == (48, 48, 1) and (made == 200).all()
    stripes = np.tile(
        np.array([[0], [200]], np.uint8), (50, 100)
    )  # taken one in two, they would be all black or all white
    Image.fromarray(stripes).save(tmp_path / "stripes.png")
    made = ImageFiles((str(tmp_path / "stripes.png"),), 1, 50, 50)[0].astype(int)
    assert np.abs(made[2:-2] - 100).max() <= 30


def test_training_images_are_decoded_when_asked_for(root, monkeypatch):
    write_images(root / "cinic10" / "train", ["ash", "oak"], each=10)
    write_images(root / "cinic10" / "test", ["ash", "oak"], each=1)
    opened = []
    decode = ImageFiles._decode
    monkeypatch.setattr(ImageFiles, "_decode", lambda self, path: opened.append(path) or decode(self, path))
    data = load_dataset("cinic10")
    assert len(opened) == 2 and all("/test/" in path for path in opened)
    assert data.x_train.shape == (20, 32, 32, 3) and len(data.x_train) == 20 and data.num_classes == 2
    assert data.x_train.nbytes == 20 * 32 * 32 * 3 and len(opened) == 2
    assert data.x_train[[3, 15, 3]][:, 0, 0, 0].tolist() == [3, 15, 3] and len(opened) == 5
    assert data.x_train[-1].shape == (32, 32, 3) and len(data.x_train[4:6]) == 2 and len(opened) == 8
    assert data.x_train[[]].shape == (0, 32, 32, 3)
    np.testing.assert_array_equal(np.asarray(data.x_train), data.x_train[:])


def test_a_damaged_image_is_named(root):
    write_images(root / "leaves" / "train", ["ash", "oak"])
    write_images(root / "leaves" / "test", ["ash", "oak"])
    bad = root / "leaves" / "test" / "oak" / "1.png"
    whole = bad.read_bytes()
    for content in (b"", b"no image", whole[: len(whole) // 2]):
        bad.write_bytes(content)
        assert str(bad) in refusal("leaves")
    Image.fromarray(np.zeros((32, 32), np.uint16)).save(bad)
    assert str(bad) in (message := refusal("leaves")) and "8 bits" in message


def test_a_folder_without_test_images(root):
    write_images(root / "leaves" / "train", ["ash", "oak"])
    assert "test or val" in refusal("leaves")
    write_images(root / "leaves" / "test", ["ash", "elm"])  # a class never trained on
    assert "test or val" in refusal("leaves")
    split = load_training_split("leaves")
    assert len(split.x) == 4 and split.classes == ("ash", "oak")


def test_a_folder_without_training_images(root):
    (root / "leaves" / "train" / "ash").mkdir(parents=True)
    assert "no train images" in refusal("leaves")


def test_more_classes_than_the_data_set_has(root):
    write_images(root / "ham10000" / "train", [f"c{k}" for k in range(8)], each=1)
    write_images(root / "ham10000" / "test", [f"c{k}" for k in range(8)], each=1)
    assert "7 classes" in refusal("ham10000")


def test_a_source_needs_no_test_images(root):
    made = write_npz(root / "leaves.npz")
    np.savez(root / "leaves.npz", **made | {"x_test": made["x_test"][:0], "y_test": made["y_test"][:0]})
    assert "x_test" in refusal("leaves")
    np.testing.assert_array_equal(load_training_split("leaves").x, made["x_train"])
