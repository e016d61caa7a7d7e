"""Mistakes of the caller's, told in one line; and the checks that tell them. Nothing slow is imported here."""

import argparse
import difflib
import math
import re
import sys
from collections.abc import Iterable
from typing import Any, NoReturn


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


def of_settings(error: Exception) -> str:
    """The line for an error of NumPy's or torch's that other settings cure; any other is raised again."""
    if isinstance(error, MemoryError) or re.search("allocate memory|out of memory", str(error)):
        return (
            "memory: this machine has too little for such a run; give smaller batches or networks, as in "
            "--set batch=32 --set student_batch=32"
        )
    if "Expected more than 1 value per channel" in str(error):
        return "batch: BatchNorm cannot normalise a single image; give batch and student_batch of 2 or more"
    raise error


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


def first_line(error: Exception) -> str:
    """The first line of an error that says something, cut to a length that fits in a line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    line = next((line for line in lines if not line.endswith(":")), lines[0] if lines else type(error).__name__)
    return line if len(line) <= 160 else line[:157] + "..."
