"""A run's name and command: each run has its own, and the command repeats it."""

import pytest
from commands import understood
from hypothesis import given
from hypothesis import strategies as st

from dfkd_lib import results
from dfkd_lib.methods import METHODS
from dfkd_lib.recipes import CHOICES, RECIPES, Recipe, recipe_for

changed = st.fixed_dictionaries(
    {},
    optional={
        "student": st.sampled_from(["lenet5", "lenet5_half"]),
        "stages": st.integers(1, 10**6),
        "batch": st.integers(1, 512),
        "reuse": st.integers(1, 50),
        "momentum": st.floats(0, 1),
        "lambda1": st.floats(0, 1e6),
        "generator_lr": st.floats(1e-9, 1),
        "conditional": st.booleans(),
        "schedule": st.sampled_from(CHOICES["schedule"]),
        "ema_statistics": st.sampled_from(CHOICES["ema_statistics"]),
    },
).map(lambda made: made | ({"student_steps": 5 * made["reuse"]} if "reuse" in made else {}))  # reuse divides it


@given(changed)
def test_changes_are_what_differs(changes):
    """From the recipe for the same pair."""
    recipe = recipe_for("digits_half").replace(**changes)
    usual = recipe_for("digits_half", student=recipe.student)
    assert usual.replace(**results.changes(recipe)) == recipe
    assert set(results.changes(recipe)) <= set(changes) - {"student"}


@given(changed, changed)
def test_different_settings_have_different_names(one, other):
    one, other = (recipe_for("digits").replace(**changes) for changes in (one, other))
    names = results.run_name("mad", one, 0), results.run_name("mad", other, 0)
    assert (names[0] == names[1]) == (one == other)
    assert "/" not in names[0]


def test_a_name_tells_method_data_pair_and_seed():
    names = {
        results.run_name(method, recipe_for(dataset, student=student), seed)
        for method in ("abm", "mad")
        for dataset in ("digits", "digits_half")
        for student in ("lenet5", "lenet5_half")
        for seed in (0, 1)
    }
    assert len(names) == 16
    assert "mad-digits-lenet5-lenet5_half-s0" in names


@pytest.mark.parametrize("method", METHODS)
@given(changes=changed)
def test_the_command_repeats_the_run(method, changes):
    read = {name: value for name, value in changes.items() if name not in METHODS[method].unused()}
    recipe = recipe_for("digits").replace(**read)
    command = results.command(method, recipe, 7, "cpu", "float32")
    assert understood(command) == (method, recipe, 7, "cpu", "float32")


@pytest.mark.parametrize("method", METHODS)
def test_the_command_repeats_every_recipe(method):
    """Whosever it is: also another paper's than the method's, and a pair that no recipe has."""
    recipes = [*RECIPES, recipe_for("cifar100", method, "vgg13_bn", "vgg11_bn"), recipe_for("svhn", "mad")]
    recipes.append(recipe_for("cifar100", method, "vgg16_bn", "vgg13_bn", "dfad"))  # HiDFD has this pair
    for recipe in recipes:
        assert understood(results.command(method, recipe, 7, "cpu", "float32"))[:3] == (method, recipe, 7)


def test_every_run_has_a_name_of_its_own():
    names = [results.run_name(method, recipe, seed) for method in METHODS for recipe in RECIPES for seed in (0, 1)]
    assert len(set(names)) == 2 * len(METHODS) * len(RECIPES)
    assert results.run_name("mad", recipe_for("cifar100"), 3) == "mad-cifar100-wrn40_2-wrn16_2-s3"
    other = recipe_for("cifar100", "mad", paper="dfad").replace(z_dim=9)
    assert results.run_name("mad", other, 3) == "mad-cifar100-resnet34_8x-resnet18_8x-dfad-z_dim=9-s3"


def test_a_teacher_of_ones_own_has_a_file_name_too():
    recipe = recipe_for("cifar100").replace(teacher="/some where/resnet:34.pt:resnet34_8x")
    assert results.run_name("mad", recipe, 0) == "mad-cifar100-_some_where_resnet_34.pt_resnet34_8x-wrn16_2-s0"


def test_a_name_fits_into_a_file_system():
    """With all that is put before and behind it; and stays a run's own."""
    longer = {name: value / 3 for name, value in Recipe().values().items() if name.startswith("lambda")}
    names = [
        results.run_name("mad", Recipe().replace(**longer, momentum=m), seed) for m in (0.1, 0.2) for seed in (1, 2)
    ]
    assert len(set(names)) == 4
    assert all(len(f".{name}.safetensors.a1b2c3d4".encode()) < 255 for name in names)
    assert all(name.startswith("mad-digits-lenet5-lenet5_half-") and name[-3:] in ("-s1", "-s2") for name in names)


def test_the_command_repeats_a_run_with_milestones():
    recipe = recipe_for("digits").replace(schedule="step", milestones=(0.5, 0.75))
    assert understood(results.command("mad", recipe, 0, "cpu", "float32"))[1] == recipe
