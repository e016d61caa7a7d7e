"""Settings from text: each becomes a value of its kind, or is refused in one line."""

import subprocess
import sys

import pytest
from chapters import ROOT
from hypothesis import given
from hypothesis import strategies as st

from dfkd_lib.errors import UserError
from dfkd_lib.recipes import CHOICES, RECIPES, SETTINGS, Recipe
from dfkd_lib.settings import override


def refusal(*settings: str, recipe: Recipe | None = None) -> str:
    with pytest.raises(UserError) as caught:
        override(recipe or Recipe(), settings)
    [line] = str(caught.value).splitlines()
    return line


def test_settings_change_a_recipe():
    settings = "batch=64 momentum=1 lambda0=.5 conditional=True schedule=step milestones=(0.5,1) memory=7".split()
    changed = Recipe(
        batch=64, momentum=1.0, lambda0=0.5, conditional=True, schedule="step", milestones=(0.5, 1.0), memory=7
    )
    recipe = override(Recipe(), settings)
    assert recipe == changed
    assert [type(value) for value in vars(recipe).values()] == [type(value) for value in vars(Recipe()).values()]
    assert override(Recipe(), []) == Recipe()
    assert recipe.sources == dict.fromkeys((setting.split("=")[0] for setting in settings), "given")


def test_what_is_given_is_noted_though_it_holds_anyway():
    recipe = override(Recipe(), ["batch=128"])
    assert recipe == Recipe() and recipe.sources == {"batch": "given"}


def test_a_setting_is_given_once():
    assert "setting batch: it is given twice" in refusal("batch=1", "momentum=0.5", "batch=1")


def test_a_wrong_setting_lists_all_there_are():
    line = refusal("size=3")
    assert [name for name in SETTINGS if name not in line] == []


@pytest.mark.parametrize("name", ["dataset", "teacher", "student", "paper", "sources"])
def test_what_a_run_is_called_by_is_no_setting(name):
    assert f"setting: '{name}' is not known" in refusal(f"{name}={getattr(Recipe(), name)}")


@pytest.mark.parametrize("name", sorted(SETTINGS))
@given(value=st.text() | st.integers().map(str) | st.floats().map(str) | st.booleans().map(str) | st.just("(0.1,)"))
def test_any_text_is_a_value_of_its_kind_or_is_refused(name, value):
    try:
        recipe = override(Recipe(), [f"{name}={value}"])
    except UserError as error:
        assert name in str(error) and len(str(error).splitlines()) == 1
    else:
        assert type(getattr(recipe, name)) is type(getattr(Recipe(), name))


@pytest.mark.parametrize("setting", ["momen\ntum", "a\nb=1", "batch=1\n2", "batch=" + "9" * 5000, "=", "=1", ""])
def test_odd_settings_get_one_short_line(setting):
    assert len(refusal(setting)) < 2000


def test_values_must_go_together():
    assert "reuse: 3 is not allowed with 5 student steps" in refusal("reuse=3")
    assert override(Recipe(), ["reuse=3", "student_steps=6"]).reuse == 3
    assert override(Recipe(student_steps=60), ["reuse=3"]).reuse == 3


BOUNDS = {
    "stages": ("1", "0"),
    "batch": ("65536", "65537"),
    "student_batch": ("65536", "65537"),
    "pretrain_steps": ("0", "-1"),
    "memory": ("1", "0"),
    "momentum": ("1", "1.001"),
    "data_share": ("0.000001", "0"),
    "temperature": ("1000", "0"),
    "mixup_a": ("0.000001", "0"),
    "generator_beta1": ("0.999", "1"),
    "student_lr": ("0", "-1e-9"),
    "lambda1": ("1e300", "1e400"),
    "milestones": ("(0,1)", "(0,1.1)"),
}


@pytest.mark.parametrize("name", BOUNDS)
def test_bounds(name):
    inside, outside = BOUNDS[name]
    override(Recipe(), [f"{name}={inside}"])
    assert name in refusal(f"{name}={outside}")


@pytest.mark.parametrize("name", CHOICES)
def test_names_are_listed(name):
    line = refusal(f"{name}=lion")
    assert all(choice in line for choice in CHOICES[name])
    for choice in CHOICES[name]:
        assert getattr(override(Recipe(), [f"{name}={choice}"]), name) == choice


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda r: f"{r.paper}-{r.dataset}-{r.pair}")
def test_every_recipe_passes_its_own_checks(recipe):
    assert override(recipe, [f"{name}={getattr(recipe, name)}" for name in SETTINGS]) == recipe


def test_settings_need_no_torch():
    code = "import sys, dfkd_lib.settings; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_a_fixed_mixture_lies_between_its_images():
    with pytest.raises(UserError, match="mixup_a: 3.0 is not allowed with mixup = fixed"):
        override(Recipe(), ["mixup=fixed", "mixup_a=3"])
