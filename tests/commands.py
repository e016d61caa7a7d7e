"""What a record's command line and its parameters stand for."""

import shlex
from typing import Any

import pytest

from dfkd_lib import run
from dfkd_lib.recipes import Recipe


def recipe_of(record: dict[str, Any]) -> Recipe:
    """The recipe, from a record's JSON: which knows no tuples.

    The first records had one source for all values; what was given is in their changes.
    """
    settings = {name: value for name, value in record["parameters"].items() if name != "source"}
    sources = record.get("sources", dict.fromkeys(record["changes"], "given"))
    return Recipe(
        **{name: tuple(value) if isinstance(value, list) else value for name, value in settings.items()},
        sources=sources,
    )


class Reached(Exception):
    """main has understood its arguments, and would start to train."""


def understood(command: str) -> tuple[Any, ...]:
    """Method, recipe and options that a record's command line would run. Needs neither data nor a teacher."""

    def reached(method, recipe, dataset, teacher, *, seed, device, precision, **options):
        raise Reached(method, recipe, seed, device, precision)

    program, *arguments = shlex.split(command)
    assert (program, arguments[:2]) == ("python", ["-m", "dfkd_lib.run"])
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Reached) as caught:
        patch.setattr(run, "run", reached)
        for name in ("load_dataset", "check_fits", "load_teacher", "output_folder", "source_for", "GANProbe"):
            patch.setattr(run, name, lambda *arguments, **options: None)
        run.main(arguments[2:])
    return caught.value.args
