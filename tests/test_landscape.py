"""Chapter 1's instruments on a game in the plane."""

import copy

import numpy as np
import pytest
import torch

from dfkd_lib import methods, training
from dfkd_lib.data import load_dataset
from dfkd_lib.evaluation import TestSet
from dfkd_lib.landscape import Landscape, Snapshot, gradient_norms, share_that_speaks
from dfkd_lib.losses.dfad import DISCREPANCIES
from dfkd_lib.models.plane import grid
from dfkd_lib.recipes import recipe_for
from dfkd_lib.teachers import load_teacher


@pytest.fixture(scope="module")
def moons():
    data = load_dataset("moons")
    return data, load_teacher(data, "mlp", device="cpu").network


def played(moons, observe=None):
    data, teacher = moons
    game = methods.METHODS["dfad"](teacher, recipe_for("moons", "dfad").replace(stages=12), 2, 2, seed=0, size=1)
    training.train(game, TestSet.of(data, teacher, "cpu"), progress=False, observe=observe)
    return game


def test_watching_changes_nothing_and_snapshots_stand_still(moons):
    watched = Landscape(every=5)
    one, other = played(moons), played(moons, watched)
    for a, b in zip(one.student.parameters(), other.student.parameters(), strict=True):
        assert torch.equal(a, b)
    assert list(watched.seen) == [1, 5, 10]
    assert watched.seen[1].plane().mean() != watched.seen[10].plane().mean()


def test_both_sides_agree_with_each_other_and_with_a_grid(moons):
    snapshot = Snapshot.of(played(moons))
    (left, e_left), (right, e_right) = snapshot.sides(20_000, seed=1)
    assert abs(left - right) < 4 * np.hypot(e_left, e_right)
    x = grid(201).double()
    w, d = snapshot.ratio(x), snapshot.d(x)
    assert w.mean() == pytest.approx(1, abs=1e-2)
    assert left == pytest.approx((w * d).mean() - d.mean(), abs=4 * e_left)


def test_gradient_norms_by_finite_differences(moons):
    _, teacher = moons
    teacher = copy.deepcopy(teacher).double()
    direction = torch.tensor([[0.3, -0.2], [0.1, 0.4]], dtype=torch.float64)

    def student(x):
        return teacher(x) + 0.1 * (x.flatten(1) @ direction).sin()

    x = torch.tensor([[0.5, 0.2], [-1.0, 0.7]], dtype=torch.float64)[..., None, None]
    found = gradient_norms(teacher, student, x)
    for name, loss in DISCREPANCIES.items():
        for i in range(2):
            steps = 1e-6 * torch.eye(2, dtype=torch.float64)[..., None, None]
            values = [
                [loss(teacher(at), student(at)).item() for at in (x[i : i + 1] + s * h for s in (1, -1))] for h in steps
            ]
            by_hand = np.hypot(*(np.subtract(*pair) / 2e-6 for pair in values))
            assert found[name][i] == pytest.approx(by_hand, rel=1e-4)


def test_share_that_speaks():
    assert share_that_speaks(np.ones(7)) == pytest.approx(1)
    assert share_that_speaks(np.array([0, 0, 3.0, 3.0])) == pytest.approx(0.5)
