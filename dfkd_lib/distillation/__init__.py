# ruff: noqa: I001  (long imports in a few lines)
"""`distill`: a smaller network from a trained one, without data and without labels."""

import contextlib
import copy
import itertools
import json
import math
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, is_dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from ..data import load_images
from ..errors import UserError, first_line, one_of, plain, real, text, told, whole
from ..files import output_folder, write_atomically
from ..losses import moment_gaps
from ..methods import METHODS, Task, readable
from ..models import Foreign
from ..teachers import (
    Constants, commit, hardware, load_foreign, renormalised, resolve_device,
    resolve_precision, versions, weights,
)  # fmt: skip
from ..teachers.foreign import doubts, task_of, trial_images, try_out
from ..train import History, Keep, compile_networks, hold, train
from .card import card
from .export import export
from .fresh import Enough, FreshImages, distrust, effective_classes
from .networks import (
    ROUNDING, agree_or_float32, check_on, check_play, constants_of, difference,
    is_random, seen_constants, student_of, usual_defaults,
)  # fmt: skip

__all__ = ["Distilled", "Enough", "FreshImages", "distill", "export", "seen_constants"]

NAME = "student"  # of the files
QUICK = 100  # seconds of training, where a quick answer is asked for
SLOW = 5  # seconds of a trial stage, above which there is no second one
GAMES = {n: m for n, m in METHODS.items() if not m.data and "generator" in readable(m)}


@dataclass(frozen=True)
class Distilled:
    """A student, and what is known of it.

    `student`, in evaluation mode on the CPU, takes what its teacher took; so do the
    exported programs. `report` is the content of ``student.json``, `files` are the
    paths of all that was written. The weights' file is that of the network as it was
    trained, on images normalised by the report's ``weights_take``.
    """

    student: nn.Module
    history: History
    report: dict[str, Any]
    files: dict[str, Path]


def distill(
    teacher: str | nn.Module, student: str | nn.Module, *,
    input_shape: Any, num_classes: Any,
    mean: Any = None, std: Any = None, logits: Any = None, task: str = "classes",
    method: Any = "mad", stages: int = 1000, percent: float = 99.5, patience: int = 20,
    quick: bool = False, check: str | Path | None = None,
    output_dir: str | Path = "output/own",
    seed: int = 0, device: str = "auto", precision: str = "auto",
    resume: bool = False, onnx: bool = True, **settings: Any,
) -> Distilled:  # fmt: skip
    """Train a student to answer as a teacher does, on images that a generator makes.

    - `teacher`: a module from normalised images to logits, which is copied;
      torchvision:NAME; timm:NAME; or FILE:NETWORK, weights of a network of the library.
    - `student`: a module, which is copied and trained from the weights it has, where
      they ask for gradients; or, with random weights, a network of the library,
      torchvision:NAME or timm:NAME.
    - `input_shape`, `num_classes`: an image's channels, height and width, and the
      number of logits.
    - `mean`, `std`: of each channel, by which the teacher's images were normalised, for
      pixels from 0 to 1: ``mean=(0.0,), std=(1.0,)`` if it takes those, and
      ``std=(1 / 255,)`` if it takes 0 to 255. Known for torchvision's and timm's
      teachers, never guessed: with wrong ones a student may agree with its teacher and
      fail on every real image. Constants of pixels from 0 to 255 are divided by 255.
    - `logits`: where they are in the teacher's answer, if that is no tensor: a key, an
      index, a field or a function. `task`: "classes", or "binary" for a teacher of one
      logit z, whose student answers with two, as for (0, z).
    - `method`: dfad, arvi, abm, mad, dfkd_mem or dafl; or settings of your own with
      `start` and `stage`: a class, or an instance, of which all but `stages` is kept.
    - `stages`, `percent`, `patience`: the largest number of stages (a generator step,
      five student steps); it ends earlier if the student agrees with the teacher on so
      many percent of fresh images in three tests in a row, or if so many tests brought
      no gain. A run has at most 40 tests. `quick`: as many stages as take two minutes.
    - `check`: images to measure the student on at the end: a folder, or an npz.
    - `output_dir`: for weights, programs (``student.pt2``, ``student.onnx``),
      ``student.json``, ``student.md`` and the checkpoint; a relative one lies in the
      checkout. Where another run's student lies there, this one goes beside it.
    - `resume`, `onnx`: whether to continue from the checkpoint there, if there is one
      (a finished run is returned as it is); and whether to export to ONNX too, which
      needs ``dfkd_lib[export]``.
    - `settings`: any setting that the method reads, as ``student_lr=0.01``.

    Raises UserError before any work starts, for what is not allowed, FloatingPointError
    where a loss is not finite, and train.Interrupted where a signal ended the run; its
    checkpoint is written.
    """
    if one_of("task", task, ("binary", "classes")) == "binary":
        logits, num_classes = logits or _two_logits, 2
    num_classes, shape = task_of(None, num_classes, input_shape)
    settings = {n: plain(value) for n, value in settings.items()}
    most = whole("stages", stages, 1)
    name, m = _settings(method, shape[0], max(shape[1:]), most, settings)
    until = Enough(real("percent", percent, 0, 100), whole("patience", patience, 1))
    seed, device = whole("seed", seed), resolve_device("device", device)
    precision = resolve_precision(precision, device)
    if not isinstance(output_dir, Path):
        text("output_dir", output_dir)
    warnings: list[str] = []

    def warn(*lines: str) -> None:
        for line in filter(None, lines):
            print(line)
            warnings.append(line)

    with usual_defaults():
        # --- trials, before any work
        batches = {getattr(m, n, 2) for n in ("batch", "student_batch")}
        make, called = student_of(student, shape, num_classes, batches)
        options = {"num_classes": num_classes, "input_shape": shape, "logits": logits}
        taught = load_foreign(teacher, **options, device="cpu")
        given, tried = taught.network, (taught.name, taught.network, num_classes, shape)
        answers, random = try_out("teacher", *tried, batches), []
        for role, network in (("teacher", given), ("student", make())):
            check_play(role, network, shape)
            if is_random(network, shape):
                line = f"{role}: its answers to the same image differ, as with dropout "
                warn(f"{line}that stays on: they are random, and so is what follows")
                random.append(role)
        warn(*doubts(answers, getattr(m, "discrepancy", "kl")))
        constants = constants_of(taught, shape[0], mean, std)
        seen = seen_constants(constants)
        images = None if check is None else load_images(check, shape, num_classes)
        where, dtype = torch.device(device), getattr(torch, precision)
        game = Task(num_classes, shape, where, dtype)
        played = renormalised(given, seen, constants)
        seconds, layers = _trial(name, m, played, make, game)
        if getattr(m, "lambda_bn", 0) and not layers:
            line = "the teacher uses no BatchNorm layer with stored moments"
            warn(f"{line}: the term BNmm is zero")
        if quick:
            m = replace(m, stages=max(min(int(QUICK / seconds), most), 1))
            m = replace(m, stages_per_epoch=math.ceil(m.stages / 40))
        report = {"method": name, "teacher": taught.hash, "student": called}
        report |= {"seed": seed, "shape": shape, "constants": constants}
        report["parameters"] = {n: getattr(m, n) for n in readable(type(m))}
        report |= {"device": device, "precision": precision}
        report = json.loads(json.dumps(report))
        # last: a refused call leaves no folder
        folder, finished = _place(output_folder(str(output_dir)), report, resume)
        if finished:
            print(f"this run is finished, and stays as it is: {folder}")
            return _read_back(folder, finished, make().eval(), constants, seen)

        # --- the run
        with hold(folder, NAME, resume), torch.random.fork_rng(devices=[]):
            sha, tests = commit(), FreshImages(batch=getattr(m, "batch", 128))
            torch.default_generator.manual_seed(seed)
            before = copy.deepcopy(own := make())
            state = m.start(played, own, game, seed)
            mode, refused = "none", ""
            if device == "cuda":
                mode, refused = compile_networks(m, state)
            if refused:
                print(f"torch.compile: {refused}; mode: {mode}", file=sys.stderr)
            pairs = {"teacher": (given, constants), "student": (before, seen)}
            for role, (network, theirs) in pairs.items():
                of = network, getattr(state, role), shape, theirs, seen, where
                if role not in random:
                    warn(agree_or_float32(role, of[1], partial(difference, *of)))
            minutes = m.stages * seconds / 60
            line = f"{name}: at most {m.stages:,} stages, about {minutes:.1f} minutes"
            print(f"{line} on {hardware(device)}", flush=True)
            every, path = max(m.stages // 100, 1), folder / f"{NAME}.ckpt"
            keep = Keep(path, dict(report), every, resume)
            shown = {"report": 0 if sys.stderr.isatty() else m.stages_per_epoch * 4}
            shown["title"] = f"distill, {name}"
            history = train(m, state, tests, until=until, keep=keep, **shown)

            # --- what came out
            ended, agreement = history.stage[-1], history.agreement[-1]
            answers = tests.logits(state)[0]
            effective = effective_classes(answers)
            line = f"ended after stage {ended} of {m.stages}: agreement {agreement:.1f}"
            print(f"{line} % on fresh images of {effective:.1f} effective classes")
            warn(*distrust(agreement, effective, num_classes))
            trained = make().eval()  # as it was given: float32, contiguous
            trained.load_state_dict(state.student.state_dict())
            far = difference(trained, state.student, shape, seen, seen, where)
            if "student" not in random and far > ROUNDING[dtype]:
                line = f"in float32 the student's answers move by {100 * far:.0f} % of"
                warn(f"{line} their spread: train it with precision='float32'")
            taken = _taken(trained, constants, seen)
            pair = {"teacher": given, "student": taken}
            scores = {"agreement": agreement, "kl": history.kl[-1]}
            scores["classes"] = len(answers.argmax(1).unique())
            scores["effective_classes"] = effective
            sizes = {w: sum(p.numel() for p in n.parameters()) for w, n in pair.items()}
            report |= {
                "teacher_name": taught.name,
                "weights_take": {"mean": list(seen[0]), "std": list(seen[1])},
                "stages": ended, "samples": history.samples[-1],
                "seconds": round(history.seconds[-1], 2), "synthetic": scores,
                "check": images and check_on(pair, images, constants, device),
                "sizes": sizes, "hardware": hardware(device), "compiled": mode,
                "versions": versions(), "commit": sha, "history": asdict(history),
                "warnings": warnings,
            }  # fmt: skip
            files = _written(folder, trained, taken, report, onnx)
            path.unlink(missing_ok=True)
            return Distilled(taken, history, report, files)


def _two_logits(z: Tensor) -> Tensor:
    """A binary teacher's logit z as the two logits (0, z)."""
    z = z.reshape(len(z), 1)
    return torch.cat([torch.zeros_like(z), z], 1)


def _trial(name: str, m: Any, teacher: nn.Module, make: Callable, game: Task) -> tuple:
    """Two stages that are thrown away; any failure of theirs is one line.

    Returns a stage's seconds, and how many of the teacher's layers BNmm reads.
    """
    try:
        with torch.random.fork_rng(devices=[]):
            trial = m.start(teacher, make(), game, 0)
            trial.stage = 2  # what is done once, before the first stage, is not tried
            for _ in range(2):  # the first one warms up
                begun = time.perf_counter()
                m.stage(trial)
                if game.device.type == "cuda":
                    torch.cuda.synchronize()
                seconds = time.perf_counter() - begun
                if seconds > SLOW:
                    break
            x = trial_images(2, game.shape).to(game.device)
            with torch.no_grad():
                return seconds, len(moment_gaps(trial.teacher, x)[1])
    except UserError:
        raise
    except Exception as error:  # networks and settings fail in many ways
        line = f"{name}: a trial stage fails ({type(error).__name__}: "
        todo = "give other networks or settings; batch=32, student_batch=32 take less"
        raise UserError(f"{line}{first_line(error)}); {todo} memory") from error


def _place(folder: Path, identity: dict, resume: bool) -> tuple[Path, dict | None]:
    """Where a run's files go, and its report if it is to be resumed and is finished.

    Where another run's student lies in the folder, that is one beside it.
    """
    for number in itertools.count(1):
        place = folder if number == 1 else folder.with_name(f"{folder.name}-{number}")
        path, found = place / f"{NAME}.json", {}
        if not path.exists():
            break
        with contextlib.suppress(ValueError, OSError):
            found = json.loads(path.read_text())
        if all(found.get(key) == value for key, value in identity.items()):
            break
    if number > 1:
        print(f"{folder} holds another run's student: this one's files go to {place}")
        place = output_folder(str(place))
    finished = resume and found and not (place / f"{NAME}.ckpt").exists()
    return place, found if finished else None


def _taken(trained: nn.Module, constants: Constants, seen: Constants) -> nn.Module:
    """The student for the images that its teacher took."""
    taken = renormalised(trained, constants, seen)
    return taken.network if isinstance(taken, Foreign) else taken


def _read_back(
    folder: Path,
    report: dict,
    network: nn.Module,
    constants: Constants,
    seen: Constants,
) -> Distilled:
    """What a finished run returned."""
    files = {kind: folder / file for kind, file in report["files"].items()}
    with told(
        "output_dir: a file of this run is missing or damaged", "delete them all"
    ):
        network.load_state_dict(load_file(files["weights"]))
    history = History(**report["history"])
    return Distilled(_taken(network, constants, seen), history, report, files)


def _settings(method: Any, channels: int, size: int, stages: int, given: dict) -> tuple:
    """The method's name, and its settings for images of this size."""
    kind = method if isinstance(method, type) else type(method)
    name = kind.__name__
    if not (is_dataclass(kind) and hasattr(kind, "start") and hasattr(kind, "stage")):
        name, kind = method, GAMES[one_of("method", method, GAMES)]
    names = set(readable(kind)) - {"stages"}
    if "generator" not in names or kind.data is not None:
        line = f"method: {name} has no generator, or needs real images; give a method"
        raise UserError(f"{line} like {', '.join(GAMES)}")
    for setting in given:
        one_of("setting", setting, names)
    tests = {"stages": stages, "stages_per_epoch": math.ceil(stages / 40)}
    if not isinstance(method, type | str):
        return name, replace(method, **tests | given)
    # DFAD's generators at their full width
    usual = {"generator_width": 64, "z_dim": 100 if channels == 1 else 256}
    usual["generator"] = "generator_a" if size <= 64 else "generator_b"
    return name, kind(**usual | tests | given)


def _written(
    folder: Path, trained: nn.Module, taken: nn.Module, report: dict, onnx: bool
) -> dict[str, Path]:
    """Weights, programs and report; `taken` is `trained` for the teacher's images."""
    endings = {"weights": "safetensors", "report": "json", "card": "md"}
    files = {kind: folder / f"{NAME}.{ending}" for kind, ending in endings.items()}
    random = torch.Generator().manual_seed(report["seed"])
    x = torch.randn(3, *report["shape"], generator=random)
    try:
        files["report"].unlink(missing_ok=True)  # it describes an earlier student
        write_atomically(files["weights"], weights(trained))
        report["exports"] = export(taken, x, folder / NAME, onnx=onnx)
        made = {k: m for k, m in report["exports"].items() if "file" in m}
        files |= {kind: folder / each["file"] for kind, each in made.items()}
        report["files"] = {kind: path.name for kind, path in files.items()}
        write_atomically(files["card"], card(report))
        write_atomically(files["report"], json.dumps(report, indent=1) + "\n")
    except OSError as error:
        line = (
            f"output_dir: cannot write to {folder} ({error.strerror}); the checkpoint "
        )
        line += "is kept: correct that, and call again with resume=True"
        raise UserError(line) from error
    return files
