"""Data-free knowledge distillation: the library behind the book *Distillation without Data*.

The names below are loaded when first used, so that a chapter can check its parameters before torch is imported.
"""

import importlib

_HOME = {
    "distill": "distillation",
    "Recipe": "recipes",
    "recipe_for": "recipes",
    "UserError": "errors",
    "check_parameters": "parameters",
    "load_dataset": "data",
    "load_teacher": "teachers",
    "load_foreign": "foreign",
    "evaluate": "evaluation",
    "train": "training",
    "load_records": "results",
}
__all__ = list(_HOME)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def __getattr__(name: str) -> object:
    if name in _HOME:
        return getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
