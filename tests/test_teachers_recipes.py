"""How teachers are trained: the papers' figures, and what a recipe is for each kind of network and data set."""

import subprocess
import sys

import pytest

from dfkd_lib.catalogue import DATASETS, NETWORKS
from dfkd_lib.errors import UserError
from dfkd_lib.teacher_recipes import TeacherRecipe, check_trainable, teacher_recipe


@pytest.mark.parametrize("network", ["wrn40_2", "resnet34_8x"])
@pytest.mark.parametrize("dataset", ["cifar10", "cifar100"])
def test_cifar_is_mads(dataset, network):
    """MAD A.2, Table 4: SGD 0.1, weight decay 5e-4, momentum 0.9, batch 128, ×0.1 at 80 and 120 of 160 epochs."""
    recipe = teacher_recipe(dataset, network, images=50_000, size=32)
    assert (recipe.lr, recipe.weight_decay, recipe.momentum, recipe.batch) == (0.1, 5e-4, 0.9, 128)
    assert (recipe.epochs, recipe.schedule, recipe.nesterov) == (160, "step", False)
    factors = [recipe.lr_factor(390 * epoch, 390) for epoch in range(160)]
    assert factors == pytest.approx(80 * [1] + 40 * [0.1] + 40 * [0.01])
    assert (recipe.pad, recipe.border, recipe.flip, recipe.gpu_precision) == (4, "zeros", True, "bfloat16")
    assert "MAD A.2" in recipe.source


def test_milestones_move_with_the_epochs():
    recipe = TeacherRecipe(epochs=4)
    assert [recipe.lr_factor(step, 2) for step in range(8)] == pytest.approx([1, 1, 1, 1, 0.1, 0.1, 0.01, 0.01])


def test_cosine_falls_from_the_whole_rate_to_nearly_nothing():
    recipe = TeacherRecipe(epochs=2, schedule="cosine")
    factors = [recipe.lr_factor(step, 5) for step in range(10)]
    assert factors[0] == 1 and factors[5] == pytest.approx(0.5) and 0 < factors[-1] < 0.03
    assert factors == sorted(factors, reverse=True)


def test_warm_up_rises_to_the_whole_rate():
    recipe = TeacherRecipe(epochs=4, warmup=1)
    assert [recipe.lr_factor(step, 4) for step in range(5)] == pytest.approx([0.25, 0.5, 0.75, 1, 1])


@pytest.mark.parametrize(("images", "epochs"), [(1_347, 100), (7_291, 100), (60_000, 20)])
def test_lenet_is_ours(images, epochs):
    recipe = teacher_recipe("mnist", "lenet5_half", images=images, size=32)
    assert (recipe.epochs, recipe.lr, recipe.schedule, recipe.nesterov) == (epochs, 0.01, "cosine", True)
    assert (recipe.pad, recipe.border, recipe.flip, recipe.gpu_precision) == (2, "replicate", False, "float32")


@pytest.mark.parametrize(
    ("dataset", "network", "size", "expected"),
    [
        ("tiny_imagenet", "resnet34_8x", 64, {"batch": 256, "lr": 0.1, "pad": 8}),
        ("svhn", "wrn40_2", 32, {"lr": 0.01, "flip": False}),
        ("caltech101", "resnet34", 128, {"lr": 0.05, "pad": 16}),
        ("cifar10", "vgg13_bn", 32, {"lr": 0.05, "flip": True}),
        ("svhn", "vgg13_bn", 32, {"lr": 0.01, "flip": False}),
        ("food101", "alexnet", 224, {"lr": 0.01, "weight_decay": 1e-4, "batch": 512, "warmup": 5}),
        ("my_own", "wrn16_2", 32, {"lr": 0.1, "epochs": 160}),
    ],
)
def test_other_data_sets_and_networks(dataset, network, size, expected):
    recipe = teacher_recipe(dataset, network, images=50_000, size=size)
    assert {name: getattr(recipe, name) for name in expected} == expected


@pytest.mark.parametrize("network", NETWORKS)
def test_every_network_has_a_recipe_with_its_source(network):
    for dataset in DATASETS:
        recipe = teacher_recipe(dataset, network, images=50_000, size=32)
        assert recipe.source and recipe.schedule in ("step", "cosine") and recipe.border in ("zeros", "replicate")


@pytest.mark.parametrize(("dataset", "hint"), [("imagenet", "torchvision:alexnet"), ("places365", "weights.safeten")])
def test_what_is_never_trained_here(dataset, hint):
    with pytest.raises(UserError, match=f"teacher: .*{dataset}.*{hint}") as caught:
        check_trainable(dataset)
    assert len(str(caught.value).splitlines()) == 1
    check_trainable("food101")


@pytest.mark.parametrize("module", ["teacher_recipes", "teacher_names"])
def test_no_torch_is_needed(module):
    code = f"import sys; import dfkd_lib.{module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
