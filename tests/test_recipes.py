"""Recipes refuse what no run could follow, wherever they are made."""

import pytest

from dfkd_lib.errors import UserError
from dfkd_lib.recipes import CHOICES, RECIPES, Recipe, recipe_for


def refusal(make) -> str:
    with pytest.raises(UserError) as caught:
        make()
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


@pytest.mark.parametrize("make", [lambda **changes: Recipe(**changes), Recipe().replace])
@pytest.mark.parametrize("name", CHOICES)
def test_an_unknown_name_lists_the_known_ones(make, name):
    message = refusal(lambda: make(**{name: "lion"}))
    assert message.startswith(f"{name}: 'lion' ")
    assert all(allowed in message for allowed in CHOICES[name])


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in CHOICES.items() for value in values])
def test_every_known_name_passes(name, value):
    assert getattr(Recipe(**{name: value}), name) == value


@pytest.mark.parametrize("reuse", range(1, 13))
def test_reuse_divides_the_student_steps(reuse):
    if reuse in (1, 2, 3, 4, 6, 12):
        assert Recipe(student_steps=12, reuse=reuse).reuse == reuse
    else:
        message = refusal(lambda: Recipe(student_steps=12, reuse=reuse))
        assert message.startswith("reuse: ") and str(reuse) in message and "12" in message


def test_an_unknown_data_set_has_no_recipe():
    message = refusal(lambda: recipe_for("cifar1000"))
    assert "did you mean 'cifar100'" in message
    assert all(recipe.dataset in message for recipe in RECIPES)
