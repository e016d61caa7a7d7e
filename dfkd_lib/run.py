"""One run from the command line: ``python -m dfkd_lib.run --method mad --dataset digits --seed 0``.

``python -m dfkd_lib.run list`` prints the methods, data sets, pairs and recipes.
"""

import dataclasses
import signal
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import catalogue, checkpoint, parameters, ranks, results
from .breakage import check_equal
from .budget import apply_budget, resolve_precision
from .compiling import compile_or_say_why
from .data import Dataset, check_fits, load_dataset
from .errors import UserError, of_settings, one_of
from .evaluation import TestSet
from .files import output_folder
from .gan_probe import GANProbe
from .listing import command_line, listing
from .methods import METHODS
from .methods.game import Game
from .methods.method import Method
from .methods.with_data import images_for, source_for
from .probe import Probe
from .recipes import Recipe, recipe_for
from .settings import override
from .teachers import Teacher, check_accuracy, load_teacher
from .training import History, Interrupted, Keep, train


@dataclass(frozen=True)
class Run:
    """A run that has ended: its name, its record, its history, and the method with its networks."""

    name: str
    record: dict[str, Any]
    history: History
    method: Method


def as_run(method: str, recipe: Recipe) -> Recipe:
    """The recipe that a run's record and name tell: settings that the method does not read are the usual ones."""
    standing, unused = results.usual(recipe), METHODS[method].unused()
    return dataclasses.replace(
        recipe,
        **{name: value for name, value in standing.values().items() if name in unused},
        sources={name: source for name, source in recipe.sources.items() if name not in unused},
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
    folder: Path | None = None,
    every: int | None = None,
    resume: bool = False,
    compiling: bool = False,
    **options: Any,
) -> Run:
    """Distil once. `options` go to `training.train`. Settings that the method does not read become the defaults.

    Where several `ranks` call this, each has its part of the recipe's batches.

    Parameters
    ----------
    folder
        where to keep checkpoints, `every` so many stages (by default a hundred in all); `results.save_run` deletes
        them. Without it nothing is kept.
    resume
        continue from the checkpoint in `folder`, if there is one.
    compiling
        compile the networks of an adversarial game, if that works; else say why not, and go on.

    Raises
    ------
    UserError
        if the recipe is for another data set or teacher, its student does not fit the images, or another process runs
        the same in the same folder; or if batches cannot be shared by the ranks.
    ranks.Lost
        if another rank has ended; says from where to go on.
    """
    one_of("method", method, METHODS)
    one_of("recipe's dataset", recipe.dataset, [dataset.name])
    one_of("recipe's teacher", recipe.teacher, [teacher.name])
    check_fits(dataset, "student", recipe.student)
    sha = results.commit()  # now: the checkout may move on while this runs
    kind = METHODS[method]
    kind.check(recipe)
    recipe = as_run(method, recipe)
    name = results.run_name(method, recipe, seed)
    images, known = None, None
    if kind.needs:
        chosen = kind.choice(recipe, teacher.network, device)
        images, known = ranks.in_turn(lambda: images_for(kind.needs, dataset, seed=seed, device=device, **chosen))
    _, height, _, channels = dataset.x_test.shape
    game = kind(
        teacher.network,
        ranks.share(recipe, kind.uses),
        dataset.num_classes,
        channels,
        seed=seed,
        size=height,
        device=device,
        precision=precision,
        images=images,
    )
    keep, mode = None, None
    if folder:
        path = results.checkpoint_path(folder, name)
        identity = {"run": name, "device": device, "precision": precision, "teacher": teacher.hash}
        identity |= {
            "ranks": ranks.count(),
            "parameters": results.read_by(method, recipe),
            "images": known and known.get("sha256", known["source"]),
        }
        keep = Keep(path, identity, every or max(recipe.stages // 100, 1), resume)
    with ExitStack() as until_the_end:
        with ranks.agreed():
            if keep and not ranks.rank():
                until_the_end.enter_context(checkpoint.place(folder, name, keep.path, resume))
            test = TestSet.of(dataset, game.teacher, device)
            check_accuracy(teacher, test, dataset.name)
        check_equal({"teacher": teacher.hash, "images": known}, ())
        if compiling and isinstance(game, Game):
            mode = compile_or_say_why(game)
        try:
            history = train(game, test, title=f"{method}, seed {seed}", keep=keep, **options)
        except ranks.Lost as lost:
            there = keep is not None and checkpoint.exists(keep.path)
            last = f"the last checkpoint is {keep.path}; continue with the same command and --resume"
            raise ranks.Lost(f"{lost}; {last if there else 'there is no checkpoint'}", lost.speaks) from lost
    made = results.record(method, recipe, seed, teacher, history, device=device, precision=precision, sha=sha)
    made |= {"images": known} if known else {}
    made |= {"compiled": mode} if mode else {}
    return Run(name, made, history, game)


def main(argv: list[str] | None = None) -> int:
    """The command line. Exit code 2 for anything the caller can mend, 128 and the signal's number for a stopped run,
    1 where another rank has ended.
    """
    try:
        with ranks.session():
            return _told(argv)
    except UserError as error:  # of the session itself
        print(f"error: {error}", file=sys.stderr)
        return 2
    except ranks.Lost as lost:
        ranks.speak(lost)
        return 1
    except KeyboardInterrupt:  # outside the loop, or in a run that keeps no checkpoint
        if not ranks.rank():
            print("stopped by SIGINT", file=sys.stderr)
        return 128 + signal.SIGINT


def _told(argv: list[str] | None) -> int:
    """The command line, where what ends a run ends it on all ranks alike."""
    try:
        args = command_line().parse_args(argv)
        if one_of("action", args.action, ("run", "list")) == "list":
            print(listing())
            return 0
        return _run(args)
    except (UserError, FloatingPointError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except (MemoryError, RuntimeError, ValueError) as error:
        print(f"error: {of_settings(error)}", file=sys.stderr)
        return 2
    except Interrupted as stopped:
        print(f"{stopped}; continue with the same command and --resume", file=sys.stderr)
        return 128 + stopped.number


def _run(args: Any) -> int:
    counts = args.budget.isdecimal() and len(args.budget) < 20
    budget: str | int = int(args.budget) if counts else args.budget
    teacher, _, student = args.pair.rpartition("-") if args.pair != "auto" else ("auto", "-", "auto")
    if not teacher:
        raise UserError(f"pair: {args.pair!r} is not allowed; give TEACHER-STUDENT, as in wrn40_2-wrn16_2, or auto")
    given = {"dataset": args.dataset, "seed": args.seed, "budget": budget, "device": args.device}
    given |= {"teacher": teacher, "student": student, "precision": args.precision, "output_dir": args.output_dir}
    checked = parameters.check_parameters(given)
    kind = METHODS[one_of("method", args.method, METHODS)]
    compiling = _compiling(args.compile, kind, checked.device, args.precision)
    gan = "gan_share" in kind.uses
    recipe = override(recipe_for(args.dataset, args.method, teacher, student, args.recipe), args.set)
    for name in sorted(results.changes(recipe).keys() & kind.unused()):
        raise UserError(f"setting {name}: {args.method} does not use it")
    kind.check(recipe)
    if args.checkpoint_every is not None:
        parameters.whole("checkpoint-every", args.checkpoint_every, 1)
    recipe, sentence = apply_budget(budget, recipe, checked.device, gan=gan)
    ranks.share(recipe, kind.uses)  # now: a teacher may take hours
    if args.probe and recipe.stages < 2:
        raise UserError("probe: one stage has no movement to measure; give a budget of two stages or more")
    if args.probe and args.resume:
        raise UserError("probe: a run that is probed keeps no checkpoints; leave out --probe or --resume")
    if args.probe and not gan and "generator" not in kind.uses:
        raise UserError(f"probe: {args.method} has no generator to measure; leave out --probe")
    if kind.needs not in (None, "original"):
        source_for(kind.needs, args.dataset, recipe.collected_from)
    dataset = ranks.in_turn(lambda: load_dataset(args.dataset))
    check_fits(dataset, "student", recipe.student)
    if recipe.teacher in catalogue.NETWORKS:
        check_fits(dataset, "teacher", recipe.teacher)
    folder = ranks.in_turn(lambda: output_folder(args.output_dir))
    if checked.device == "cuda":
        with ranks.agreed():
            ranks.take_gpu()
    teacher = ranks.in_turn(lambda: load_teacher(dataset, recipe.teacher, device=checked.device))
    precision = resolve_precision(args.precision, checked.device)
    with ranks.agreed():
        made = args.resume and _finished(args, recipe, folder, checked.device, precision, teacher)
    if made:
        print(f"{args.method}, seed {args.seed}: this run is finished; record: {made}")
        return 0
    print(f"{args.method} on {args.dataset}: {sentence}", flush=True)
    if args.resume and not checkpoint.exists(results.checkpoint_path(folder, _name(args, recipe))):
        print(f"there is no checkpoint of this run in {folder}: it begins anew", flush=True)
    probe = (GANProbe(dataset) if gan else Probe()) if args.probe else None
    done = run(
        args.method,
        recipe,
        dataset,
        teacher,
        seed=args.seed,
        device=checked.device,
        precision=precision,
        compiling=compiling,
        folder=None if args.probe else folder,
        every=args.checkpoint_every,
        resume=args.resume,
        observe=probe,
    )
    if probe:
        done.record["probe"] = probe.summary() if gan else probe.summary(recipe.momentum)
        done.record["command"] += " --probe"
    done.record["command"] += f" --compile {args.compile}" if args.compile != "auto" else ""
    with ranks.agreed():
        if not ranks.rank():
            student = None if args.record_only else done.method.result()
            path = results.save_run(folder, done.name, done.record, student)
            print(
                f"accuracy {done.record['accuracy_last']:.2f} % (teacher {teacher.accuracy:.2f} %), "
                f"{done.record['seconds']:.0f} s; record: {path}"
            )
    return 0


def _compiling(asked: str, kind: type[Method], device: str, precision: str) -> bool:
    """Whether to compile. A CPU takes minutes for it and gains little; several ranks would have to fail alike."""
    one_of("compile", asked, ("auto", "off", "on"))
    reasons = {
        "with --plain, which is not to be fast": precision == "plain",
        "with several ranks": ranks.count() > 1,
        "with a method that is no game of networks": not issubclass(kind, Game),
    }
    if asked == "on" and (found := [reason for reason, holds in reasons.items() if holds]):
        raise UserError(f"compile: on is not allowed {found[0]}; leave out --compile")
    return asked == "on" or (asked == "auto" and device == "cuda" and not any(reasons.values()))


def _name(args: Any, recipe: Recipe) -> str:
    return results.run_name(args.method, as_run(args.method, recipe), args.seed)


def _finished(args: Any, recipe: Recipe, folder: Path, device: str, precision: str, teacher: Teacher) -> Path | None:
    """The record of the run that is asked for, if it is there, with its student, and no checkpoint is."""
    recipe, name = as_run(args.method, recipe), _name(args, recipe)
    student = folder / f"{name}.safetensors"
    if checkpoint.exists(results.checkpoint_path(folder, name)) or not (args.record_only or student.exists()):
        return None
    return results.finished(
        folder,
        name,
        device=device,
        ranks=ranks.count(),
        precision=precision,
        teacher_hash=teacher.hash,
        parameters=results.read_by(args.method, recipe),
    )


if __name__ == "__main__":
    sys.exit(main())
