"""``python -m dfkd_lib.distillation TEACHER --student NAME --shape C H W ...``"""

import ast
import contextlib
import importlib.util
import signal
import sys
from typing import Any

from torch import nn

from ..errors import Parser, UserError, command, told
from ..files import at_home
from ..teachers.foreign import fill, read_weights
from ..train import Interrupted
from . import distill


def _network(role: str, value: str, weights: str | None = None) -> Any:
    """A network's name as it is, or what FILE.py:FUNCTION returns, with its weights."""
    file, _, function = value.rpartition(":")
    if not file.endswith(".py"):
        return value
    path = at_home(role, file)
    with told(f"{role}: {value} cannot be made", "give FILE.py:FUNCTION"):
        spec = importlib.util.spec_from_file_location(path.stem, path)
        spec.loader.exec_module(module := importlib.util.module_from_spec(spec))
        made = getattr(module, function)()
    if not isinstance(made, nn.Module):
        raise UserError(f"{role}: {value} returns no module; give one that does")
    if weights:
        path = at_home("weights", weights)
        fill(path, read_weights(path), made, value)
    return made


def main(argv: list[str] | None = None) -> int:
    """The command line; 2 for what the caller can mend, 128 + signal when stopped."""
    parser = Parser(prog="python -m dfkd_lib.distillation", description=distill.__doc__)
    add = parser.add_argument
    add("teacher", help="FILE.py:FUNCTION, FILE:NETWORK, torchvision:NAME or timm:NAME")
    add("--weights", help="of a teacher that is FILE.py:FUNCTION")
    add("--student", required=True, help="the same, or a network of the library")
    add("--shape", type=int, nargs=3, required=True, metavar=("C", "H", "W"))
    add("--classes", type=int, required=True)
    for name in ("--mean", "--std"):
        add(name, type=float, nargs="+", help="one for each channel")
    add("--set", nargs="+", default=[], metavar="NAME=VALUE", help="of the method")
    words = {"method": "mad", "output-dir": "output/own", "device": "auto"}
    words |= {"precision": "auto", "check": None, "task": "classes"}
    for name, usual in words.items():
        add(f"--{name}", default=usual)
    for name, usual in {"stages": 1000, "seed": 0}.items():
        add(f"--{name}", type=int, default=usual)
    for name in ("quick", "resume"):
        add(f"--{name}", action="store_true")
    try:
        given = vars(parser.parse_args(argv))
        teacher = _network("teacher", given.pop("teacher"), given.pop("weights"))
        student = _network("student", given.pop("student"))
        pairs = [pair.partition("=") for pair in given.pop("set")]
        settings = {}
        for name, _, value in pairs:
            with contextlib.suppress(ValueError, SyntaxError):
                value = ast.literal_eval(value)
            settings[name] = value
        shape, classes = given.pop("shape"), given.pop("classes")
        done = distill(
            teacher,
            student,
            input_shape=shape,
            num_classes=classes,
            **given,
            **settings,
        )
    except (UserError, FloatingPointError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except Interrupted as stopped:
        print(f"{stopped}; the same command with --resume continues", file=sys.stderr)
        return 128 + stopped.number
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    print(f"student: {done.files['card']}")
    return 0


if __name__ == "__main__":
    sys.exit(command(main))
