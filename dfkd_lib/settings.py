"""Settings of a recipe from text, as the command line and a chapter's parameters give them. No torch here."""

import ast
from collections.abc import Iterable
from typing import Any

from .errors import UserError, one_of, shown
from .recipe import SETTINGS, Recipe, allowed


def override(recipe: Recipe, settings: Iterable[str]) -> Recipe:
    """Apply ``name=value`` settings to a recipe.

    Raises
    ------
    UserError
        as `read`, and for values that do not go together.
    """
    return recipe.sourced("given", **read(settings))  # also what holds anyway: a record then says so too


def read(settings: Iterable[str]) -> dict[str, Any]:
    """The values in ``name=value`` settings.

    Raises
    ------
    UserError
        for a name that is no setting (lists them), one that is given twice, or a value that the setting cannot take.
    """
    changes: dict[str, Any] = {}
    for setting in settings:
        name, sign, value = setting.partition("=")
        if not sign:
            raise UserError(f"setting {shown(name)}: it has no value; write NAME=VALUE")
        if one_of("setting", name, SETTINGS) in changes:
            raise UserError(f"setting {name}: it is given twice; give it once")
        changes[name] = parse(name, value, type(getattr(Recipe(), name)))
    return changes


def parse(name: str, value: str, kind: type) -> Any:
    """A setting's value from its text: a known name, a whole number from 1, a number from 0, True or False."""
    if kind is str:
        return allowed(name, value)
    try:
        parsed = ast.literal_eval(value)
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):  # literal_eval's own list
        parsed = value
    if kind in (tuple, bool) and not isinstance(parsed, kind):
        parsed = value  # as it was written
    return allowed(name, parsed)
