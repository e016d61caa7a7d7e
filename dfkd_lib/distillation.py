"""`distill`: a smaller network from a trained one and nothing else. No data set, no labels, no record of `results`."""

import json
import math
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from . import checkpoint, parameters
from .budget import resolve_precision
from .compiling import compile_or_say_why
from .errors import UserError, one_of, real, shown, whole
from .export import export
from .files import output_folder, write_atomically
from .foreign import load_foreign, renormalised
from .fresh import Enough, FreshImages
from .machine import hardware, versions
from .methods import METHODS
from .methods.game import Game
from .own_networks import check_play, constants_of, seen_constants, square_shape, student_of
from .recipe import Recipe
from .results import commit
from .trained import weights
from .training import History, Keep, train
from .unlabelled import check_on, load_images

NAME = "student"  # of the files
GAMES = tuple(name for name, kind in METHODS.items() if issubclass(kind, Game))


@dataclass(frozen=True)
class Distilled:
    """A student, and what is known of it.

    `student` takes what its teacher took, in evaluation mode, on the CPU; so do the programs. `report` is the content
    of ``student.json``; `files` are the paths of all that was written, by kind. The weights' file is that of the
    network that was trained, on images normalised by the report's ``weights_take``.
    """

    student: nn.Module
    history: History
    report: dict[str, Any]
    files: dict[str, Path]


def distill(
    teacher: str | nn.Module,
    student: str | nn.Module,
    *,
    input_shape: tuple[int, int, int],
    num_classes: int,
    mean: tuple[float, ...] | None = None,
    std: tuple[float, ...] | None = None,
    method: str | type[Game] = "mad",
    stages: int = 1000,
    percent: float = 99.5,
    patience: int = 20,
    check: str | Path | None = None,
    output_dir: str | Path = "output/own",
    seed: int = 0,
    device: str = "auto",
    precision: str = "auto",
    resume: bool = False,
    onnx: bool = True,
    **settings: Any,
) -> Distilled:
    """Train a student to answer as a teacher does, on images that a generator makes up. Needs neither data nor labels.

    Parameters
    ----------
    teacher
        any module that maps normalised images to logits, ``torchvision:NAME``, ``timm:NAME``, or ``FILE:NETWORK`` for
        a checkpoint of one of the library's networks; `load_foreign` has the details. It is copied, and stays as it is.
    student
        any module of the same form, which is copied and trained from the weights it has; or, for one that begins with
        random weights, a network of the library, ``torchvision:NAME`` or ``timm:NAME``.
    input_shape
        an image's channels, height and width. Square; the side must divide by 4 (by 16 above 64 pixels).
    num_classes
        how many logits the teacher gives.
    mean, std
        the constants of each channel with which the teacher's images were normalised, (pixel − mean) / std, for pixels
        from 0 to 1: ``mean=(0.0,), std=(1.0,)`` if it takes those as they are, ``std=(1 / 255,)`` if it takes 0 to 255.
        Torchvision's and timm's teachers bring them. They are never guessed: a student distilled with wrong ones may
        agree, and fail on every real image. The generator takes them for moments of the data; `own_networks` says when
        it does not.
    method
        a name (dfad, arvi, abm, mad, dfkd_mem or dafl), or a subclass of `methods.game.Game` of your own.
    stages
        at most so many; one is a step of the generator and five of the student.
    percent, patience
        the run ends earlier where the student agrees with the teacher on so many percent of fresh synthetic images, in
        three tests in a row; or where so many tests have brought no gain. A run has 40 tests at most.
    check
        images to measure the student on at the end: a folder, or an npz as `unlabelled.load_images` reads it.
    output_dir
        for the student's weights (``student.safetensors``), its programs (``student.pt2``, ``student.onnx``) and
        ``student.json``; a relative one lies in the checkout, if there is one. While it runs, for checkpoints.
    resume
        continue from the checkpoint there, if there is one.
    onnx
        whether to write that program, too; it needs the extra ``dfkd_lib[export]``.
    settings
        any setting of `Recipe` that the method reads, as ``student_lr=0.01``.

    Raises
    ------
    UserError
        before any work starts, for what cannot be; FloatingPointError where a loss ceases to be finite.
    training.Interrupted
        where a signal ended the run; its checkpoint is written.
    """
    kind, name = _method(method)
    channels, size = square_shape(input_shape, num_classes)
    whole("stages", stages, 1)
    real("percent", percent, 0, 100)
    whole("patience", patience, 1)
    whole("seed", seed)
    device = parameters.device("device", device)
    precision = resolve_precision(parameters.CHECKS["precision"]("precision", precision), device)
    for flag, value in (("resume", resume), ("onnx", onnx)):
        if not isinstance(value, bool):
            raise UserError(f"{flag}: {shown(value)} is not allowed; give True or False")
    output_dir = str(output_dir) if isinstance(output_dir, Path) else output_dir
    parameters.CHECKS["output_dir"]("output_dir", output_dir)
    if not isinstance(teacher, str | nn.Module):
        raise UserError(
            f"teacher: {shown(teacher)} is not allowed; give a module, FILE:NETWORK, torchvision:NAME or timm:NAME"
        )
    make, called = student_of(student, input_shape, num_classes)
    taught = load_foreign(teacher, num_classes=num_classes, input_shape=input_shape)
    for role, network in (("teacher", taught.network), ("student", make())):
        check_play(role, network, input_shape)
    recipe = _recipe(kind, input_shape, stages, settings)
    constants = constants_of(taught, channels, mean, std)
    seen = seen_constants(constants)
    images = None if check is None else load_images(check, input_shape, num_classes)
    parts = {"method": name, "teacher": taught.hash, "student": called, "shape": list(input_shape)}
    parts |= {"constants": [list(c) for c in constants], "parameters": _read(kind, recipe), "seed": seed}
    folder = output_folder(output_dir)  # when all else is known to be right: a refused call leaves no folder
    path = folder / f"{NAME}.ckpt"
    sha = commit()
    with checkpoint.place(folder, NAME, path, resume):
        game = kind(
            renormalised(taught.network, seen, constants),
            recipe,
            num_classes,
            channels,
            seed=seed,
            size=size,
            device=device,
            precision=precision,
            student=make,
        )
        mode = compile_or_say_why(game) if device == "cuda" and precision != "plain" else "none"
        title = f"distill, {name}"
        tenth = math.ceil(stages / 10 / recipe.stages_per_epoch) * recipe.stages_per_epoch
        history = train(
            game,
            FreshImages(),
            title=title,
            observe=_announcing(title, stages),
            report=0 if sys.stderr.isatty() else tenth,  # a terminal has a bar
            until=Enough(percent, patience),
            keep=Keep(path, parts | {"device": device, "precision": precision}, max(stages // 100, 1), resume),
        )
        if history.stage[-1] < stages:
            print(f"ended behind stage {history.stage[-1]} of {stages}: agreement {history.agreement[-1]:.1f} %")
        trained = game.result().cpu().eval()
        takes = renormalised(trained, constants, seen)
        report = parts | {
            "weights_take": {"mean": list(seen[0]), "std": list(seen[1])},
            "stages": history.stage[-1],
            "samples": history.samples[-1],
            "seconds": round(history.seconds[-1], 2),
            "synthetic": {"agreement": history.agreement[-1], "kl": history.kl[-1], "classes": _classes(game)},
            "check": images and check_on(taught.network, takes, images, constants, device),
            "sizes": {who: _size(net) for who, net in (("teacher", taught.network), ("student", trained))},
            "device": device,
            "hardware": hardware(device),
            "precision": precision,
            "compiled": mode,
            "versions": versions(),
            "commit": sha,
            "history": history.asdict(),
        }
        return _written(folder, path, trained, takes, history, report, onnx)


def _method(method: Any) -> tuple[type[Game], str]:
    """The class, and its name."""
    if isinstance(method, type) and issubclass(method, Game):
        return method, method.__name__
    return METHODS[one_of("method", method, GAMES)], method


def _recipe(kind: type[Game], shape: tuple[int, int, int], stages: int, settings: dict[str, Any]) -> Recipe:
    """DFAD's generators at their full width, and 40 tests at most; the rest is ours, as `Recipe` has it."""
    for name in settings:
        one_of("setting", name, set(kind.uses) - {"stages"})
    recipe = Recipe(
        dataset="own",
        generator="generator_a" if shape[1] <= 64 else "generator_b",
        generator_width=64,
        z_dim=100 if shape[0] == 1 else 256,
        stages=stages,
        stages_per_epoch=math.ceil(stages / 40),
    )
    recipe = recipe.sourced("given", **settings)
    kind.check(recipe)
    return recipe


def _read(kind: type[Game], recipe: Recipe) -> dict[str, Any]:
    """The settings that the method reads."""
    return json.loads(json.dumps({name: value for name, value in recipe.values().items() if name in kind.uses}))


def _classes(game: Game) -> int:
    """Into how many classes the teacher puts fresh images; says so where it is one."""
    answers, _ = FreshImages().logits(game)
    classes = len(answers.argmax(1).unique())
    if classes == 1:
        print(
            "the teacher puts all fresh images into one class: mean and std may be wrong, or the generator has "
            "collapsed; do not trust this student",
            flush=True,
        )
    return classes


def _announcing(title: str, stages: int) -> Callable[[int, Game], None]:
    """What a run calls behind each generator step: tells, from the third on, how long all will take, once."""
    seen: list[float] = []

    def announce(stage: int, game: Game) -> None:
        seen.append(time.perf_counter())
        if len(seen) == 3:
            minutes = (seen[2] - seen[1]) * stages / 60
            print(f"{title}: {stages:,} stages, about {minutes:,.1f} min on {game.device}", flush=True)

    return announce


def _size(network: nn.Module) -> int:
    """Parameters."""
    return sum(p.numel() for p in network.parameters())


def _written(
    folder: Path,
    path: Path,
    trained: nn.Module,
    takes: nn.Module,
    history: History,
    report: dict[str, Any],
    onnx: bool,
) -> Distilled:
    """Everything on the disk, and the checkpoint gone behind that. `takes`: `trained`, for the teacher's images."""
    files = {"weights": folder / f"{NAME}.safetensors", "report": folder / f"{NAME}.json"}
    shape = report["shape"]
    x = torch.randn(3, *shape, generator=torch.Generator().manual_seed(report["seed"]))
    try:
        files["report"].unlink(missing_ok=True)  # an earlier student's: it must not stand beside this one's weights
        write_atomically(files["weights"], weights(trained))
        report["exports"] = export(takes, x, folder / NAME, onnx=onnx)
        files |= {kind: folder / made["file"] for kind, made in report["exports"].items() if "file" in made}
        write_atomically(files["report"], json.dumps(report, indent=1) + "\n")
    except OSError as error:
        raise UserError(
            f"output_dir: cannot write to {folder} ({error.strerror}); the checkpoint stays: mend that, and call again "
            "with resume=True"
        ) from error
    checkpoint.remove(path)
    return Distilled(takes, history, report, files)
