"""The types that a method's settings have, and the check of their values."""

import dataclasses
import math
import re
import typing
from typing import Annotated, Any, Literal

from ..errors import UserError, one_of, real, shown, whole

Count = Annotated[int, 1, 2**31 - 1]
CountFrom0 = Annotated[int, 0, 2**31 - 1]
Size = Annotated[int, 1, 65_536]  # memory grows with it
Weight = Annotated[float, 0, math.inf]
Positive = Annotated[float, 1e-6, math.inf]
Fraction = Annotated[float, 0, 1]
PositiveFraction = Annotated[float, 1e-6, 1]
BelowOne = Annotated[float, 0, 0.999]
Accuracy = Annotated[float, 0.01, 0.999]
Temperature = Annotated[float, 1e-6, 1e3]
Schedule = Literal["constant", "cosine", "step", "step_0.3"]
Optimizer = Literal["adam", "sgd"]
Generator = Literal[
    "flow", "generator_a", "generator_b", "mad_cifar",
    "mad_imagenet", "mad_tiny_imagenet",
]  # fmt: skip
Discrepancy = Literal["kl", "mae", "mse", "mse_mae"]


def readable(kind: type) -> dict[str, Any]:
    """The settings that a method reads, and the type of each."""
    return {f.name: f.type for f in dataclasses.fields(kind) if f.init}


def check(settings: Any) -> None:
    """Refuse values that a setting cannot have; called as ``__post_init__``.

    A UserError for the first such value, with what is allowed.
    """
    for name, kind in readable(type(settings)).items():
        value = allowed(name, getattr(settings, name), kind)
        object.__setattr__(settings, name, value)  # 1 becomes 1.0: one name a run


def allowed(name: str, value: Any, kind: Any) -> Any:
    """A setting's value in its own type, if the setting can have it.

    A UserError otherwise, with what is allowed.
    """
    if typing.get_origin(kind) is Literal:
        return one_of(name, value, typing.get_args(kind))
    if typing.get_origin(kind) is Annotated:
        number, low, high = typing.get_args(kind)
        return (whole if number is int else real)(name, value, low, high)
    if kind in (int, float):  # of somebody's own method
        return (whole if kind is int else real)(name, value, 0)
    if kind is bool and isinstance(value, bool):
        return value
    if kind is str and isinstance(value, str) and re.fullmatch(r"[\w-]+", value):
        return value
    if isinstance(value, list | tuple) and kind not in (bool, str):
        return tuple(real(name, part, 0, 1) for part in value)
    forms = {bool: "True or False", str: "a data set's name, or auto"}
    form = forms.get(kind, "a tuple of numbers from 0 to 1, such as (0.5,)")
    raise UserError(f"{name}: {shown(value)} is not allowed; give {form}")


def fixed(value: Any) -> Any:
    """A field that a method of the same file reads and this one does not."""
    return dataclasses.field(default=value, init=False)
