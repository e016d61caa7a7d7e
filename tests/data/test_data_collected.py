"""Collected data, and images on the device: the choice, the hash, crops and flips."""

import dataclasses

import numpy as np
import pytest
import torch
from data_files import made, pixels, write_images
from refused import refused

from dfkd_lib import data as house
from dfkd_lib.data import ImageFiles, Images, augment, collect, images_for, load_dataset

NAMES = "tabby,Egyptian cat,polecat,moving_van,limousine,lion,sea lion,Goose,fir,x"
CIFAR = tuple("airplane automobile bird cat deer dog frog horse lion truck".split())


@pytest.fixture
def leaves(root):
    """Ten classes of 30 images, whose pixels are their numbers."""
    number = np.arange(300)
    x = np.zeros((300, 16, 16, 3), np.uint8)
    x[..., 0], x[..., 1] = (part[:, None, None] for part in divmod(number, 256))
    classes = np.array(NAMES.split(","))
    np.savez(root / "leaves.npz", x_train=x, y_train=number % 10, classes=classes)


def target(name="made", size=16, channels=3):
    return made(200, size, channels, name, CIFAR)


def numbers(x: np.ndarray) -> list[int]:
    return (x[:, 0, 0, 0].astype(int) * 256 + x[:, 0, 0, 1]).tolist()


def test_the_images_of_the_committed_records():
    data = load_dataset("digits_hybrid")
    choice = {"ratio": 0.13, "by": "category", "imbalance": 5.0}
    for seed, sha256 in enumerate(("a5ce5593e87b", "8e9731deb3b2", "9348700d3a20")):
        found, record = images_for("collected", data, seed=seed, device="cpu", **choice)
        assert record["sha256"].startswith(sha256)
        assert record["classes"] == [23, 19, 16, 13, 11, 9, 8, 7, 6, 5]
        assert len(found) == record["count"] == record["images"] == 117


def test_random_images(leaves):
    got, again = (collect("leaves", target(), ratio=0.1, seed=1) for _ in range(2))
    assert numbers(got.x) == got.record["indices"] and len(got.x) == 20
    assert got.y is None and got.record == again.record
    other = collect("leaves", target(size=24), ratio=0.1, seed=2)
    assert other.record["indices"] != got.record["indices"]
    assert other.x.shape == (20, 24, 24, 3)
    grey = collect("leaves", target(channels=1)).x[:, 5, 5, 0]
    assert grey[:256].tolist() == np.round(np.arange(256) * 0.587).tolist()


def test_images_by_category(leaves):
    got = collect("leaves", target(), by="category")
    assert got.record["classes"] == [0, 30, 30, 60, 0, 0, 0, 0, 30, 30]
    some = {0: 3, 1: 3, 3: 9, 4: 1, 5: 8, 7: 2}
    assert got.y.tolist() == [some[number % 10] for number in numbers(got.x)]
    got = collect("leaves", target(), ratio=0.25, by="category", imbalance=1)
    assert got.record["classes"] == [0, 10, 10, 10, 0, 0, 0, 0, 10, 10]


class Judge(torch.nn.Module):
    """More confident of later images, of their green channel; says class 3 or 8."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        assert not self.training
        green = ((x[:, 1, 0, 0] * 0.2435 + 0.4822) * 255).round()
        logits = torch.zeros(len(x), 10)
        logits[torch.arange(len(x)), torch.where(green % 2 == 0, 3, 8)] = 1 + green / 99
        return logits


def test_images_by_confidence(leaves):
    judge = Judge().train()
    got = collect("leaves", target(), ratio=0.1, by="confidence", teacher=judge)
    assert got.record["indices"] == list(range(236, 256)) and judge.training
    assert got.y.tolist() == [3, 8] * 10


def test_photographs_are_always_there(root, digits):
    assert house.source_for("unrelated", "digits") == "photographs"
    assert house.source_for("collected", "mnist") == "digits"
    got = collect("photographs", digits, ratio=0.1)
    assert got.record["sha256"].startswith("de509aa3a661dfae")


WRONG = [
    ({"source": "leafs"}, "source: 'leafs' is not known"),
    ({"source": "svhn"}, "svhn.npz"),
    ({"source": "cinic10", "target": target("cifar10")}, "shares images"),
    ({"source": "moons"}, "2 channels"),
    ({"by": "luck"}, "by: 'luck' is not known"),
    ({"ratio": 0}, "ratio: 0 is not allowed"),
    ({"ratio": 2}, "400 images are too many, leaves has 300 by random for made"),
    ({"imbalance": 0.5, "by": "category"}, "imbalance: 0.5"),
    ({"imbalance": 2}, "no labels"),
    ({"by": "confidence"}, "needs a teacher"),
    ({"by": "category", "source": "photographs"}, "does not name its classes"),
]


@pytest.mark.parametrize(("changes", "words"), WRONG)
def test_what_is_not_collected(leaves, changes, words):
    given = {"source": "leaves", "target": target()} | changes
    assert words in refused(collect, **given)


def test_a_fraction_of_the_original_images(digits):
    kept, record = images_for("original", digits, share=0.1, seed=3, device="cpu")
    assert len(kept) == record["images"] == 135 and record["share"] == 0.1
    assert torch.equal(kept.x, Images.of(digits, "cpu").x[record["kept"]])


@pytest.mark.parametrize("channels", [1, 3])
def test_the_same_bits_as_the_data_sets_own_normalisation(channels):
    data, index = made(channels=channels), torch.tensor([5, 0, 39, 5])
    for part, x in (("train", data.x_train), ("test", data.x_test)):
        batch = Images.of(data, "cpu", part).batch(index)
        assert torch.equal(batch, torch.from_numpy(data.normalise(x[index.numpy()])))


@pytest.mark.parametrize("memory", [0, 10**9])
def test_image_files_are_decoded_once_if_memory_holds_them(root, monkeypatch, memory):
    write_images(root, "a", each=6)
    files = ImageFiles(tuple(str(root / "a" / f"{k}.png") for k in range(6)), 3, 32)
    monkeypatch.setattr(house.images, "MEMORY", memory)
    data = dataclasses.replace(made(6), x_train=files)
    found = Images.of(data, "cpu")[torch.tensor([5, 4, 0])]
    assert isinstance(found.x, torch.Tensor if memory else ImageFiles)
    assert found.pixels(torch.tensor([1, 2]))[:, 2, 7, 9].tolist() == [4, 0]


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("mode, pad", [("zeros", 2), ("replicate", 2), ("zeros", 0)])
def test_crops_and_flips_against_numpy(mode, pad, flip):
    x, random = pixels(60, 3, 10, 12), torch.Generator().manual_seed(3)
    got = augment(torch.from_numpy(x), random, pad=pad, mode=mode, flip=flip).numpy()
    random = torch.Generator().manual_seed(3)
    rows, columns = torch.randint(0, 2 * pad + 1, (2, 60), generator=random).tolist()
    flips = (torch.rand(60, generator=random) < 0.5).tolist() if flip else [False] * 60
    numpys = {"zeros": "constant", "replicate": "edge"}[mode]
    padded = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)), mode=numpys)
    for k in range(60):
        crop = padded[k, :, rows[k] : rows[k] + 10, columns[k] : columns[k] + 12]
        np.testing.assert_array_equal(got[k], crop[..., ::-1] if flips[k] else crop)


def test_a_mask_selects_the_images_that_are_flipped():
    x = torch.arange(2 * 3 * 4 * 4, dtype=torch.uint8).view(2, 3, 4, 4)
    mask, random = torch.tensor([False, True]), torch.Generator().manual_seed(0)
    got = augment(x, random, pad=0, mode="zeros", flip=mask)
    assert torch.equal(got[0], x[0]) and torch.equal(got[1], x[1].flip(-1))


@pytest.mark.parametrize("name, flip", [("cifar10", True), ("svhn", False)])
def test_the_usual_augmentation(name, flip):
    found, index = Images.of(made(8, name=name), "cpu"), torch.tensor([3, 1])
    got = found.labelled(index, torch.Generator().manual_seed(0))[0]
    random, usual = torch.Generator().manual_seed(0), {"pad": 4, "mode": "zeros"}
    expected = augment(found.x[index], random, flip=flip, **usual)
    assert torch.equal(got, found.normalise(expected))


def test_only_networks_that_take_the_images(digits):
    house.check_fits(digits, "student", "lenet5_half")
    message = refused(house.check_fits, digits, "student", "wrn16_1")
    assert "3×32×32, but digits has 1×32×32; allowed with it: conv" in message
    assert "any size" in refused(house.check_fits, digits, "teacher", "resnet18")
    house.check_fits(made(2, 20), "teacher", "resnet18")
