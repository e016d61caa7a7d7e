"""Each layout is read back."""

import bz2
import hashlib
import json
import pickle
import shutil

import numpy as np
import pytest
import torchvision.datasets as tv
from data_files import pixels, refusal, write_idx, write_images, write_npz
from PIL import Image
from refused import Hostile
from scipy.io import savemat

from dfkd_lib.data import DATASETS, VOID, ImageFiles, load_dataset, resize


@pytest.mark.parametrize("name", ["MNIST", "FashionMNIST", "KMNIST"])
def test_idx_files(root, name):
    arrays, folder = write_idx(root, name), name
    name = {"FashionMNIST": "fashion_mnist"}.get(name, name.lower())
    data = load_dataset(name)
    assert (data.mean, data.std) == DATASETS[name][3:5]
    np.testing.assert_array_equal(data.x_train, resize(arrays["x_train"], 32))
    np.testing.assert_array_equal(data.y_test, arrays["y_test"])
    file = root / folder / "raw" / "train-images-idx3-ubyte"
    file.write_bytes(file.read_bytes()[:-100])
    assert str(root) in refusal(name)


def test_cifars_batches(root, monkeypatch):
    (folder := root / "cifar-100-python").mkdir()
    x, names, sums = pixels(3, 3, 32, 32), ["apple", "bear", "camel"], {}
    made = {part: {"data": x.reshape(3, -1), "fine_labels": [0, 1, 2]} for part in "ab"}
    for file, content in (made | {"meta": {"fine_label_names": names}}).items():
        (folder / file).write_bytes(pickle.dumps(content))
        sums[file] = hashlib.md5(pickle.dumps(content)).hexdigest()
    monkeypatch.setattr(tv.CIFAR100, "train_list", [["a", sums["a"]]])
    monkeypatch.setattr(tv.CIFAR100, "test_list", [["b", sums["b"]]])
    monkeypatch.setitem(tv.CIFAR100.meta, "md5", sums["meta"])
    data = load_dataset("cifar100")
    np.testing.assert_array_equal(data.x_test, x.transpose(0, 2, 3, 1))
    assert data.y_train.tolist() == [0, 1, 2] and data.classes == tuple(names)
    hostile = pickle.dumps(Hostile(root / "executed"))
    (folder / "a").write_bytes(hostile)  # of another MD5 sum
    assert "corrupted" in refusal("cifar100") and not (root / "executed").exists()


def test_svhns_matlab_files(root, monkeypatch):
    x, y = pixels(5, 32, 32, 3), np.array([[10], [1], [2], [9], [10]])  # 10 is for 0
    for part in ("train", "test"):
        file = root / f"{part}_32x32.mat"
        savemat(file, {"X": x.transpose(1, 2, 3, 0), "y": y})
        found = ["", file.name, hashlib.md5(file.read_bytes()).hexdigest()]
        monkeypatch.setitem(tv.SVHN.split_list, part, found)
    data = load_dataset("svhn")
    np.testing.assert_array_equal(data.x_train, x)
    assert data.y_train.tolist() == [0, 1, 2, 9, 0]


def test_uspss_text_files(root):
    black = " ".join(f"{i + 1}:{1 if i == 0 else -1}" for i in range(256))
    for file in ("usps.bz2", "usps.t.bz2"):
        (root / file).write_bytes(bz2.compress(f"1 {black}\n2 {black}\n".encode()))
    data = load_dataset("usps")
    assert data.x_train.shape == (2, 32, 32, 1) and data.y_test.tolist() == [0, 1]
    assert data.x_train[0, 0, 0] == 255 and data.x_train[0, 8:].max() == 0


def test_caltech101(root):
    folder = root / "caltech101" / "101_ObjectCategories"
    write_images(folder, "BACKGROUND_Google ant bass crab", each=20, size=(160, 200))
    data = load_dataset("caltech101")
    assert data.classes == ("ant", "bass", "crab")
    assert len(data.y_test) == round(60 * 1695 / 8677)
    seen = [*data.x_train[:][:, 0, 0, 0], *data.x_test[:, 127, 127, 0]]
    assert sorted(seen) == sorted(10 * c + k for c in (1, 2, 3) for k in range(20))


def test_food101(root):
    write_images(root / "food-101" / "images", "pie waffles", each=3, end="jpg")
    (root / "food-101" / "meta").mkdir()
    for part, ids in (("train", (0, 1)), ("test", (2,))):
        listed = {name: [f"{name}/{k}" for k in ids] for name in ("waffles", "pie")}
        (root / "food-101" / "meta" / f"{part}.json").write_text(json.dumps(listed))
    data = load_dataset("food101")
    assert data.classes == ("pie", "waffles") and data.y_test.tolist() == [1, 0]
    assert np.abs(data.x_test[:, 0, 0, 0].astype(int) - [12, 2]).max() <= 2


def test_places365(root, monkeypatch):
    write_images(root / "data_256_standard", "a b", size=(260, 256))
    write_images(root / "val_256", ".", each=2, size=(256, 256))
    train = "/a/0.png 0\n/b/0.png 1\n/b/1.png 1\n"
    (root / "places365_train_standard.txt").write_text(train)
    (root / "places365_val.txt").write_text("0.png 1\n1.png 0\n")
    (root / "categories_places365.txt").write_text("/a 0\n/b 1\n")
    monkeypatch.setattr(tv.Places365, "_check_integrity", lambda *args: True)
    data = load_dataset("places365")
    assert data.y_train.tolist() == [0, 1, 1] and data.y_test.tolist() == [1, 0]
    assert data.x_train.shape == (3, 224, 224, 3) and data.x_train[2][0, 0, 0] == 11


def test_vocs_folders(root):
    """Its images have many sizes; its maps are palettes' indices, 255 at the borders."""
    folder = root / "VOCdevkit" / "VOC2012"
    kinds = ("ImageSets/Segmentation", "JPEGImages", "SegmentationClass")
    lists, images, masks = (folder / kind for kind in kinds)
    for each in (lists, images, masks):
        each.mkdir(parents=True)
    for k, size in enumerate([(300, 280), (280, 300), (256, 512)]):
        Image.new("RGB", size, (60 * k, 0, 9)).save(images / f"2007_{k}.jpg")
        mask = Image.new("P", size, VOID)
        mask.putpalette([7 * i % 256 for i in range(768)])
        for box, label in (((0, 0, 150, 150), 5 * k), ((150, 150, *size), 20)):
            mask.paste(label, box)
        mask.save(masks / f"2007_{k}.png")
    (lists / "train.txt").write_text("2007_1\n2007_0\n")
    (lists / "val.txt").write_text("2007_2\n")
    data = load_dataset("voc2012")
    assert data.x_train.shape == (2, 256, 256, 3) and data.crop == 128
    assert np.abs(data.x_train[:, 9, 9, 0].astype(int) - [60, 0]).max() < 3
    assert {*np.unique(data.y_train)} == {0, 5, 20, VOID} and data.num_classes == 21
    assert {*np.unique(data.y_test)} == {10, 20, VOID}
    assert data.y_test[0, 20:24, 0].tolist() == [10, 10, VOID, VOID]  # 128 rows are off
    assert data.mean == DATASETS["voc2012"].mean
    (masks / "2007_2.png").unlink()
    assert "2007_2.png cannot be read" in refusal("voc2012")
    (lists / "val.txt").write_text("")
    assert f"{root} has no images of voc2012's test part" in refusal("voc2012")
    shutil.rmtree(masks)
    assert f"no {root}/voc2012.npz" in refusal("voc2012")
    assert f"nor {masks} (torchvision's layout)" in refusal("voc2012")


def test_cityscapess_folders(root):
    """34 ids, of which 19 are classes; by torchvision's table, the others are void."""
    ids = np.arange(34, dtype=np.uint8).repeat(2).reshape(4, 17).repeat(4, 0)
    cars = np.full_like(ids, 26)
    made = {"train/ulm_1": ids, "train/bonn_0": ids, "train/ulm_2": cars}
    for k, (name, array) in enumerate((made | {"val/kiel_0": cars}).items()):
        part, file = name.split("/")
        files = {f"leftImg8bit/{part}/{file[:-2]}/{file}_leftImg8bit": ids * 0 + k}
        for kind, shown in (("labelIds", array), ("instanceIds", array + 100)):
            files[f"gtFine/{part}/{file[:-2]}/{file}_gtFine_{kind}"] = shown
        for path, pixel in files.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixel).save(root / f"{path}.png")
    data = load_dataset("cityscapes")
    assert data.x_train[:, 0, 0, 0].tolist() == [1, 0, 2]  # bonn, ulm, ulm
    assert data.x_train.shape == (3, *ids.shape, 3) and data.crop == 16
    wanted = {7: 0, 8: 1, 11: 2, 12: 3, 13: 4, 17: 5, 19: 6, 20: 7, 21: 8, 22: 9}
    wanted |= {23: 10, 24: 11, 25: 12, 26: 13, 27: 14, 28: 15, 31: 16, 32: 17, 33: 18}
    for y in data.y_train[:2]:
        assert (y == np.vectorize(lambda i: wanted.get(i, VOID))(ids)).all()
    assert (data.y_train[2] == 13).all() and (data.y_test == 13).all()
    assert len(data.classes) == 19 and data.classes[18] == "bicycle"
    assert data.classes[::13] == ("road", "car")
    shutil.rmtree(root / "leftImg8bit" / "val" / "kiel")
    assert "no images of cityscapes's test part" in refusal("cityscapes")
    shutil.rmtree(root / "gtFine" / "val")
    message = refusal("cityscapes")
    assert f"nor {root}/gtFine/val (torchvision's" in message and "https://" in message


@pytest.mark.parametrize("tested", ["test", "val"])
def test_image_folders_without_what_is_hidden(root, tested):
    folder = root / "leaves"
    write_images(folder / "train", "ash __MACOSX .cache oak")  # oak: 30, 31
    write_images(folder / "train" / "ash", ".ipynb_checkpoints @eaDir")
    write_images(folder / tested, "oak", each=1)
    write_images(folder / "test", "unlabelled" if tested == "val" else "oak", 1)
    (folder / "train" / "oak" / "._0.png").write_bytes(b"\0\5\26\7")
    (folder / "train" / "oak" / "desktop.ini").write_text("no image")
    data = load_dataset("leaves")
    assert data.classes == ("ash", "oak") and data.y_train.tolist() == [0, 0, 1, 1]
    assert data.x_train[:][:, 5, 5, 1].tolist() == [0, 1, 30, 31]
    assert data.x_train[-1].shape == (32, 32, 3) and data.x_train[[]].shape[0] == 0
    assert isinstance(data.x_test, np.ndarray) and data.y_test.tolist() == [1]


def test_tiny_imagenet_as_it_is_unpacked(root):
    folder = root / "tiny_imagenet_32"
    write_images(folder / "train", "n01 n02", size=(64, 64))
    write_images(folder / "val", "images", each=3, size=(64, 64))
    listed = "2.png\tn02\t0\t0\n0.png\tn01\t0\t0\n1.png\tn02\t0\t0\n"
    (folder / "val" / "val_annotations.txt").write_text(listed)
    (folder / "words.txt").write_text("n00\tthing\nn01\ttench, Tinca\nn02\tgoldfish\n")
    data = load_dataset("tiny_imagenet_32")
    assert data.y_test.tolist() == [1, 0, 1] and data.x_test[0, 0, 0, 0] == 2
    assert data.classes == ("tench", "goldfish") and data.x_test.shape[1] == 32


@pytest.mark.parametrize(("mode", "side", "c"), [("RGB", 224, 3), ("L", 40, 1)])
def test_all_images_set_the_shape_of_ones_own(root, mode, side, c):
    size = (300, 250) if side == 224 else (40, 50)
    write_images(root / "leaves" / "train", "ash oak", each=4, size=size, mode=mode)
    write_images(root / "leaves" / "train", "ash", each=1, size=(9, 9), mode="L")
    write_images(root / "leaves" / "test", "ash oak", size=(90, 70), mode="P")
    data = load_dataset("leaves")
    assert data.x_train.shape[1:] == data.x_test.shape[1:] == (side, side, c)
    assert isinstance(data.x_train, ImageFiles)


def test_what_a_folder_leaves_out_is_counted(root, capsys):
    for part in ("train", "test"):
        write_images(root / "my-leaves" / part, "ash oak")
    for file in ("0.heic", "1.heic", "notes.txt", ".DS_Store"):
        (root / "my-leaves" / "train" / "oak" / file).write_bytes(b"")
    assert len(load_dataset("my-leaves").x_train) == 4
    line = capsys.readouterr().err
    assert "2 of .heic, 1 of .txt" in line and "DS_Store" not in line


def test_ones_own_npz(root):
    names = np.array([*"abcd"])
    arrays = write_npz(root / "leaves.npz", 20, 3, train=600, classes=names)
    data, scaled = load_dataset("leaves"), arrays["x_train"] / 255
    np.testing.assert_array_equal(data.x_train, arrays["x_train"])
    assert data.num_classes == 4 and data.classes == ("a", "b", "c", "d")
    np.testing.assert_allclose(data.mean, scaled.mean((0, 1, 2)), rtol=1e-12)
    np.testing.assert_allclose(data.std, scaled.std((0, 1, 2)), rtol=1e-12)
    write_npz(root / "leaves.npz", x_test=None, y_test=None)
    assert "x_test" in refusal("leaves")


def test_resizing():
    x = np.random.default_rng(0).integers(256, size=(5, 28, 28, 1), dtype=np.uint8)
    digest = hashlib.sha256(resize(x, 32).tobytes()).hexdigest()
    assert digest.startswith("4e42b0bfb2ec5282")  # MNIST's shipped teachers
    wide = pixels(3, 32, 40, 3)
    np.testing.assert_array_equal(resize(wide, 32), wide[:, :, 4:36])
