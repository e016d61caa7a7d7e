# ruff: noqa: I001  (long imports in a few lines)
"""`distill`: a smaller network from a trained one, without data and without labels."""

import json
import math
import sys
from dataclasses import asdict, dataclass, is_dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from .. import records
from ..data import load_images
from ..errors import UserError, one_of, real, text, whole
from ..files import output_folder, write_atomically
from ..methods import METHODS, Task, readable
from ..models import Foreign
from ..teachers import (
    hardware, load_foreign, renormalised, resolve_device, resolve_precision, versions,
    weights,
)  # fmt: skip
from ..train import History, Keep, compile_networks, hold, train
from .export import export
from .fresh import Enough, FreshImages
from .networks import (
    check_on, check_play, constants_of, seen_constants, square_shape, student_of,
)  # fmt: skip

__all__ = ["Distilled", "Enough", "FreshImages", "distill", "export", "seen_constants"]

NAME = "student"  # of the files
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
    input_shape: tuple[int, int, int], num_classes: int,
    mean: tuple[float, ...] | None = None, std: tuple[float, ...] | None = None,
    method: Any = "mad", stages: int = 1000, percent: float = 99.5, patience: int = 20,
    check: str | Path | None = None, output_dir: str | Path = "output/own",
    seed: int = 0, device: str = "auto", precision: str = "auto",
    resume: bool = False, onnx: bool = True, **settings: Any,
) -> Distilled:  # fmt: skip
    """Train a student to answer as a teacher does, on images that a generator makes.

    - `teacher`: a module from normalised images to logits, which is copied;
      torchvision:NAME; timm:NAME; or FILE:NETWORK, weights of a network of the library.
    - `student`: a module, which is copied and trained from the weights it has; or, with
      random weights, a network of the library, torchvision:NAME or timm:NAME.
    - `input_shape`, `num_classes`: an image's channels, height and width, and the
      number of logits. Images are square; their side divides by 4 (by 16 above 64).
    - `mean`, `std`: of each channel, by which the teacher's images were normalised, for
      pixels from 0 to 1: ``mean=(0.0,), std=(1.0,)`` if it takes those, and
      ``std=(1 / 255,)`` if it takes 0 to 255. Known for torchvision's and timm's
      teachers, never guessed: with wrong ones a student may agree with its teacher and
      fail on every real image.
    - `method`: dfad, arvi, abm, mad, dfkd_mem or dafl; or settings of your own with
      `start` and `stage`: a class, or an instance, of which all but `stages` is kept.
    - `stages`, `percent`, `patience`: the largest number of stages (a generator step,
      five student steps); it ends earlier if the student agrees with the teacher on so
      many percent of fresh images in three tests in a row, or if so many tests brought
      no gain. A run has at most 40 tests.
    - `check`: images to measure the student on at the end: a folder, or an npz.
    - `output_dir`: for weights, programs (``student.pt2``, ``student.onnx``),
      ``student.json`` and the checkpoint; a relative one lies in the checkout.
    - `resume`, `onnx`: whether to continue from the checkpoint there, if there is one;
      and whether to export to ONNX too, which needs ``dfkd_lib[export]``.
    - `settings`: any setting that the method reads, as ``student_lr=0.01``.

    Raises UserError before any work starts, for what is not allowed, FloatingPointError
    where a loss is not finite, and train.Interrupted where a signal ended the run; its
    checkpoint is written.
    """
    channels, size = square_shape(input_shape, num_classes)
    name, m = _settings(method, channels, size, whole("stages", stages, 1), settings)
    real("percent", percent, 0, 100)
    whole("patience", patience, 1)
    whole("seed", seed)
    device = resolve_device("device", device)
    precision = resolve_precision(precision, device)
    if not isinstance(output_dir, Path):
        text("output_dir", output_dir)
    make, called = student_of(student, input_shape, num_classes)
    taught = load_foreign(teacher, num_classes=num_classes, input_shape=input_shape)
    for role, network in (("teacher", taught.network), ("student", make())):
        check_play(role, network, input_shape)
    constants = constants_of(taught, channels, mean, std)
    seen = seen_constants(constants)
    images = None if check is None else load_images(check, input_shape, num_classes)
    report = {"method": name, "teacher": taught.hash, "student": called, "seed": seed}
    report |= {"shape": input_shape, "constants": constants, "device": device}
    report["parameters"] = {n: getattr(m, n) for n in readable(type(m))}
    report = json.loads(json.dumps(report | {"precision": precision}))
    folder = output_folder(str(output_dir))  # last: a refused call leaves no folder
    with hold(folder, NAME, resume), torch.random.fork_rng(devices=[]):
        commit, tests = records.commit(), FreshImages(batch=getattr(m, "batch", 128))
        where, dtype = torch.device(device), getattr(torch, precision)
        torch.default_generator.manual_seed(seed)
        played = renormalised(taught.network, seen, constants)
        task = Task(num_classes, input_shape, where, dtype)
        state = m.start(played, make(), task, seed)
        mode, refused = compile_networks(m, state) if device == "cuda" else ("none", "")
        if refused:
            print(f"torch.compile: {refused}; mode: {mode}", file=sys.stderr)
        every, path = max(stages // 100, 1), folder / f"{NAME}.ckpt"
        keep, until = Keep(path, dict(report), every, resume), Enough(percent, patience)
        told = {"report": 0 if sys.stderr.isatty() else m.stages_per_epoch * 4}
        told["title"] = f"distill, {name}"
        history = train(m, state, tests, until=until, keep=keep, **told)
        ended, agreement = history.stage[-1], history.agreement[-1]
        if ended < stages:
            print(f"ended after stage {ended} of {stages}: agreement {agreement:.1f} %")
        classes = len(tests.logits(state)[0].argmax(1).unique())
        if classes == 1:
            line = (
                "the teacher puts all fresh images into one class: mean and std may be"
            )
            line += " wrong, or the generator has collapsed; do not trust this student"
            print(line)
        trained = make().eval()  # as it was given: float32, contiguous
        trained.load_state_dict(state.student.state_dict())
        taken = renormalised(trained, constants, seen)
        taken = taken.network if isinstance(taken, Foreign) else taken
        pair = {"teacher": taught.network, "student": taken}
        scores = {"agreement": agreement, "kl": history.kl[-1], "classes": classes}
        sizes = {w: sum(p.numel() for p in n.parameters()) for w, n in pair.items()}
        report |= {
            "weights_take": {"mean": list(seen[0]), "std": list(seen[1])},
            "stages": ended, "samples": history.samples[-1],
            "seconds": round(history.seconds[-1], 2), "synthetic": scores,
            "check": images and check_on(pair, images, constants, device),
            "sizes": sizes, "hardware": hardware(device), "compiled": mode,
            "versions": versions(), "commit": commit, "history": asdict(history),
        }  # fmt: skip
        files = _written(folder, trained, taken, report, onnx)
        path.unlink(missing_ok=True)
        return Distilled(taken, history, report, files)


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
    endings = {"weights": "safetensors", "report": "json"}
    files = {kind: folder / f"{NAME}.{ending}" for kind, ending in endings.items()}
    random = torch.Generator().manual_seed(report["seed"])
    x = torch.randn(3, *report["shape"], generator=random)
    try:
        files["report"].unlink(missing_ok=True)  # it describes an earlier student
        write_atomically(files["weights"], weights(trained))
        report["exports"] = export(taken, x, folder / NAME, onnx=onnx)
        made = {k: m for k, m in report["exports"].items() if "file" in m}
        files |= {kind: folder / each["file"] for kind, each in made.items()}
        write_atomically(files["report"], json.dumps(report, indent=1) + "\n")
    except OSError as error:
        line = (
            f"output_dir: cannot write to {folder} ({error.strerror}); the checkpoint "
        )
        line += "is kept: correct that, and call again with resume=True"
        raise UserError(line) from error
    return files
