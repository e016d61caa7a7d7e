"""Every recipe on its own networks and sizes of images, two images at a time: steps, its state, and on from there."""

import copy
import functools

import pytest
import torch
from method_checks import generator_stage, networks
from torch import nn

from dfkd_lib.catalogue import DATASETS
from dfkd_lib.images import Images
from dfkd_lib.methods import METHODS
from dfkd_lib.methods.method import Method
from dfkd_lib.models import build
from dfkd_lib.recipes import METHOD_PAPERS, RECIPES, Recipe, recipe_for

OWN = {"ours": "mad", "dfad": "dfad", "arvi": "arvi", "mad": "mad", "hidfd": "hidfd"}
CASES = [(OWN[recipe.paper], recipe) for recipe in RECIPES]
CASES += [(method, recipe_for("cifar100", method)) for method in ("abm", "dfkd_mem")]
CASES += [(method, recipe_for("mnist", method)) for method in ("degan", "kd_collected")]
CASES += [("dfkd_mem", recipe_for("food101", "dfkd_mem"))]
CASES.sort(key=lambda case: (case[1].teacher, case[1].dataset))  # so that those of one teacher follow each other

FEW = {"batch": 2, "student_batch": 2, "generator_steps": 1, "memory": 3, "synthetic": 4, "stages": 2}


@functools.lru_cache(maxsize=1)
def untrained(name: str, classes: int) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build(name, classes).eval()


def collected(channels: int, classes: int, size: int) -> Images:
    """Five images of nothing, for methods that want real ones."""
    random = torch.Generator().manual_seed(0)
    x = torch.randint(256, (5, channels, size, size), generator=random, dtype=torch.uint8)
    constant = torch.full((channels, 1, 1), 0.5)
    return Images(x, torch.arange(5) % classes, constant, constant / 2)


def make(method: str, recipe: Recipe, seed: int) -> Method:
    images = DATASETS[recipe.dataset]
    recipe = recipe.replace(**FEW, pretrain_steps=min(recipe.pretrain_steps, 1))
    teacher = untrained(recipe.teacher, images.classes)
    real = collected(images.channels, images.classes, images.size) if METHODS[method].needs else None
    return METHODS[method](teacher, recipe, images.classes, images.channels, size=images.size, seed=seed, images=real)


def steps(game: Method) -> dict[str, torch.Tensor]:
    """One of the generator, one of the student (HiDFD's in its next stage); AlexNet's dropout is the same for all."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        generator_stage(game)
        return game.student_step() or steps(game)


def case_name(case: tuple[str, Recipe]) -> str:
    method, recipe = case
    return f"{recipe.paper}-{recipe.dataset}-{recipe.teacher}-{method}"


@pytest.mark.parametrize("case", CASES, ids=case_name)
def test_a_recipe_runs_and_continues(case):
    """From its state, loaded by a fresh run of another seed, to equal weights."""
    method, recipe = case
    assert METHOD_PAPERS[method] == recipe.paper or recipe.paper == "ours"
    game, fresh = make(method, recipe, 0), make(method, recipe, 1)
    size = DATASETS[recipe.dataset].size
    side = 256 if size == 224 else size  # MAD's residual generator doubles its grid six times
    game.prepare()
    before = {name: copy.deepcopy(network.state_dict()) for name, network in networks(game).items()}
    terms = steps(game)
    for x in (images for images in game.student_images() if images.ndim > 1):  # the others are labels
        assert x.shape == (2, DATASETS[recipe.dataset].channels, side, side)
    assert terms and all(value.isfinite() for value in terms.values())
    for name, network in networks(game).items():
        unmoved = all(torch.equal(value, before[name][key]) for key, value in network.state_dict().items())
        assert unmoved == (name == "teacher" or (method, name) == ("degan", "projector"))  # which DeGAN does not use
    del before
    fresh.load(copy.deepcopy(game.state()))
    going_on, loaded = steps(game), steps(fresh)
    assert all(torch.equal(value, loaded[name]) for name, value in going_on.items())
    for name, network in networks(game).items():
        theirs = networks(fresh)[name].state_dict()
        assert all(torch.equal(value, theirs[key]) for key, value in network.state_dict().items())


def test_every_recipe_is_run():
    assert [recipe for recipe in RECIPES if recipe not in [recipe for _, recipe in CASES]] == []
    assert set(METHOD_PAPERS) == {method for method, _ in CASES}
