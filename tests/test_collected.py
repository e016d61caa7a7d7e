"""Collected data: how many, of which classes, in which shape, the same by the same seed, and all of it on record."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from dfkd_lib.categories import matching
from dfkd_lib.collected import RELATED, UNRELATED, collect, convert, default_source
from dfkd_lib.data import Dataset, load_dataset, resize
from dfkd_lib.errors import UserError

REAL = os.environ.get("DFKD_DATA", "")  # read before the tests' surroundings hide it


@pytest.fixture
def root(monkeypatch, tmp_path) -> Path:
    """A folder with a source, `leaves`: 16×16 colour, ten classes of 30 images, whose pixels tell their numbers."""
    monkeypatch.setenv("DFKD_DATA", str(tmp_path))
    monkeypatch.setenv("DFKD_OFFLINE", "1")
    number = np.arange(300)
    x = np.zeros((300, 16, 16, 3), np.uint8)
    x[..., 0], x[..., 1] = (number // 256)[:, None, None], (number % 256)[:, None, None]
    names = [
        "tabby",
        "Egyptian cat",
        "polecat",
        "moving van",
        "limousine",
        "lion",
        "sea lion",
        "goose",
        "fir",
        "bullfrog",
    ]
    np.savez(tmp_path / "leaves.npz", x_train=x, y_train=number % 10, x_test=x[:1], y_test=[0], classes=np.array(names))
    return tmp_path


def target(
    channels: int = 3, size: int = 16, classes: tuple[str, ...] = (), name: str = "made", n: int = 200
) -> Dataset:
    x = np.zeros((n, size, size, channels), np.uint8)
    return Dataset(name, x, np.arange(n) % 10, x[:1], np.array([0]), (0.5,) * channels, (0.25,) * channels, classes)


def numbers(x: np.ndarray) -> list[int]:
    """Which images of `leaves` these are."""
    return (x[:, 0, 0, 0].astype(int) * 256 + x[:, 0, 0, 1]).tolist()


SAME = {label: label for label in range(10)}


def test_a_random_share(root):
    got = collect("leaves", target(), ratio=0.1, seed=1)
    assert got.x.shape == (20, 16, 16, 3) and got.y is None
    assert numbers(got.x) == got.record["indices"] and len(set(got.record["indices"])) == 20
    again, other = collect("leaves", target(), ratio=0.1, seed=1), collect("leaves", target(), ratio=0.1, seed=2)
    np.testing.assert_array_equal(got.x, again.x)
    assert got.record == again.record and other.record["indices"] != got.record["indices"]
    assert max(got.record["indices"]) > 200  # from all of the source


def test_all_of_a_source(root):
    assert collect("leaves", target()).record["indices"] == list(range(300))


def test_the_record(root):
    got = collect("leaves", target(), ratio=0.25, by="category", categories=SAME, imbalance=3, seed=5)
    record = json.loads(json.dumps(got.record))
    assert {key: record[key] for key in ("source", "part", "available", "target", "ratio", "count")} == {
        "source": "leaves",
        "part": "train",
        "available": 300,
        "target": "made",
        "ratio": 0.25,
        "count": 50,
    }
    assert (record["by"], record["imbalance"], record["seed"]) == ("category", 3, 5)
    assert record["classes"] == np.bincount(got.y, minlength=10).tolist() and sum(record["classes"]) == 50
    assert len(record["indices"]) == 50 and len(record["sha256"]) == 64


def test_by_category_and_balanced(root):
    got = collect("leaves", target(), ratio=0.5, by="category", categories=SAME, imbalance=1)
    assert got.record["classes"] == [10] * 10
    assert got.y.tolist() == [number % 10 for number in numbers(got.x)]


@pytest.mark.parametrize("imbalance", [1, 2.0, 10, 100])
def test_the_imbalance_profile(root, imbalance):
    got = collect("leaves", target(), ratio=0.25, by="category", categories=SAME, imbalance=imbalance)
    shares = np.geomspace(imbalance, 1, 10)
    ideal = np.minimum(50 * shares / shares.sum(), 30)
    assert sum(got.record["classes"]) == 50
    assert np.abs(np.array(got.record["classes"]) - ideal).max() < 1


def test_all_that_keeps_the_imbalance(root):
    got = collect("leaves", target(), by="category", categories={0: 0, 1: 0, 2: 9}, imbalance=10)
    assert got.record["classes"] == [60, 0, 0, 0, 0, 0, 0, 0, 0, 6]


def test_only_the_categories_asked_for(root):
    got = collect("leaves", target(), ratio=0.2, by="category", categories={3: 7, 4: 7, 9: 0})
    assert {number % 10 for number in numbers(got.x)} == {3, 4, 9}
    assert got.y.tolist() == [{3: 7, 4: 7, 9: 0}[number % 10] for number in numbers(got.x)]


def test_categories_by_name(root):
    cifar = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "lion", "truck")
    names = (
        "tabby",
        "Egyptian cat",
        "polecat",
        "moving_van",
        "limousine",
        "lion",
        "sea lion",
        "Goose",
        "fir",
        "bullfrog",
    )
    expected = {0: 3, 1: 3, 3: 9, 4: 1, 5: 8, 7: 2, 9: 6}
    assert matching("leaves", names, target(classes=cifar)) == expected
    got = collect("leaves", target(classes=cifar), by="category")
    assert got.record["classes"] == [0, 30, 30, 60, 0, 0, 30, 0, 30, 30]
    with pytest.raises(UserError, match="made do not name its classes"):
        matching("leaves", names, target())
    with pytest.raises(UserError, match="leaves do not name its classes"):
        matching("leaves", (), target(classes=cifar))
    with pytest.raises(UserError, match="no class of leaves"):
        matching("leaves", ("fir",), target(classes=cifar))


def test_digits_are_digits():
    assert matching("usps", (), target(name="mnist")) == SAME
    with pytest.raises(UserError):
        matching("usps", (), target(name="cifar10"))


# --- by the teacher's confidence -------------------------------------------------------------------------------------


class Judge(torch.nn.Module):
    """Surer of later images (of the green channel, up to 255); says class 3 or 8."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        assert not self.training and x.dtype == torch.float32
        green = (x[:, 1, 0, 0] * 0.25 + 0.5) * 255  # normalisation undone
        logits = torch.zeros(len(x), 10)
        logits[torch.arange(len(x)), torch.where(green.round() % 2 == 0, 3, 8)] = 1 + green / 100
        return logits


def test_those_of_which_the_teacher_is_surest(root):
    judge = Judge().train()
    got = collect("leaves", target(), ratio=0.1, by="confidence", teacher=judge)
    assert got.record["indices"] == list(range(236, 256))
    assert got.y.tolist() == [3, 8] * 10
    assert judge.training
    got = collect("leaves", target(), ratio=0.1, by="confidence", teacher=lambda x: judge.eval()(x), imbalance=1)
    assert got.record["classes"] == [0, 0, 0, 10, 0, 0, 0, 0, 10, 0]
    assert got.record["indices"] == list(range(236, 256))


def test_a_real_teacher(root, teacher, digits):
    usps = {f"{k}_{part}": v for part in ("train", "test") for k, v in (("x", digits.x_test), ("y", digits.y_test))}
    np.savez(root / "usps.npz", **usps)  # its own test images, in another's name
    got = collect("usps", digits, ratio=0.2, by="confidence", teacher=teacher.network)
    assert (got.y == digits.y_test[got.record["indices"]]).mean() == 1
    logits = teacher.network(torch.from_numpy(digits.normalise(digits.x_test)))
    sure = logits.softmax(1).amax(1).detach().numpy()
    chosen = np.isin(np.arange(450), got.record["indices"])
    assert sure[chosen].min() >= sure[~chosen].max()


# --- shapes ----------------------------------------------------------------------------------------------------------


def test_colour_becomes_grey_and_grey_colour():
    x = np.random.default_rng(0).integers(256, size=(6, 16, 16, 3), dtype=np.uint8)
    grey = convert(x, np.array([4, 1]), target(channels=1))
    luma = x[[4, 1]] @ [0.299, 0.587, 0.114]
    assert grey.shape == (2, 16, 16, 1) and np.abs(grey[..., 0] - luma).max() <= 0.5
    white = convert(np.full_like(x, 255), np.arange(2), target(channels=1))
    assert (white == 255).all()
    colour = convert(x[..., :1], np.array([4, 1]), target())
    np.testing.assert_array_equal(colour, x[[4, 1], :, :, :1].repeat(3, 3))


def test_sizes_follow_the_target(root):
    got = collect("leaves", target(size=24), ratio=0.1)
    assert got.x.shape == (20, 24, 24, 3) and numbers(got.x) == got.record["indices"]
    x = np.random.default_rng(0).integers(256, size=(600, 16, 16, 1), dtype=np.uint8)
    np.testing.assert_array_equal(convert(x, np.arange(600), target(channels=1, size=8)), resize(x, 8))


# --- sources ---------------------------------------------------------------------------------------------------------


def test_default_sources(root):
    assert default_source("mnist", "related") == "digits"  # the embedded one, where there is no other
    assert default_source("digits", "unrelated") == "photographs"
    assert default_source("cifar100", "unrelated") == "digits"
    for name in ("usps", "tiny_imagenet_32"):
        (root / f"{name}.npz").touch()
    assert default_source("mnist", "related") == default_source("digits", "related") == "usps"
    assert default_source("digits", "unrelated") == default_source("cifar10", "related") == "tiny_imagenet_32"


def test_no_default_source(root):
    with pytest.raises(UserError, match="related to digits none .*mnist, usps"):
        default_source("digits", "related")
    with pytest.raises(UserError, match="no related data set is listed for ham10000"):
        default_source("ham10000", "related")
    with pytest.raises(UserError, match="source: 'similar' is not known"):
        default_source("digits", "similar")


def test_no_table_names_a_source_that_shares_images(digits, root):
    for table in (RELATED, UNRELATED):
        for name, sources in table.items():
            for source in set(sources) - {"photographs"}:
                try:
                    collect(source, target(name=name))
                except UserError as error:
                    assert "shares images" not in str(error)


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("digits", "digits"),
        ("leaves", "leaves"),
        ("digits", "digits_half"),
        ("cinic10", "cifar10"),
        ("imagenet", "tiny_imagenet"),
    ],
)
def test_the_teachers_own_data_are_not_collected(root, source, name):
    with pytest.raises(UserError, match="shares images"):
        collect(source, target(name=name))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"source": "leafs"}, "source: 'leafs' is not known"),
        ({"source": "svhn"}, "svhn.npz"),
        ({"by": "luck"}, "by: 'luck' is not known"),
        ({"ratio": 0}, "ratio: 0 is not allowed"),
        ({"ratio": -1}, "ratio: -1"),
        ({"ratio": 2}, "asks|is 400, but leaves has 300 .* at most 1.5"),
        ({"by": "category", "categories": {0: 0}, "ratio": 0.2}, "leaves has 30 .* at most 0.15"),
        ({"imbalance": 0.5, "by": "category"}, "imbalance: 0.5"),
        ({"imbalance": 2}, "imbalance: random images have no labels"),
        ({"by": "confidence"}, "needs a teacher"),
        ({"teacher": lambda x: x}, "nothing else takes one"),
        ({"seed": -1}, "seed: -1"),
        ({"by": "category", "categories": {0: 10}}, "made has no class 10"),
        ({"by": "category", "categories": {10: 0}}, "leaves has no class 10"),
        ({"by": "category", "categories": {}}, "no image of leaves belongs"),
    ],
)
def test_what_is_refused(root, changes, words):
    with pytest.raises(UserError, match=words) as caught:
        collect(**{"source": "leaves", "target": target()} | changes)
    assert len(str(caught.value).splitlines()) == 1


def test_a_target_that_is_not_square(root):
    x = np.zeros((2, 8, 9, 1), np.uint8)
    with pytest.raises(UserError, match="8×9"):
        collect("leaves", Dataset("made", x, np.array([0, 1]), x, np.array([0, 1]), (0.5,), (1.0,)))


# --- real data, where there is any -----------------------------------------------------------------------------------


def real(monkeypatch, *names: str) -> list[Dataset]:
    for name in names:
        if not REAL or not (Path(REAL) / f"{name}.npz").is_file():
            pytest.skip(f"DFKD_DATA is not set, or its folder holds no {name}.npz")
    monkeypatch.setenv("DFKD_DATA", REAL)
    return [load_dataset(name) for name in names]


def test_real_usps_for_digits(monkeypatch, digits, teacher):
    real(monkeypatch, "usps")
    got = collect("usps", digits, ratio=1, by="category", imbalance=1)
    logits = teacher.network(torch.from_numpy(digits.normalise(got.x)))
    assert got.record["count"] == 1347 and set(got.record["classes"]) == {134, 135}
    assert (logits.argmax(1).numpy() == got.y).mean() > 0.5  # the teacher knows these digits, though never seen


def test_real_photographs_for_cifar100(monkeypatch):
    (cifar,) = real(monkeypatch, "cifar100")
    if not (Path(REAL) / "tiny_imagenet_32.npz").is_file():
        pytest.skip("DFKD_DATA's folder holds no tiny_imagenet_32.npz")
    got = collect("tiny_imagenet_32", cifar, ratio=0.1, by="category")
    assert got.x.shape == (5000, 32, 32, 3) and sum(n > 0 for n in got.record["classes"]) == 29
    shown = {cifar.classes[label] for label in set(got.y.tolist())}
    assert {"bear", "bus", "elephant", "lawn_mower", "lion", "sweet_pepper"} <= shown


@pytest.mark.parametrize(("source", "target"), [("moons", "digits"), ("digits", "moons"), ("photographs", "moons")])
def test_points_are_neither_collected_nor_filled(source, target):
    with pytest.raises(UserError, match="2 channels; only grey and colour images"):
        collect(source, load_dataset(target))
