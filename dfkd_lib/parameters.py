"""What a run may be asked for, and what each of it may be.

Imports neither torch nor anything slow: a chapter checks its parameters before it loads anything.
"""

from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

from . import recipes
from .errors import UserError, one_of, real, shown, text, whole


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


CHECKS: Mapping[str, Callable[[str, Any], Any]] = {
    "dataset": lambda name, value: one_of(name, value, recipes.DATASETS),
    "teacher": lambda name, value: one_of(name, value, {"auto", *recipes.NETWORKS}),
    "student": lambda name, value: one_of(name, value, {"auto", *recipes.NETWORKS}),
    "seed": whole,
    "seeds": lambda name, value: whole(name, value, 1, 100),
    "budget": budget,
    "device": device,
    "precision": lambda name, value: one_of(name, value, ("auto", "bfloat16", "float32")),
    "momentum": lambda name, value: real(name, value, 0, 1),
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
