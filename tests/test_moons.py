"""The plane: its data, its teacher, a generator whose density is known, and methods that can be seen to work."""

import copy
import hashlib
import json
import math

import numpy as np
import pytest
import torch

from dfkd_lib import teachers
from dfkd_lib.data import load_dataset
from dfkd_lib.errors import UserError
from dfkd_lib.evaluation import TestSet
from dfkd_lib.methods import METHODS
from dfkd_lib.models import Flow, flow_for, grid
from dfkd_lib.recipes import recipe_for
from dfkd_lib.training import train


@pytest.fixture(scope="module")
def moons():
    return load_dataset("moons")


@pytest.fixture
def moved():
    """A flow that is no identity any more, in double precision."""
    torch.manual_seed(0)
    flow = Flow().double()
    for coupling in flow.couplings:
        torch.nn.init.normal_(coupling[-1].weight, 0, 0.2)
    return flow.requires_grad_(False)


def test_points_are_images_of_one_pixel(moons):
    assert moons.x_train.shape == (1500, 1, 1, 2) and moons.x_test.shape == (500, 1, 1, 2)
    assert moons.x_train.dtype == np.uint8 and np.bincount(moons.y_train).tolist() == [750, 750]
    arrays = [moons.x_train, moons.y_train, moons.x_test, moons.y_test]
    assert hashlib.sha256(b"".join(a.tobytes() for a in arrays)).hexdigest().startswith("4a986e9f7a98b59b")


def test_the_points_are_the_moons_to_one_level(moons):
    """Each class is a half circle of radius 1 (scikit-learn: around (0, 0) from above, (1, 1/2) from below)."""
    points = moons.x_train[:, 0, 0] / 255 * (4.5, 3.0) + (-1.75, -1.25)
    for label, centre in ((0, (0, 0)), (1, (1, 0.5))):
        radius = np.linalg.norm(points[moons.y_train == label] - centre, axis=1)
        assert abs(radius.mean() - 1) < 0.02 and abs(radius.std() - 0.1) < 0.02


def test_the_square_holds_the_data(moons):
    assert np.abs(moons.normalise(moons.x_train)).max() < 2.2 < Flow.RADIUS


def test_the_shipped_teacher_comes_out_again(moons, tmp_path):
    assert teachers.main(f"--dataset moons --teacher mlp --device cpu --folder {tmp_path}".split()) == 0
    again, shipped = (json.loads((f / "moons-mlp.json").read_text()) for f in (tmp_path, teachers.SHIPPED))
    assert again["hash"] == shipped["hash"] or abs(again["accuracy"] - shipped["accuracy"]) < 1
    assert shipped["accuracy"] > 99


def test_the_flow_is_invertible_and_stays_in_the_square(moved):
    z = torch.randn(500, 2, dtype=torch.float64)
    x = moved(z)
    assert x.shape == (500, 2, 1, 1) and x.abs().max() < Flow.RADIUS
    assert torch.allclose(moved.inverse(x), z, atol=1e-8)


def test_the_density_is_that_of_the_change_of_variables(moved):
    z = torch.randn(20, 2, dtype=torch.float64)
    for point, log_density in zip(z, moved.log_density(z), strict=True):
        jacobian = torch.autograd.functional.jacobian(lambda p: moved(p[None]).flatten(), point)
        expected = -0.5 * point @ point - math.log(2 * math.pi) - jacobian.det().abs().log()
        assert log_density == pytest.approx(expected.item(), abs=1e-9)


def test_the_density_integrates_to_one(moved):
    cells = grid(401).double()
    density = moved.log_density(moved.inverse(cells)).exp()
    assert density.mean() * (2 * Flow.RADIUS) ** 2 == pytest.approx(1, abs=2e-3)


def test_a_new_flow_is_a_squashed_gaussian():
    z = torch.randn(100, 2)
    assert torch.allclose(Flow()(z).flatten(1), 3 * (0.6 * z).tanh(), atol=1e-6)


@pytest.mark.parametrize("wrong", [(100, 2, 1), (2, 1, 1), (2, 3, 32)])
def test_a_flow_makes_points_only(wrong):
    with pytest.raises(UserError, match=r"it is for moons \(without conditioning = cat\); elsewhere give generator_a"):
        flow_for(*wrong)


def test_the_grid_goes_row_by_row_from_below():
    points = grid(3, radius=3.0).flatten(1)
    expected = [[x, y] for y in (-2.0, 0.0, 2.0) for x in (-2.0, 0.0, 2.0)]
    assert torch.allclose(points, torch.tensor(expected))


@pytest.mark.parametrize("name", ["dfad", "arvi", "abm", "mad"])
def test_a_method_finds_the_boundary_without_data(moons, name):
    """Over two seeds: the students name the test points as their teacher does, far better than untrained ones."""
    teacher = teachers.load_teacher(moons, "mlp", train=False)
    found = []
    for seed in range(2):
        game = METHODS[name](teacher.network, recipe_for("moons", name), 2, 2, seed=seed, size=1)
        start = copy.deepcopy(game.generator.state_dict())
        history = train(game, TestSet.of(moons, game.teacher, "cpu"), progress=False)
        assert any((start[key] != value).any() for key, value in game.generator.state_dict().items())
        found.append(history.agreement[-1])
    assert np.mean(found) > 97
