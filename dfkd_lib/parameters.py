"""What a run may be asked for, and what each of it may be.

Imports neither torch nor anything slow: a chapter checks its parameters before it loads anything.
"""

from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

from .catalogue import NETWORKS
from .errors import UserError, one_of, real, shown, text, whole
from .settings import read
from .sources import known_dataset
from .teacher_names import parse_teacher


def budget(name: str, value: Any) -> str | int:
    """'auto', 'full', 'short', or the number of stages to run."""
    if isinstance(value, str) and value in ("auto", "full", "short"):
        return value
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**31:
        return value
    raise UserError(
        f"{name}: {shown(value)} is not allowed; give auto, full, short, or a number of stages, a whole number above 0"
    )


def device(name: str, value: Any) -> str:
    """'cpu' or 'cuda'; 'auto' takes the GPU if there is one. Imports torch only to look for a GPU."""
    one_of(name, value, ("auto", "cpu", "cuda"))
    if value == "cpu":
        return value
    import torch

    if torch.cuda.is_available():
        return "cuda"
    if value == "cuda":
        raise UserError(f"{name}: 'cuda' is asked for, but torch finds no GPU here; allowed: auto, cpu")
    return "cpu"


def teacher(name: str, value: Any) -> str:
    """'auto', a network of the library, or one of the user's own: `teacher_names` says how it is written."""
    if isinstance(value, str) and value == "auto":
        return value
    try:
        parse_teacher(value, name)
    except UserError as error:
        raise UserError(f"{error}; or auto") from None
    return value


def overrides(name: str, value: Any) -> list[str]:
    """Settings of a recipe, from "batch=64 reuse=5"; each is checked by itself, since the recipe is not known yet."""
    if not isinstance(value, str):
        raise UserError(f"{name}: {shown(value)} is not allowed; give a text such as 'batch=64 reuse=5', or ''")
    try:
        read(value.split())
    except UserError as error:
        raise UserError(f"{name}: {error}") from None
    return value.split()


CHECKS: Mapping[str, Callable[[str, Any], Any]] = {
    "dataset": known_dataset,
    "teacher": teacher,
    "student": lambda name, value: one_of(name, value, {"auto", *NETWORKS}),
    "seed": whole,
    "seeds": lambda name, value: whole(name, value, 1, 100),
    "budget": budget,
    "device": device,
    "precision": lambda name, value: one_of(name, value, ("auto", "bfloat16", "float32", "plain")),
    "momentum": lambda name, value: real(name, value, 0, 1),
    "overrides": overrides,
    "output_dir": text,
}


class Settings(SimpleNamespace):
    """The checked parameters of a chapter."""


# What a fresh kernel has in its namespace besides parameters.
_IPYTHON = {"In", "Out"}


def check_parameters(namespace: Mapping[str, Any]) -> Settings:
    """Check every parameter of a chapter, before any work starts.

    Parameters
    ----------
    namespace
        the notebook's ``globals()``, right behind its parameters cell: names that no chapter knows are found there too
        (papermill itself only warns of them).

    Returns
    -------
    Settings
        the checked values, with ``device`` resolved to ``cpu`` or ``cuda``.

    Raises
    ------
    UserError
        with the first thing that is wrong, and what is allowed.
    """
    given = {
        name: value
        for name, value in namespace.items()
        if not name.startswith("_") and name not in _IPYTHON and not callable(value)  # nor this function itself
    }
    # A namespace that holds checked settings is that of a notebook in use: its other names are no mistakes.
    if any(isinstance(value, Settings) for value in given.values()):
        given = {name: given[name] for name in CHECKS if name in given}
    for name in given:
        one_of("parameter", name, CHECKS)
    return Settings(**{name: CHECKS[name](name, value) for name, value in given.items()})
