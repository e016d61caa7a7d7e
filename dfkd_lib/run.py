# ruff: noqa: I001  (long imports in a few lines)
"""One run, from Python, from a chapter, or from the command line.

``python -m dfkd_lib.run --method mad --dataset digits --seed 0`` distils a student;
``python -m dfkd_lib.run list`` prints the methods, data sets, networks and recipes.
"""

import contextlib
import dataclasses
import math
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import nn

from . import records
from .data import (
    DATASETS, EMBEDDED, NETWORKS, Collected, Dataset, Images, check_fits, images_for,
    known_dataset, load_dataset, names_of, source_for, word_vectors,
)  # fmt: skip
from .errors import Parser, UserError, coded, one_of, real, shown, text, whole
from .files import output_folder
from .methods import METHODS, State, Task, readable
from .models import build
from .recipes import (
    METHOD_PAPERS, ON_LADDER, PAPERS, RECIPES, Recipe, override, recipe_for,
)  # fmt: skip
from .teachers import (
    Teacher, hardware, load_teacher, parse_teacher, resolve_device,
    resolve_precision,
)  # fmt: skip
from .train import (
    History, Keep, TestSet, compile_networks, flop, hold, joined, rank, train, world,
)  # fmt: skip

SHARED = ("batch", "student_batch", "memory")  # settings that processes share
DENSE = (  # methods whose losses are defined for logits of pixels
    "abm", "dafl", "dfad", "dfkd_mem", "kd_ori", "kd_rel", "kd_unr", "mad", "random",
)  # fmt: skip
SHORT = {  # of the settings that a method has, at most these
    "stages": 4, "student_steps": 5, "generator_steps": 2, "pretrain_steps": 2,
    "inversion_steps": 5, "warmup": 4, "synthetic": 256, "batch": 64,
    "student_batch": 64, "stages_per_epoch": 1, "reuse": 1,
}  # fmt: skip


@dataclass(frozen=True)
class Run:
    """A finished run: its name, record, history, last state and student."""

    name: str
    record: dict[str, Any]
    history: History
    state: State
    student: nn.Module


def begin(
    recipe: Recipe, teacher: nn.Module, dataset: Dataset, *,
    seed: int = 0, device: str = "cpu", precision: str = "float32",
    images: Images | None = None,
) -> State:  # fmt: skip
    """The state before the first stage; the seed draws the student and the generator.

    `images` are the real images that the method may see.
    """
    classes = dataset.num_classes
    where = torch.device(device), getattr(torch, precision)
    names = names_of(dataset.name, dataset.classes)
    task = Task(classes, dataset.shape, *where, images, names)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        student = build(recipe.student, classes)
        state = _shared(recipe.settings).start(teacher, student, task, seed)
    if rank():  # each process draws its own noise
        state.random.manual_seed(hash((seed, rank())) % 2**32)
    return state


def _shared(settings: Any) -> Any:
    """A process's part of the batches."""
    own, n = readable(type(settings)), world()
    parts = {name: getattr(settings, name) for name in SHARED if name in own}
    for name, value in parts.items():
        if value % n:
            near = max(value // n, 1) * n
            line = f"{name}: {value} cannot be divided among {n} processes"
            raise UserError(f"{line}; give --set {name}={near}")
    return dataclasses.replace(settings, **{k: v // n for k, v in parts.items()})


def run(
    recipe: Recipe, dataset: Dataset, teacher: Teacher, *,
    seed: int = 0, device: str = "cpu", precision: str = "float32",
    folder: Path | None = None, every: int | None = None, resume: bool = False,
    compiling: bool = False, **options: Any,
) -> Run:  # fmt: skip
    """Distil once. `options` go to `train`.

    Checkpoints are kept in `folder`, `every` so many stages (by default a hundred in
    all), until `records.save_run` deletes them; with `resume`, the run continues from
    there. `compiling`: compile the networks, or say why that does not work.

    A UserError if the recipe is for other data or another teacher, the student does not
    fit the images, or another process runs the same in the same folder.
    """
    one_of("recipe's dataset", recipe.dataset, [dataset.name])
    one_of("recipe's teacher", recipe.teacher, [teacher.name])
    _check_fits(dataset, recipe)
    sha, tree = records.commit(), records.tree()  # now: the checkout may move on
    name = records.key(recipe, seed, precision)
    images, known = _images(recipe, dataset, teacher, seed, device)
    where = {"device": device, "precision": precision}
    state = begin(recipe, teacher.network, dataset, seed=seed, images=images, **where)
    with contextlib.ExitStack() as stack:
        keep = None
        if folder:
            identity = {
                **records.parameters(recipe), "run": name, "device": device,
                "teacher_hash": teacher.hash, "processes": world(),
                "images": known and known.get("sha256", known["source"]),
            }  # fmt: skip
            often = every or max(recipe.settings.stages // 100, 1)
            keep = Keep(folder / f"{name}.ckpt", identity, often, resume)
            if not rank():
                stack.enter_context(hold(folder, name, resume))
        test = TestSet.of(dataset, state.teacher, device)
        _check_teacher(teacher, test, dataset)
        mode, settings = "none", _shared(recipe.settings)
        if compiling:
            mode, refused = compile_networks(settings, state)
            if refused:
                print(f"torch.compile: {refused}; mode: {mode}", file=sys.stderr)
        title = f"{recipe.method}, seed {seed}"
        history = train(settings, state, test, title=title, keep=keep, **options)
    where |= {"commit": sha, "tree": tree, "compiled": mode}
    where |= {"images": known} if known else {}
    where |= {"teacher_miou": test.maps.miou} if dataset.crop else {}
    made = records.record(recipe, seed, teacher, history, **where)
    return Run(name, made, history, state, finished(recipe.settings, state))


def finished(settings: Any, state: State) -> nn.Module:
    """The student by itself; HiDFD's is taken apart from what it shares with T."""
    return getattr(settings, "finished", lambda state: state.student)(state)


def _images(
    recipe: Recipe, dataset: Dataset, teacher: Teacher, seed: int, device: str
) -> tuple[Images | None, dict[str, Any] | None]:
    """The real images that the method may see, and their record."""
    m = recipe.settings
    if m.data is None:
        return None, None
    choice: dict[str, Any] = {"share": m.data_share} if m.data != "collected" else {
        "source": m.collected_from, "ratio": m.collected_ratio, "by": m.collected_by,
        "imbalance": m.collected_imbalance or None,
    }  # fmt: skip
    if choice.get("by") == "confidence":
        choice["teacher"] = teacher.network.to(device)
    return images_for(m.data, dataset, seed=seed, device=device, **choice)


def _check_fits(dataset: Dataset, recipe: Recipe) -> None:
    """Refuse a student, or a method, for images that it cannot learn from."""
    check_fits(dataset, "student", recipe.student)
    if dataset.crop:
        one_of("method for label maps", recipe.method, DENSE)
        if getattr(recipe.settings, "conditional", False):
            raise UserError("conditional: an image has no one label here; give False")
    if getattr(recipe.settings, "labels", "") == "text":
        names = names_of(dataset.name, dataset.classes)
        word_vectors(names, dataset.num_classes)


def _check_teacher(teacher: Teacher, test: Any, dataset: Dataset) -> None:
    """A teacher is kept by its data set's name, which may have been another's."""
    measured, known = test.teacher_accuracy, teacher.accuracy
    if known is not None and abs(measured - known) > max(1.0, 150 / len(test.x)):
        line = f"teacher: {teacher.name} gets {measured:.2f} % of {dataset.name}'s "
        line += f"images right, by its record {known:.2f} %: it was trained on other "
        todo = "give this data another name, or train the teacher again"
        raise UserError(f"{line}images of that name; {todo}")


# --- budgets --------------------------------------------------------------------------

# About 15 minutes of one thread on the ladder's networks for images and for label maps
LAPTOP = {False: "0.1PF", True: "0.03PF"}


def recipe_within(
    budget: str | int, dataset: str, method: str, device: str,
    teacher: str = "auto", student: str = "auto", paper: str = "auto",
) -> Recipe:  # fmt: skip
    """`recipe_for`, but that of the ladder for CIFAR on a laptop.

    It is used for a budget in FLOP, or for auto without a GPU, where neither a pair
    nor a paper is given.
    """
    small = _pflop(budget) is not None or (budget, device) == ("auto", "cpu")
    if small and {teacher, student, paper} == {"auto"} and dataset in ON_LADDER:
        paper = "ladder"
    return recipe_for(dataset, method, teacher, student, paper)


def apply_budget(
    budget: str | int, recipe: Recipe, device: str,
    teacher: nn.Module | None = None, like: Dataset | None = None,
) -> tuple[Recipe, str]:  # fmt: skip
    """The recipe as a budget allows it, and a sentence that says what will run.

    full: the recipe's schedule; a number: so many of its stages; 0.2PF: as many as cost
    0.2e15 FLOP; short: 20 student steps on small batches; auto: full on a GPU and for
    a minute's work on embedded data, `LAPTOP` on the ladder, else short. For
    `teacher` and `like` see `schedule_flop`.

    A UserError if the FLOP are not enough for a stage.
    """
    settings = recipe.settings
    if budget == "auto":
        steps = settings.stages * settings.student_steps
        small = recipe.dataset in EMBEDDED and steps <= 10_000
        budget = "full" if device == "cuda" or small else "short"
        if recipe.paper == "ladder" and device == "cpu":
            budget = LAPTOP[DATASETS[recipe.dataset].dense]
    if (wanted := _pflop(budget)) is not None:
        return _spend(wanted, recipe, teacher, like)
    if budget == "short":
        own = recipe.values()
        most = {name: min(own[name], SHORT[name]) for name in own if name in SHORT}
        made = recipe.replace(**most)
    else:
        made = recipe if budget == "full" else recipe.replace(stages=budget)
    now, all_steps = _student_steps(made), _student_steps(recipe)
    stages = made.settings.stages
    if budget != "short" and stages >= settings.stages:
        line = f"the full schedule: {stages:,} stages, {now:,} student steps"
        return made, "more than " * (stages > settings.stages) + line
    batch, usual = (_learns_from(m) for m in (made.settings, settings))
    times = all_steps * usual / (now * batch)
    return made, (
        f"NOT THE FULL SCHEDULE: {now:,} student steps on batches of {batch} instead "
        f"of {all_steps:,} on {usual}. Its accuracy is not the method's. The full "
        f"schedule, budget full, is {times:,.0f} times the work."
    )


def _learns_from(settings: Any) -> int:
    """Images of a student's step."""
    return getattr(settings, "student_batch", 0) or settings.batch


def _spend(
    pflop: float, recipe: Recipe, teacher: nn.Module | None, like: Dataset | None
) -> tuple[Recipe, str]:
    """As many stages as the FLOP pay for; the schedule ends with them."""
    each = schedule_flop(recipe, teacher, like) / recipe.settings.stages / 1e15
    if (stages := round(pflop / each)) < 1:
        line = f"budget: {pflop:g} PFLOP are not enough; a stage of {recipe.method} on"
        raise UserError(f"{line} {recipe.pair} takes {each:.2g}; give {each:.2g}PF")
    made = recipe.replace(stages=stages)
    line = f"{pflop:g} PFLOP: {stages:,} stages, {_student_steps(made):,} student steps"
    line += f" on batches of {_learns_from(made.settings)}, {recipe.pair}"
    full = recipe_for(recipe.dataset, recipe.method)
    if full.paper not in (recipe.paper, "ours", "ladder"):
        line += f"; the paper's own run, budget full, is {full.pair} and about "
        line += f"{schedule_flop(full) / 1e15:,.0f} PFLOP"
    return made, line


def schedule_flop(
    recipe: Recipe, teacher: nn.Module | None = None, like: Dataset | None = None
) -> float:
    """FLOP of a recipe's whole schedule, from stages of few steps on few images.

    A pass costs in proportion to its images, a stage what its steps cost; what happens
    once in a run (MAD's pretraining, HiDFD's pool of images) or grows (the images that
    CMI's head and KD³'s contrast compare) is left out; the images that KD³ judges are
    taken for 8 batches. `teacher` and `like` are needed if the library does not know
    the names of the network and of the data set.
    """
    m, like = recipe.settings, like or _blank(recipe.dataset)
    sizes = {n: getattr(m, n) for n in ("batch", "student_batch") if hasattr(m, n)}
    gan = getattr(m, "gan_stages", 0)
    part = max(math.gcd(*sizes.values()) // 8, 1)  # PRE replays an eighth
    # HiDFD's phases are counted apart, so their batches may shrink apart
    few = {n: min(size, 4) if gan else size // part for n, size in sizes.items()}
    kinds = {"student_steps": "student_batch", "generator_steps": "batch"}
    kinds |= {"memory_steps": "student_batch"}  # of PRE's autoencoder
    usual = {"pretrain_steps": 0, "warmup": 0, "synthetic": 64}
    usual |= {"memory": max(few.values()), "labels": "random"}
    few |= {n: v for n, v in usual.items() if n in recipe.values()}
    once = dict.fromkeys(kinds, 1) | {"student_steps": getattr(m, "reuse", 1)}
    once = {name: steps for name, steps in once.items() if hasattr(m, name)}
    x = np.zeros((64, *like.x_test.shape[1:]), np.uint8)
    found = Collected(x, np.arange(64) % like.num_classes, {})
    images = None if m.data is None else Images.of_collected(found, like, "cpu")
    network = teacher or build(recipe.teacher, like.num_classes)

    def stage(number: int, **steps: int) -> int:
        small = recipe.replace(**few, **steps)
        state = begin(small, network, like, images=images)
        for state.stage in range(number - 1, number + 1):  # the second is as the rest
            cost = flop(small.settings, state)
        return cost

    total = 0 if gan else part * m.stages * stage(2, **once)
    for name, first in once.items():
        stages, number = gan or m.stages, 2
        if name == "student_steps":
            stages, number = m.stages - gan, gan + 2
        more = stage(number, **once | {name: 2 * first}) - stage(number, **once)
        steps = getattr(m, name) - (0 if gan else first)
        size = kinds[name] if kinds[name] in sizes else next(iter(sizes))
        times = stages * steps + getattr(m, "warmup", 0) * (name == "generator_steps")
        total += sizes[size] / few[size] * times * more / first
    return total


def _blank(name: str) -> Dataset:
    """A data set of the catalogue without its images."""
    facts = DATASETS[name]
    side = facts.size * (1 + facts.dense)  # with label maps, crops are a half of images
    x = np.zeros((facts.classes, side, side, facts.channels), np.uint8)
    y = np.arange(facts.classes)
    if facts.dense:
        y = np.broadcast_to(y.astype(np.uint8)[:, None, None], x.shape[:3])
    return Dataset(name, x, y, x, y, (0.0,) * facts.channels, (1.0,) * facts.channels)


def _student_steps(recipe: Recipe) -> int:
    settings = recipe.settings
    gan = getattr(settings, "gan_stages", 0)  # HiDFD's student waits for the GAN
    return (settings.stages - gan) * settings.student_steps


def _pflop(budget: Any) -> float | None:
    """What a budget as 0.2PF is in PFLOP; None for others."""
    found = isinstance(budget, str) and re.fullmatch(r"(\d+\.?\d*|\.\d+)PF", budget)
    return float(found[1]) if found else None


# --- a chapter's parameters -----------------------------------------------------------


def _budget(name: str, value: Any) -> str | int:
    word = isinstance(value, str) and value in ("auto", "full", "short")
    number = isinstance(value, int) and not isinstance(value, bool)
    if word or (_pflop(value) or 0) > 0 or (number and 0 < value < 2**31):
        return value
    raise UserError(
        f"{name}: {shown(value)} is not allowed; give auto, full, short, a whole "
        "number of stages above 0, or PFLOP as in 0.2PF"
    )


def _teacher(name: str, value: Any) -> str:
    if not isinstance(value, str) or value != "auto":
        parse_teacher(value, name)
    return value


def _overrides(name: str, value: Any) -> list[str]:
    if isinstance(value, str):
        return value.split()
    line = f"{name}: {shown(value)} is not allowed"
    raise UserError(f"{line}; give a text such as 'batch=64 reuse=5'")


CHECKS: Mapping[str, Callable[[str, Any], Any]] = {
    "dataset": known_dataset,
    "teacher": _teacher,
    "student": lambda name, value: one_of(name, value, {"auto", *NETWORKS}),
    "seed": whole,
    "seeds": lambda name, value: whole(name, value, 1, 100),
    "budget": _budget,
    "device": resolve_device,
    "precision": lambda n, value: one_of(n, value, ("auto", "bfloat16", "float32")),
    "momentum": lambda name, value: real(name, value, 0, 1),
    "overrides": _overrides,
    "output_dir": text,
}


class Settings(SimpleNamespace):
    """The checked parameters of a chapter."""


def check_parameters(namespace: Mapping[str, Any]) -> Settings:
    """Check every parameter of a chapter, before any work starts.

    `namespace` is the notebook's ``globals()`` right after its parameters cell, where
    unknown names are found too: papermill itself only warns of them.

    A UserError with the first thing that is wrong, and what is allowed.
    """
    given = {
        name: value
        for name, value in namespace.items()
        if not (name.startswith("_") or name in ("In", "Out") or callable(value))
    }
    if any(isinstance(value, Settings) for value in given.values()):  # a second time
        given = {name: given[name] for name in CHECKS if name in given}
    checked = {one_of("parameter", name, CHECKS): given[name] for name in given}
    return Settings(**{n: CHECKS[n](n, value) for n, value in checked.items()})


def prepare(
    namespace: Mapping[str, Any], method: str
) -> tuple[Settings, Dataset, Teacher, Recipe]:
    """A chapter's set-up: checked parameters, data, teacher, and the recipe to run.

    The settings also get `full` (the recipe's whole schedule), `folder`, `recorded`
    (whether the run is the one that the chapter's text describes) and `alone` (whether
    it is a laptop's run on the ladder, of the chapter's method and of no other).
    """
    usual = {"teacher": "auto", "student": "auto", "budget": "auto", "overrides": []}
    usual |= {"precision": "auto", "output_dir": "output", "seed": 0, "seeds": 1}
    s = Settings(**usual | vars(check_parameters(namespace)))
    s.precision = resolve_precision(s.precision, s.device)
    asked = s.budget, s.dataset, method, s.device, s.teacher, s.student
    recipe = override(recipe_within(*asked), s.overrides)
    if "momentum" in vars(s):
        recipe = recipe.replace(momentum=s.momentum)
    s.full = recipe
    data, teacher, recipe, note = _loaded(s, recipe)
    usual = {"hidfd": "digits_hybrid", "fast": "digits_half"}.get(method, "digits")
    usual = "scenes" if data.crop else usual
    s.recorded = recipe == recipe_for(usual, method)
    s.alone = recipe.paper == "ladder"
    print(f"{s.dataset}: {note}")
    if not s.recorded:
        print("The text below describes the default run: trust the numbers.")
    return s, data, teacher, recipe


def _loaded(s: Settings, recipe: Recipe) -> tuple[Dataset, Teacher, Recipe, str]:
    """Data, teacher, the recipe within the budget, and the sentence about it.

    The output folder is made before a teacher may train, and after all refusals.
    """
    data = load_dataset(s.dataset)
    _check_fits(data, recipe)
    s.folder = output_folder(s.output_dir)
    teacher = load_teacher(data, recipe.teacher, device=s.device)
    within = apply_budget(s.budget, recipe, s.device, teacher.network, data)
    return data, teacher, *within


# --- the command line -----------------------------------------------------------------


def command_line() -> Parser:
    """The options of a run, with what is allowed for each."""
    parser = Parser(
        prog="python -m dfkd_lib.run",
        description="Distil a student from a teacher; write its weights and a record.",
        epilog="'python -m dfkd_lib.run list' prints methods, data sets, networks and "
        "recipes. The same command with --resume continues a run that was stopped.",
    )
    add = parser.add_argument
    add("action", nargs="?", default="run", help="run (the default) or list")
    add("--method", default="mad", help=f"one of {', '.join(METHODS)}")
    add("--dataset", default="digits", help=f"{', '.join(DATASETS)}, or your own")
    add("--recipe", default="auto", help=f"auto (the method's), {', '.join(PAPERS)}")
    add("--pair", default="auto", help="TEACHER-STUDENT, networks that list prints; "
        "the teacher may be FILE:NETWORK, torchvision:NAME or timm:NAME")  # fmt: skip
    add("--seed", type=int, default=0, help="default: 0")
    add("--budget", default="auto", help="full, short (20 steps), a number of stages, "
        "FLOP as in 0.2PF, or auto: full on a GPU and for embedded data, else 0.1PF on "
        "CIFAR, 0.03PF on CamVid and NYUv2, and short on other data")  # fmt: skip
    add("--device", default="auto", help="auto, cpu or cuda")
    add("--precision", default="auto", help="auto, bfloat16 (where a network gains) or "
        "float32")  # fmt: skip
    add("--compile", default="auto", help="by torch.compile: on, off; auto: on a GPU")
    add("--output-dir", default="output", help="a relative one lies in the checkout")
    add("--resume", action="store_true", help="continue from the checkpoint there")
    add("--checkpoint-every", type=int, metavar="STAGES", help="default: 100 in all")
    add("--probe", action="store_true", help="also record how the generator moves")
    add("--record-only", action="store_true", help="do not keep the student's weights")
    add("--set", action="extend", nargs="+", default=[], metavar="NAME=VALUE",
        help="change settings, as in --set stages=40 batch=64")  # fmt: skip
    return parser


def listing() -> str:
    """The methods, data sets, networks and recipes, as text."""
    lines = ["methods (--method), and whose recipe each has where there is one:"]
    for name, kind in METHODS.items():
        summary = kind.__doc__.strip().splitlines()[0]
        lines.append(f"  {name:14s} {METHOD_PAPERS.get(name, 'ours'):6s} {summary}")
    lines += ["", "data sets (--dataset), or NAME with NAME.npz in $DFKD_DATA:"]
    for name, i in DATASETS.items():
        size = f"{i.channels}×{i.size}×{i.size}" + ", of pixels" * i.dense
        lines.append(f"  {name:18s} {i.classes:4d} classes, {size}")
    lines += ["", "networks, for --pair TEACHER-STUDENT:", f"  {', '.join(NETWORKS)}"]
    lines += ["", "recipes (--recipe): paper, data set, pair, schedule:"]
    methods = {paper: method for method, paper in reversed(METHOD_PAPERS.items())}
    for e in RECIPES:
        method = methods.get(e.paper, "mad")
        m = recipe_for(e.dataset, method, e.teacher, e.student, e.paper).settings
        steps = f"{m.generator_steps} + {m.student_steps} steps"
        pair = f"{e.teacher}-{e.student}"
        schedule = f"{m.stages:,} stages of {steps} on {m.student_batch} images"
        lines.append(f"  {e.paper:6s} {e.dataset:14s} {pair:28s} {schedule}")
    lines += ["", "settings (--set): those that each method reads:"]
    lines += [f"  {n}: {', '.join(readable(kind))}" for n, kind in METHODS.items()]
    return "\n".join(lines)


@coded
def main(argv: list[str] | None = None) -> int:
    """The command line."""
    args = command_line().parse_args(argv)
    if one_of("action", args.action, ("run", "list")) == "list":
        print(listing())
        return 0
    with joined():
        return _run(args)


def _asked(args: Any) -> tuple[Settings, Recipe]:
    """What the options ask for, checked before anything is loaded."""
    number = args.budget.isdecimal() and len(args.budget) < 20
    budget = int(args.budget) if number else args.budget
    teacher, _, student = args.pair.rpartition("-")
    if args.pair == "auto":
        teacher = student = "auto"
    if not teacher:
        todo = "give TEACHER-STUDENT, as in wrn40_2-wrn16_2, or auto"
        raise UserError(f"pair: {args.pair!r} is not allowed; {todo}")
    names = ("dataset", "seed", "device", "precision", "output_dir")
    given = {name: getattr(args, name) for name in names}
    given |= {"teacher": teacher, "student": student, "budget": budget}
    asked = check_parameters(given)
    one_of("compile", args.compile, ("auto", "off", "on"))
    if args.checkpoint_every is not None:
        whole("checkpoint-every", args.checkpoint_every, 1)
    pair = teacher, student, args.recipe
    recipe = recipe_within(budget, args.dataset, args.method, asked.device, *pair)
    recipe = override(recipe, args.set)
    m = recipe.settings
    _shared(m)  # now: a teacher may take hours
    few = min(m.stages, budget if isinstance(budget, int) else 2) < 2
    if args.probe and (few or args.resume or "generator" not in readable(type(m))):
        needs = "a method with a generator, at least two stages, and no --resume"
        raise UserError(f"probe: it needs {needs}; leave out --probe")
    if m.data not in (None, "original"):
        source_for(m.data, args.dataset, getattr(m, "collected_from", "auto"))
    return asked, recipe


def _run(args: Any) -> int:
    asked, recipe = _asked(args)
    method, seed, device = args.method, args.seed, asked.device
    dataset, teacher, recipe, sentence = _loaded(asked, recipe)
    folder = asked.folder
    precision = resolve_precision(args.precision, device)
    name = records.key(recipe, seed, precision)
    checkpoint = folder / f"{name}.ckpt"
    if args.resume and not checkpoint.exists():
        path, student = folder / f"{name}.json", folder / f"{name}.safetensors"
        if path.exists() and (args.record_only or student.exists()):
            print(f"{method}, seed {seed}: this run is finished; record: {path}")
            return 0
        print(f"there is no checkpoint of this run in {folder}: it begins", flush=True)
    print(f"{method} on {args.dataset}: {sentence}", flush=True)
    probe = None
    if args.probe:
        from .lab import GANProbe, Probe

        gan = method in ("hidfd", "degan")
        probe = GANProbe(recipe.settings, dataset) if gan else Probe()
    wanted = args.compile == "on" or (args.compile == "auto" and device == "cuda")
    quiet = not sys.stderr.isatty() and not rank()
    done = run(
        recipe, dataset, teacher, seed=seed, device=device, precision=precision,
        folder=None if args.probe else folder, every=args.checkpoint_every,
        resume=args.resume, compiling=wanted and world() == 1, observe=probe,
        report=recipe.settings.stages_per_epoch * quiet,
    )  # fmt: skip
    made = done.record
    if probe:
        momentum = getattr(recipe.settings, "momentum", 0.0)
        made["probe"] = probe.summary() if gan else probe.summary(momentum)
        made["command"] += " --probe"
    if not rank():
        student = None if args.record_only else done.student
        path = records.save_run(folder, done.name, made, student)
        line = f"accuracy {made['accuracy_last']:.2f} % (teacher {teacher.accuracy:.2f}"
        if dataset.crop:
            line = f"mIoU {made['miou_last']:.2f} % (teacher {made['teacher_miou']:.2f}"
        line += f" %), {made['seconds']:.0f} s on {hardware(device)}; record: {path}"
        print(line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
