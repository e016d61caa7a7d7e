"""What a run may be asked for, and the one clear line for whatever it may not.

Imports neither torch nor anything slow: a chapter checks its parameters before it loads anything.
"""

import argparse
import difflib
import math
import sys
from collections.abc import Callable, Iterable, Mapping
from types import SimpleNamespace
from typing import Any, NoReturn

from . import recipes


class UserError(ValueError):
    """A mistake of the caller's, told in one line: what was wrong, what is allowed, what to do next."""

    def _render_traceback_(
        self,
    ) -> list[str]:  # Jupyter, and so papermill, prints this in place of a traceback
        return [f"error: {self}"]


class Parser(argparse.ArgumentParser):
    """A command line whose refusals are a UserError, so one line, in place of argparse's usage and exit."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}; --help lists what is allowed")


def shown(value: Any) -> str:
    """A value in one short line."""
    try:
        line = " ".join(part.strip() for part in repr(value).splitlines())
    except ValueError:  # Python refuses to print whole numbers of thousands of digits
        line = f"a {type(value).__name__} too long to print"
    return line if len(line) <= 80 else line[:77] + "..."


def one_of(name: str, value: Any, allowed: Iterable[str]) -> str:
    """`value`, if it is one of the `allowed` names; else a UserError that lists them."""
    names = sorted(allowed)
    if isinstance(value, str) and value in names:
        return value
    close = difflib.get_close_matches(shown(value).strip("'"), names, n=1)
    hint = f" (did you mean {close[0]!r}?)" if close else ""
    raise UserError(f"{name}: {shown(value)} is not known{hint}; allowed: {', '.join(names)}")


def whole(name: str, value: Any, low: int = 0, high: int = 2**31 - 1) -> int:
    """`value` as a whole number in [low, high]; a UserError for anything else, booleans included."""
    if isinstance(value, int) and not isinstance(value, bool) and low <= value <= high:
        return value
    raise UserError(f"{name}: {shown(value)} is not allowed; give a whole number from {low} to {high}")


def real(name: str, value: Any, low: float, high: float = math.inf) -> float:
    """`value` as a finite number in [low, high]; a UserError for anything else, booleans included."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        if low <= value <= min(high, sys.float_info.max):  # the bound first: a whole number may be too long for a float
            return float(value)
    upper = f"{high:g}, both included" if math.isfinite(high) else "any finite number"
    raise UserError(f"{name}: {shown(value)} is not allowed; give a number from {low:g} to {upper}")


def text(name: str, value: Any) -> str:
    """`value`, if it is a text that is not empty."""
    if isinstance(value, str) and value.strip():
        return value
    raise UserError(f"{name}: {shown(value)} is not allowed; give a text that is not empty")


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

# What a fresh kernel has in its namespace besides parameters.
_IPYTHON = {"In", "Out"}


def check_parameters(namespace: Mapping[str, Any]) -> SimpleNamespace:
    """Check every parameter of a chapter, before any work starts.

    Parameters
    ----------
    namespace
        the notebook's ``globals()``, right behind its parameters cell: names that no chapter knows are found there too
        (papermill itself only warns of them).

    Returns
    -------
    SimpleNamespace
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
    for name in given:
        one_of("parameter", name, CHECKS)
    return SimpleNamespace(**{name: CHECKS[name](name, value) for name, value in given.items()})
