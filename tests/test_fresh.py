"""Testing on fresh synthetic images; real images to check on, from a folder or an npz."""

import copy

import numpy as np
import pytest
import torch
from faults import same
from method_checks import lenet, play
from PIL import Image

from dfkd_lib import fresh
from dfkd_lib.errors import UserError
from dfkd_lib.evaluation import logits_of
from dfkd_lib.training import History
from dfkd_lib.unlabelled import load_images


def test_it_leaves_the_game_as_it_is():
    game = play("mad")
    before = copy.deepcopy(game.state())
    scores = fresh.FreshImages(40).scores(game)
    assert same(before, game.state()) and game.generator.training and game.student.training
    assert scores == fresh.FreshImages(40).scores(game) and scores.accuracy is None
    game.samples += 1
    assert scores != fresh.FreshImages(40).scores(game)  # other images


def test_a_copy_of_the_teacher_agrees_and_another_does_not():
    game = play("dfad")
    game.student = copy.deepcopy(lenet())
    scores = fresh.FreshImages(64).scores(game)
    assert scores.agreement == 100 and scores.kl == pytest.approx(0, abs=1e-6)
    with torch.no_grad():
        game.student.classifier.weight.neg_()
    assert fresh.FreshImages(64).scores(game).agreement < 50


def test_the_scores_are_those_of_the_images(monkeypatch):
    game, seen = play("dfad"), []
    monkeypatch.setattr(fresh, "logits_of", lambda network, x: seen.append(x) or logits_of(network, x))
    scores = fresh.FreshImages(20).scores(game)
    seen = [torch.cat(seen[::2]), torch.cat(seen[1::2])]
    with torch.no_grad():
        answers, logits = game.teacher(seen[0]), game.student.eval()(seen[1])
    p = answers.softmax(1)
    assert len(seen[0]) == 20 and torch.equal(*seen)
    assert scores.agreement == pytest.approx(100 * (answers.argmax(1) == logits.argmax(1)).double().mean().item())
    assert scores.kl == pytest.approx((p * (p.log() - logits.log_softmax(1))).sum(1).mean().item(), rel=1e-4)


@pytest.mark.parametrize(
    ("tests", "ends"),
    [
        ([], False),
        ([100, 100], False),
        ([100, 100, 100], True),
        ([0, 99, 99, 99], True),
        ([99, 99, 98], False),
        ([10, 20, 30, 40, 50], False),
        ([50, 10, 20, 30, 50], True),
        ([50, 10, 20, 30, 51], False),
        ([50, 10, 20, 30], False),
    ],
)
def test_when_it_is_enough(tests, ends):
    assert fresh.Enough(99, 4)(History(agreement=list(map(float, tests)))) is ends


# --- real images to check on -----------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path):
    """Two pictures, one of them below, and a text."""
    (tmp_path / "images" / "more").mkdir(parents=True)
    Image.new("RGB", (40, 20), (255, 0, 0)).save(tmp_path / "images" / "b.png")
    Image.new("L", (10, 10), 51).save(tmp_path / "images" / "more" / "a.jpg")
    (tmp_path / "images" / "notes.txt").write_text("no image")
    return tmp_path / "images"


def test_a_folder(folder):
    x, y = load_images(folder, (3, 8, 8), 10)
    assert x.shape == (2, 3, 8, 8) and x.dtype == np.uint8 and y is None
    np.testing.assert_array_equal(x.mean((2, 3)), [[255, 0, 0], [51, 51, 51]])


def test_an_npz_with_and_without_labels(tmp_path):
    images = np.random.default_rng(0).integers(256, size=(5, 8, 8, 1), dtype=np.uint8)
    np.savez(tmp_path / "a.npz", x=images)
    np.savez(tmp_path / "b.npz", x_test=images, y_test=np.arange(5, dtype=np.uint8))
    x, y = load_images(tmp_path / "a.npz", (1, 8, 8), 10)
    np.testing.assert_array_equal(x, images.transpose(0, 3, 1, 2))
    assert y is None
    x, y = load_images(str(tmp_path / "b.npz"), (1, 4, 4), 10)
    assert x.shape == (5, 1, 4, 4) and y.tolist() == [0, 1, 2, 3, 4]


GOOD = np.zeros((3, 8, 8, 1), np.uint8)


@pytest.mark.parametrize(
    ("arrays", "told"),
    [
        ({"z": GOOD}, "has no array x"),
        ({"x": GOOD.astype(float)}, "x is float64"),
        ({"x": GOOD[..., 0]}, "must be uint8, (images, height, width, 1)"),
        ({"x": GOOD.repeat(3, 3)}, "of shape (3, 8, 8, 3)"),
        ({"x": GOOD[:0]}, "of shape (0, 8, 8, 1)"),
        ({"x": GOOD, "y": np.zeros(2, int)}, "must hold 3 whole numbers"),
        ({"x": GOOD, "y": np.zeros(3)}, "y is float64"),
        ({"x": GOOD, "y": np.array([0, 1, 10])}, "labels from 0 to 10; the teacher's are from 0 to 9"),
        ({"x": np.array([{}], object)}, "cannot be read"),
    ],
)
def test_bad_arrays(tmp_path, arrays, told):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(UserError) as refused:
        load_images(tmp_path / "a.npz", (1, 8, 8), 10)
    assert told in str(refused.value) and "check: " in str(refused.value) and "\n" not in str(refused.value)


def test_no_images(tmp_path, folder):
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.npz").write_text("no npz")
    (folder / "broken.png").write_bytes(b"no picture")
    for path, told in (
        ("gone", "there is no"),
        ("empty", "has no images"),
        ("text.npz", "no npz"),
        ("images", "broken"),
    ):
        with pytest.raises(UserError, match=told):
            load_images(tmp_path / path, (3, 8, 8), 10)
