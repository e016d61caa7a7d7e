"""Settings of a recipe from text, as the command line and a chapter's parameters give them. No torch here."""

import ast
import math
import re
from collections.abc import Iterable
from typing import Any

from .errors import UserError, one_of, real, shown, whole
from .recipe import CHOICES, SETTINGS, Recipe

_AT_MOST = {
    **dict.fromkeys(("momentum", "student_momentum", "data_share", "gan_momentum", "gate_q", "gamma"), 1.0),
    "frequency_floor": 1.0,
    "gan_share": 0.999,
    "generator_beta1": 0.999,
    "temperature": 1e3,
}
_ABOVE_ZERO = {"temperature", "mixup_a", "data_share", "collected_ratio"}
_FROM_ZERO = {"pretrain_steps", "inflation"}  # whole numbers that may be 0


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
    if name in CHOICES:
        return one_of(name, value, CHOICES[name])
    if name == "collected_from":  # whether it is there is asked when the run is known
        if re.fullmatch(r"[\w-]+", value):
            return value
        raise UserError(f"{name}: {shown(value)} is not allowed; give a data set's name, or auto")
    try:
        parsed = ast.literal_eval(value)
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):  # literal_eval's own list
        parsed = value
    if kind is int:
        return whole(name, parsed, int(name not in _FROM_ZERO), 65_536 if "batch" in name else 2**31 - 1)
    if kind is float:
        return real(name, parsed, 1e-6 if name in _ABOVE_ZERO else 0, _AT_MOST.get(name, math.inf))
    if kind is tuple and isinstance(parsed, tuple):
        return tuple(real(name, part, 0, 1) for part in parsed)
    if kind is bool and isinstance(parsed, bool):
        return parsed
    allowed = "True or False" if kind is bool else "a tuple of numbers from 0 to 1, such as (0.5,)"
    raise UserError(f"{name}: {shown(value)} is not allowed; give {allowed}")
