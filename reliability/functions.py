"""The public functions of `dfkd_lib`, called with arguments of the right number and of odd values."""

from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import torch
from torch import nn

import dfkd_lib
from dfkd_lib import run
from dfkd_lib.methods import METHODS
from dfkd_lib.recipe import SETTINGS
from dfkd_lib.teachers import load_teacher
from reliability.trained import digits
from reliability.trial import Case
from reliability.values import INF, NAN, ODD


class Net(nn.Module):
    """A network that answers as it is told."""

    def __init__(self, answer: Callable[[torch.Tensor], Any]):
        super().__init__()
        self.answer = answer
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, x: torch.Tensor) -> Any:
        return self.answer(x)


ANSWERS: dict[str, Callable[[torch.Tensor], Any]] = {
    "a number": lambda x: 3.0,
    "nothing": lambda x: None,
    "text": lambda x: "cat",
    "images": lambda x: x,
    "labels": lambda x: torch.zeros(len(x), dtype=torch.int64),
    "whole numbers": lambda x: torch.zeros(len(x), 10, dtype=torch.int64),
    "nan": lambda x: torch.full((len(x), 10), NAN),
    "infinity": lambda x: torch.full((len(x), 10), -INF),
    "one row": lambda x: torch.zeros(1, 10),
    "eleven classes": lambda x: torch.zeros(len(x), 11),
    "a pair": lambda x: (torch.zeros(len(x), 10),) * 2,
    "on meta": lambda x: torch.zeros(len(x), 10, device="meta"),
    "sparse": lambda x: torch.zeros(len(x), 10).to_sparse(),
    "complex": lambda x: torch.zeros(len(x), 10, dtype=torch.complex64),
    "an error of many lines": lambda x: exec("raise ValueError('a:\\n\\n  b\\n')"),
    "an error without words": lambda x: exec("raise KeyError"),
}
NAMES = ("load_dataset", "load_teacher", "load_foreign", "a module", "task", "recipe_for", "Recipe", "records", "run")


def functions(chance: Random) -> Case:
    """One of them, with one odd argument."""
    which = chance.choice(NAMES)
    odd = chance.choice(ODD)
    shown = f"{odd!r:.60}"
    if which == "load_dataset":
        return Case("functions", f"load_dataset({shown})", lambda f: dfkd_lib.load_dataset(odd), names=("dataset",))
    if which == "load_teacher":
        call = lambda f: dfkd_lib.load_teacher(digits(), odd, train=False)  # noqa: E731
        return Case("functions", f"load_teacher(digits, {shown})", call, names=("teacher",))
    if which == "load_foreign":
        call = lambda f: dfkd_lib.load_foreign(odd, digits())  # noqa: E731
        return Case("functions", f"load_foreign({shown})", call, names=("teacher",))
    if which == "a module":
        what, answer = chance.choice(list(ANSWERS.items()))
        call = lambda f: dfkd_lib.load_foreign(Net(answer), digits())  # noqa: E731
        return Case("functions", f"load_foreign(a module that answers {what})", call, names=("teacher",))
    if which == "task":
        name = chance.choice(("num_classes", "input_shape", "name", "device"))
        right: dict[str, Any] = {"num_classes": 10, "input_shape": (1, 32, 32), "name": "mine", "device": "cpu"}
        shape = chance.choice([odd, (1, 32), (0, 32, 32), (1.0, 32, 32), (1, 32, 32, 32), (1, 2**40, 2**40), (-1,) * 3])
        value = shape if name == "input_shape" else odd
        good = bool(
            {"num_classes": False, "input_shape": False, "device": False}.get(
                name, isinstance(value, str) and value.strip() or value is None
            )
        ) or (name == "device" and value == "auto")
        call = lambda f: dfkd_lib.load_foreign(Net(lambda x: torch.zeros(len(x), 10)), **right | {name: value})  # noqa: E731
        return Case("functions", f"load_foreign({name}={value!r:.60})", call, good=good)
    if which == "recipe_for":
        # Whether there are such a method and such networks is asked when they are to run.
        name = chance.choice(("dataset", "paper"))
        value = chance.choice([v for v in ODD if not isinstance(v, str) or v != "auto"])
        call = lambda f: dfkd_lib.recipe_for(**{"dataset": "digits"} | {name: value})  # noqa: E731
        return Case("functions", f"recipe_for({name}={value!r:.60})", call)
    if which == "Recipe":
        name = chance.choice(sorted(SETTINGS))
        value = chance.choice([v for v in ODD if not _fits(name, v)])
        return Case(
            "functions", f"Recipe({name}={value!r:.60})", lambda f: dfkd_lib.Recipe(**{name: value}), names=(name,)
        )
    if which == "records":
        value = Path(chance.choice(("none", "/dev/null", "~nobody", "a" * 300, "a\0b")))
        return Case("functions", f"load_records({str(value)!r:.60})", lambda f: dfkd_lib.load_records(value))
    method = chance.choice([v for v in ODD if not isinstance(v, str) or v not in METHODS])
    call = lambda f: run.run(method, dfkd_lib.Recipe(), digits(), load_teacher(digits(), "lenet5"))  # noqa: E731
    return Case("functions", f"run({method!r:.60})", call, names=("method",))


def _fits(name: str, value: Any) -> bool:
    """Whether a setting's value is of its kind, roughly: such are left out."""
    usual = getattr(dfkd_lib.Recipe(), name)
    if isinstance(usual, bool):
        return isinstance(value, bool)
    if isinstance(usual, int | float):
        whole = isinstance(usual, int)
        return isinstance(value, int if whole else int | float) and 0 <= value <= 1e308
    return isinstance(value, tuple) if isinstance(usual, tuple) else isinstance(value, str) and value in ("auto", usual)
