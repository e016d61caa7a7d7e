"""Data-free knowledge distillation: the library of *Distillation without Data*.

The names below are loaded when they are first used: importing the package is quick.
"""

import importlib

_HOME = {
    "distill": "distillation", "Recipe": "recipes", "recipe_for": "recipes",
    "UserError": "errors", "check_parameters": "run", "prepare": "run",
    "load_dataset": "data", "load_teacher": "teachers", "load_foreign": "teachers",
    "evaluate": "train", "load_records": "records",
}  # fmt: skip
__all__ = list(_HOME)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def __getattr__(name: str) -> object:
    if name in _HOME:
        return getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
