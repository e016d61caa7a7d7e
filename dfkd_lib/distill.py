"""``python -m dfkd_lib.distill``: the function of that name as a command line."""

import argparse
import ast
import contextlib
import importlib.util
import inspect
import sys
from typing import Any

import torch

from .distillation import distill
from .errors import Parser, UserError, coded, shown, told, whole
from .files import at_home
from .teachers.foreign import fill


def _network(role: str, value: str, weights: str | None = None) -> Any:
    """A name as it is; for FILE.py:FUNCTION what that returns, with its weights."""
    file, _, function = value.rpartition(":")
    if not file.endswith(".py"):
        if weights:
            raise UserError(f"weights: {shown(value)} has its own; leave out --weights")
        return value
    path = at_home(role, file).resolve()
    with told(f"{role}: {value} cannot be made", "give FILE.py:FUNCTION"):
        spec = importlib.util.spec_from_file_location(f"own_{path.stem}", path)
        sys.modules[spec.name] = module = importlib.util.module_from_spec(spec)
        sys.path.insert(0, str(path.parent))  # as Python does for a script
        try:
            spec.loader.exec_module(module)
            made = getattr(module, function)()
        except SystemExit as error:
            raise RuntimeError(f"it ends the program, exit {error.code}") from error
    if weights:
        fill(at_home("weights", weights), made, value)
    return made


@coded
def main(argv: list[str] | None = None) -> int:
    """The command line."""
    parser = Parser(
        prog="python -m dfkd_lib.distill", description=distill.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    add = parser.add_argument
    add("teacher", help="FILE.py:FUNCTION, FILE:NETWORK, torchvision:NAME or timm:NAME")
    add("--weights", help="a file, for a teacher that is FILE.py:FUNCTION")
    add("--student", required=True, help="FILE.py:FUNCTION, or a network's name")
    add("--shape", dest="input_shape", type=int, nargs=3, required=True,
        metavar=("C", "H", "W"))  # fmt: skip
    add("--classes", dest="num_classes", type=int, required=True)
    add("--set", nargs="+", default=[], metavar="NAME=VALUE", help="of the method")
    for name, each in inspect.signature(distill).parameters.items():
        kind, usual = type(each.default), each.default
        option = {"default": usual}
        if name in ("mean", "std"):
            option |= {"type": float, "nargs": "+"}
        elif kind is bool:
            option["action"] = argparse.BooleanOptionalAction
        elif kind in (int, float):
            option["type"] = kind
        if each.kind is each.KEYWORD_ONLY and usual is not each.empty:
            add(f"--{name.replace('_', '-')}", **option)
    given = vars(parser.parse_args(argv))
    for pair in given.pop("set"):
        name, _, value = pair.partition("=")
        if name in given:
            option = f"--{name.replace('_', '-')}"
            raise UserError(f"--set {name}: it is an option; give {option} {value}")
        with contextlib.suppress(ValueError, SyntaxError):
            value = ast.literal_eval(value)
        given[name] = value
    if (given["logits"] or "").isdecimal():
        given["logits"] = int(given["logits"])
    torch.manual_seed(whole("seed", given["seed"]))  # of a student that is made
    given["teacher"] = _network("teacher", given["teacher"], given.pop("weights"))
    given["student"] = _network("student", given["student"])
    done = distill(**given)
    print(f"student: {done.files['card']}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
sys.modules[__name__] = distill  # what `import dfkd_lib.distill` puts into the package
