"""What `python -m dfkd_lib.run` can be asked for: its options, and what `list` prints."""

from . import catalogue
from .errors import Parser
from .methods import METHODS
from .methods.method import Method
from .recipes import METHOD_PAPERS, PAPERS, RECIPES, SETTINGS


def command_line() -> Parser:
    """The options of a run, with what is allowed for each."""
    parser = Parser(
        prog="python -m dfkd_lib.run",
        description="Distil a student from a teacher; write its weights and a record of the run.",
        epilog="'python -m dfkd_lib.run list' prints methods, data sets, networks and recipes. "
        "A run that was stopped, by Ctrl-C or otherwise, goes on with the same command and --resume.",
    )
    networks = ", ".join(sorted(catalogue.NETWORKS))
    parser.add_argument("action", nargs="?", default="run", help="run (the default) or list")
    parser.add_argument("--method", default="mad", help=f"one of {', '.join(METHODS)}")
    parser.add_argument(
        "--dataset", default="digits", help=f"one of {', '.join(catalogue.DATASETS)}, or one of your own"
    )
    parser.add_argument("--recipe", default="auto", help=f"whose schedule: auto (the method's), {', '.join(PAPERS)}")
    parser.add_argument(
        "--pair",
        default="auto",
        help=f"TEACHER-STUDENT, of {networks}; the teacher may also be "
        "FILE:NETWORK (your weights), torchvision:NAME or timm:NAME; auto: the recipe's",
    )
    parser.add_argument("--seed", type=int, default=0, help="of first weights, noise and order; default: 0")
    parser.add_argument(
        "--budget",
        default="auto",
        help="full: the recipe's schedule; short: 20 steps; a number of stages; auto: "
        "full on a GPU and for embedded data, else short",
    )
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    precision = parser.add_mutually_exclusive_group()
    precision.add_argument(
        "--precision",
        default="auto",
        help="auto, bfloat16 or float32, of the generator, and of networks wide enough to gain; plain: float32, and "
        "all computed as DFAD's public code does",
    )
    precision.add_argument(
        "--plain", dest="precision", action="store_const", const="plain", help="the slow path: --precision plain"
    )
    parser.add_argument("--compile", default="auto", help="the networks, by torch.compile: on, off; auto: on a GPU")
    parser.add_argument(
        "--output-dir", default="output", help="where the record and the student go, from the checkout's folder"
    )
    parser.add_argument("--resume", action="store_true", help="continue from the checkpoint in the output folder")
    parser.add_argument("--checkpoint-every", type=int, metavar="STAGES", help="default: a hundred in all")
    parser.add_argument("--probe", action="store_true", help="also record how the generator moves, or a GAN trains")
    parser.add_argument("--record-only", action="store_true", help="do not keep the student's weights")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help=f"change a setting of the recipe, as in --set stages=40; settings: {', '.join(sorted(SETTINGS))}",
    )
    return parser


def listing() -> str:
    """The methods, data sets, networks and recipes, as text."""
    lines = ["methods (--method), and whose recipe each runs with where that paper has one:"]
    lines += [f"  {name:14s} {METHOD_PAPERS.get(name, 'ours'):6s} {_summary(kind)}" for name, kind in METHODS.items()]
    lines += ["", "data sets (--dataset), or any NAME whose NAME.npz is in $DFKD_DATA:"]
    lines += [
        f"  {name:18s} {i.classes:4d} classes, {i.channels}×{i.size}×{i.size}" for name, i in catalogue.DATASETS.items()
    ]
    lines += ["", "networks, for --pair TEACHER-STUDENT:", "  " + ", ".join(sorted(catalogue.NETWORKS))]
    lines += ["", "recipes (--recipe): paper, data set, pair, schedule:"]
    for r in RECIPES:
        steps = f"{r.stages:,} stages of {r.generator_steps} + {r.student_steps} steps on {r.student_batch} images"
        lines.append(f"  {r.paper:6s} {r.dataset:14s} {r.pair:28s} {steps}")
    return "\n".join(lines)


def _summary(kind: type[Method]) -> str:
    return (kind.__doc__ or "").strip().splitlines()[0]
