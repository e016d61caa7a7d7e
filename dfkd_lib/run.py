"""One run from the command line: ``python -m dfkd_lib.run --method mad --dataset digits --seed 0``."""

import ast
import math
import sys
from dataclasses import dataclass
from typing import Any

import torch

from . import parameters, results
from .data import Dataset, check_fits, load_dataset
from .errors import Parser, UserError, one_of
from .evaluation import TestSet
from .files import output_folder
from .methods import METHODS
from .methods.game import Game
from .probe import Probe
from .recipes import CHOICES, NETWORKS, Recipe, recipe_for
from .teachers import Teacher, load_teacher
from .training import History, train


@dataclass(frozen=True)
class Run:
    """A run that has ended: its record, its history, and the method with its networks."""

    record: dict[str, Any]
    history: History
    method: Game


def resolve_precision(precision: str, device: str) -> str:
    """'auto' is bfloat16 where the processor has instructions for it, else float32."""
    if precision != "auto":
        return precision
    if device == "cuda":
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        fast = torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return "bfloat16" if fast else "float32"


def apply_budget(budget: str | int, recipe: Recipe, device: str) -> tuple[Recipe, str]:
    """The recipe as a budget allows it, and a sentence that says what will run.

    'full' is the recipe's schedule; a number is so many of its stages; 'short' shows that everything works, in 20
    student steps on small batches. 'auto' is full on a GPU, and for digits, which a CPU does in a minute; else short.
    """
    if budget == "auto":
        small = recipe.dataset in ("digits", "digits_half") and recipe.stages * recipe.student_steps <= 10_000
        budget = "full" if device == "cuda" or small else "short"
    if budget == "short":
        shown = recipe.replace(
            stages=min(recipe.stages, 4),
            student_steps=min(recipe.student_steps, 5),
            batch=min(recipe.batch, 64),
            student_batch=min(recipe.student_batch, 64),
            stages_per_epoch=1,
            reuse=1,
        )
    else:
        shown = recipe if budget == "full" else recipe.replace(stages=budget)
    steps = [r.stages * r.student_steps for r in (shown, recipe)]
    if budget != "short" and shown.stages >= recipe.stages:
        return shown, f"the full schedule: {shown.stages:,} stages, {steps[0]:,} student steps"
    times = steps[1] * recipe.student_batch / (steps[0] * shown.student_batch)
    return shown, (
        f"NOT THE FULL SCHEDULE: {steps[0]:,} student steps on batches of {shown.student_batch}, of {steps[1]:,} on "
        f"{recipe.student_batch}. Its accuracy is not the method's. The full schedule, budget full, is {times:,.0f} "
        "times the work."
    )


def run(
    method: str,
    recipe: Recipe,
    dataset: Dataset,
    teacher: Teacher,
    *,
    seed: int = 0,
    device: str = "cpu",
    precision: str = "float32",
    **options: Any,
) -> Run:
    """Distil once. `options` go to `training.train`. Settings that the method does not read become the defaults.

    Raises
    ------
    UserError
        if the recipe is for another data set or teacher, or its student does not fit the images.
    """
    one_of("method", method, METHODS)
    one_of("recipe's dataset", recipe.dataset, [dataset.name])
    one_of("recipe's teacher", recipe.teacher, [teacher.name])
    check_fits(dataset, "student", recipe.student)
    sha = results.commit()  # now: the checkout may move on while this runs
    usual = results.usual(recipe)
    recipe = recipe.replace(**{name: getattr(usual, name) for name in METHODS[method].unused})
    channels = dataset.x_train.shape[3]
    game = METHODS[method](
        teacher.network,
        recipe,
        dataset.num_classes,
        channels,
        seed=seed,
        device=device,
        precision=precision,
    )
    test = TestSet.of(dataset, game.teacher, device)
    title = f"{method}, seed {seed}"
    history = train(game, test, title=title, **options)
    made = results.record(method, recipe, seed, teacher, history, device=device, precision=precision, sha=sha)
    return Run(made, history, game)


def override(recipe: Recipe, settings: list[str]) -> Recipe:
    """Apply ``name=value`` settings to a recipe.

    Raises
    ------
    UserError
        for a name that is no setting (lists them), or a value that the setting cannot take.
    """
    changes: dict[str, Any] = {}
    for setting in settings:
        name, sign, value = setting.partition("=")
        if not sign:
            raise UserError(f"setting {name}: it has no value; write --set {name}=VALUE")
        usual = vars(recipe)[one_of("setting", name, vars(recipe).keys() - {"dataset", "source"})]
        changes[name] = _parse(name, value, type(usual))
    return recipe.replace(**changes)


def _parse(name: str, value: str, kind: type) -> Any:
    """A setting's value from its text: a known name, a whole number from 1, a number from 0, True or False."""
    if name in ("teacher", "student"):
        return one_of(name, value, NETWORKS)
    if name in CHOICES:
        return one_of(name, value, CHOICES[name])
    try:
        parsed = ast.literal_eval(value)
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):  # literal_eval's own list
        parsed = value
    if kind is int:
        return parameters.whole(name, parsed, 1, 65_536 if "batch" in name else 2**31 - 1)
    if kind is float:
        limits = {"momentum": 1, "student_momentum": 1, "generator_beta1": 0.999}
        return parameters.real(name, parsed, 0, limits.get(name, math.inf))
    if kind is tuple and isinstance(parsed, tuple):
        return tuple(parameters.real(name, part, 0, 1) for part in parsed)
    if kind is bool and isinstance(parsed, bool):
        return parsed
    allowed = "True or False" if kind is bool else "a tuple of numbers from 0 to 1, such as (0.5,)"
    raise UserError(f"{name}: {value!r} is not allowed; give {allowed}")


def main(argv: list[str] | None = None) -> int:
    """Distil a student from a teacher without data; writes its weights and a record."""
    parser = Parser(prog="python -m dfkd_lib.run", description=main.__doc__)
    parser.add_argument("--method", default="mad", help=f"one of {', '.join(METHODS)}")
    parser.add_argument("--dataset", default="digits", help="whose teacher to distil, and what to test on")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--budget", default="auto", help="auto, full, short, or a number of stages")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--precision", default="auto", help="of the generator: auto, bfloat16 or float32")
    parser.add_argument(
        "--output-dir", default="output", help="where the record and the student go, from the checkout's folder"
    )
    parser.add_argument("--probe", action="store_true", help="also record how the generator moves from stage to stage")
    parser.add_argument("--record-only", action="store_true", help="do not keep the student's weights")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help=f"change a setting of the recipe, as in --set stages=40; settings: {', '.join(sorted(vars(Recipe())))}",
    )
    try:
        args = parser.parse_args(argv)
        digits = args.budget.isdecimal() and len(args.budget) < 20
        budget: str | int = int(args.budget) if digits else args.budget
        checked = parameters.check_parameters(
            {
                "dataset": args.dataset,
                "seed": args.seed,
                "budget": budget,
                "device": args.device,
                "precision": args.precision,
                "output_dir": args.output_dir,
            }
        )
        one_of("method", args.method, METHODS)
        recipe = override(recipe_for(args.dataset), args.set)
        for name in results.changes(recipe).keys() & METHODS[args.method].unused:
            raise UserError(f"setting {name}: {args.method} does not use it")
        recipe, sentence = apply_budget(budget, recipe, checked.device)
        if args.probe and recipe.stages < 2:
            raise UserError("probe: one stage has no movement to measure; give a budget of two stages or more")
        dataset = load_dataset(args.dataset)
        check_fits(dataset, "student", recipe.student)
        teacher = load_teacher(dataset, recipe.teacher)
        folder = output_folder(args.output_dir)
        print(f"{args.method} on {args.dataset}: {sentence}")
        probe = Probe() if args.probe else None
        precision = resolve_precision(args.precision, checked.device)
        done = run(
            args.method,
            recipe,
            dataset,
            teacher,
            seed=args.seed,
            device=checked.device,
            precision=precision,
            observe=probe,
        )
        if probe:
            done.record["probe"] = probe.summary(recipe.momentum)
            done.record["command"] += " --probe"
        name = results.run_name(args.method, recipe, args.seed)
        path = results.save_run(folder, name, done.record, None if args.record_only else done.method.student)
    except (UserError, FloatingPointError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(
        f"accuracy {done.record['accuracy_last']:.2f} % (teacher {teacher.accuracy:.2f} %), "
        f"{done.record['seconds']:.0f} s; record: {path}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
