"""Mistakes of the caller's, reported in one line, and the checks that find them."""

import argparse
import contextlib
import difflib
import functools
import math
import os
import re
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NoReturn


class UserError(ValueError):
    """One line: what was wrong, what is allowed, what to do next."""

    def _render_traceback_(self) -> list[str]:
        return [f"error: {self}"]  # Jupyter prints this in place of a traceback


class Parser(argparse.ArgumentParser):
    """A command line that raises UserError, one line, where argparse prints usage."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}; --help lists what is allowed")


class Interrupted(Exception):
    """A run that signal `number` ended, after it wrote its checkpoint if it could."""

    def __init__(self, number: int, stage: int, written: bool):
        kept = "is written" if written else "could not be written"
        line = f"stopped by {signal.Signals(number).name} after stage {stage}; its "
        super().__init__(f"{line}checkpoint {kept}")
        self.number = number


def coded(main: Callable[..., int]) -> Callable[..., int]:
    """A command line that returns 2 for what the caller can mend, 128 + signal.

    What stdout cannot show is replaced, and a closed pipe accepted.
    """

    @functools.wraps(main)
    def call(argv: list[str] | None = None) -> int:
        if "utf" not in (sys.stdout.encoding or "utf").lower():
            sys.stdout.reconfigure(encoding="ascii", errors="replace")
        try:
            code = main(argv)
            sys.stdout.flush()
            return code
        except BrokenPipeError:  # as of `| head`; Python's last flush would fail too
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0
        except (UserError, FloatingPointError) as error:
            line, code = f"error: {error}", 2
        except (ArithmeticError, MemoryError, RuntimeError, ValueError) as error:
            line, code = f"error: {_of_settings(error)}", 2
        except Interrupted as stopped:
            line = f"{stopped}; the same command with --resume continues"
            code = 128 + stopped.number
        except KeyboardInterrupt:
            line, code = "stopped by SIGINT", 128 + signal.SIGINT
        print(line, file=sys.stderr)
        return code

    return call


def _of_settings(error: Exception) -> str:
    """The line for an error that other settings cure; any other is raised again."""
    found = f"{type(error).__name__} {error}"
    if re.search("MemoryError|allocate memory|out of memory", found):
        return "memory: too little; give --set batch=32 --set student_batch=32, or less"
    if "Expected more than 1 value per channel" in found:
        return "batch: BatchNorm needs 2 images or more; give batch and student_batch"
    raise error


def shown(value: Any) -> str:
    """A value in one short line."""
    try:
        line = " ".join(part.strip() for part in repr(value).splitlines())
    except ValueError:  # Python refuses to print integers of thousands of digits
        line = f"a {type(value).__name__} too long to print"
    return line if len(line) <= 80 else line[:77] + "..."


def first_line(error: Exception) -> str:
    """The first line of an error that says something; 160 characters of others'."""
    if isinstance(error, UserError):
        return str(error)
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    lines = [line for line in lines if not line.endswith(":")] or lines
    line = lines[0] if lines else type(error).__name__
    return line if len(line) <= 160 else line[:157] + "..."


@contextlib.contextmanager
def told(before: str, after: str, kinds: Any = Exception) -> Iterator[None]:
    """A UserError in place of one of these kinds: before (its first line); after."""
    try:
        yield
    except kinds as error:
        raise UserError(f"{before} ({first_line(error)}); {after}") from error


def one_of(name: str, value: Any, allowed: Iterable[str]) -> str:
    """`value`, if it is one of the `allowed` names."""
    names = sorted(allowed)
    if isinstance(value, str) and value in names:
        return value
    close = difflib.get_close_matches(shown(value).strip("'"), names, n=1)
    hint = f" (did you mean {close[0]!r}?)" if close else ""
    known = f"{name}: {shown(value)} is not known{hint}"
    raise UserError(f"{known}; allowed: {', '.join(names)}")


def plain(value: Any) -> Any:
    """A number, or a tuple of numbers, of NumPy or torch as Python's own."""
    value = value.tolist() if hasattr(value, "tolist") else value
    return tuple(map(plain, value)) if isinstance(value, list | tuple) else value


def whole(name: str, value: Any, low: int = 0, high: int = 2**31 - 1) -> int:
    """`value` as a whole number in [low, high]; a boolean is none."""
    n = plain(value)
    if isinstance(n, int) and not isinstance(n, bool) and low <= n <= high:
        return n
    raise _refusal(name, value, f"a whole number from {low} to {high}")


def real(name: str, value: Any, low: float, high: float = math.inf) -> float:
    """`value` as a finite number in [low, high]; a boolean is none."""
    x = plain(value)
    number = isinstance(x, int | float) and not isinstance(x, bool)
    if number and low <= x <= min(high, sys.float_info.max):
        return float(x)
    upper = f"{high:g}, both included" if math.isfinite(high) else "any finite number"
    raise _refusal(name, value, f"a number from {low:g} to {upper}")


def text(name: str, value: Any) -> str:
    """`value`, if it is a text that is not empty."""
    if isinstance(value, str) and value.strip():
        return value
    raise _refusal(name, value, "a text that is not empty")


def _refusal(name: str, value: Any, wanted: str) -> UserError:
    return UserError(f"{name}: {shown(value)} is not allowed; give {wanted}")
