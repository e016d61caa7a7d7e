# ruff: noqa: I001  (long imports in a few lines)
"""`distill`: a smaller network from a trained one, without data and without labels."""

import contextlib
import copy
import itertools
import json
import math
import sys
import time
from dataclasses import asdict, dataclass, is_dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from ..data import load_images
from ..errors import UserError, one_of, plain, real, text, told, whole
from ..files import output_folder, write_atomically
from ..losses import moment_gaps
from ..methods import METHODS, State, Task, readable
from ..models import Foreign
from ..models.network import Shape, trial_images
from ..teachers import (
    commit, hardware, load_foreign, renormalised, resolve_device,
    resolve_precision, versions, weights,
)  # fmt: skip
from ..teachers.foreign import Labels, as_foreign, doubts, task_of, try_out
from ..train import History, Keep, compile_networks, hold, train
from .card import card
from .export import export
from .fresh import Enough, FreshImages, distrust, distrust_on, seen
from .networks import (
    ROUNDING, agree_or_float32, check_maps_on, check_on, check_play, constants_of,
    difference, same_images, seen_constants, student_of, usual_defaults,
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
      index, a field or a function. `task`: "classes"; "binary" for a teacher of one
      logit z, whose student answers with two, as for (0, z); or "multilabel" for a
      logit z per label, each a decision (0, z). Agreement is then the share of the
      labels that either network gives and both give. Networks may answer with logits of
      pixels, n×C×h×w, as for segmentation; agreement is then that of pixels, and the
      report has the mIoU of the student's answers against the teacher's. Of a student
      that answers with a mapping, as torchvision's do, `out` is taken.
    - `method`: mad, dfad, arvi, abm, dfkd_mem or dafl; composed, fast or cmi, which
      keep images; or settings of your own with `start` and `stage`: a class, or an
      instance, of which all but `stages` is kept.
    - `stages`, `percent`, `patience`: the largest number of stages (of a game, a
      generator step and five of the student; composed and fast: forty); it ends earlier
      if the student agrees with the teacher on so many percent of fresh images in three
      tests in a row, or if so many tests brought no gain. A run has at most 40 tests.
      `quick`: as many stages as take two minutes.
    - `check`: images to measure the student on at the end: a folder, or an npz with
      ``x`` and, if known, labels ``y``. For logits of pixels these are maps, n×h×w,
      with 255 for void pixels, or ``masks`` in the folder, beside ``images``; the
      report then has the pixel accuracy and the mIoU of both networks. Images are
      normalised by `mean` and `std`, so wrong constants stay wrong here: also test the
      student on the tensors that your application makes.
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
    # --- what was asked
    if one_of("task", task, ("binary", "classes", "multilabel")) == "binary":
        logits, num_classes = logits or (lambda z: F.pad(z.reshape(-1, 1), (1, 0))), 2
    num_classes, shape = task_of(None, num_classes, input_shape)
    name, method = _settings(method, shape, whole("stages", stages, 1), settings)
    until = Enough(real("percent", percent, 0, 100), whole("patience", patience, 1))
    seed, device = whole("seed", seed), resolve_device("device", device)
    precision = resolve_precision(precision, device)
    text("output_dir", str(output_dir))
    game = Task(num_classes, shape, torch.device(device), getattr(torch, precision))
    with usual_defaults():
        # --- trials, before any work
        many = task == "multilabel"
        run = _Run(name, method, game, (teacher, logits, mean, std), student, many)
        options = shape, num_classes, run.pixels
        images = None if check is None else load_images(check, *options)
        if many and images:  # a file has one label an image
            images = images[0], None
        if quick:
            stages = max(min(int(QUICK / run.seconds), method.stages), 1)
            tested = math.ceil(stages / 40)
            method = replace(method, stages=stages, stages_per_epoch=tested)
        settings = {n: getattr(method, n) for n in readable(type(method))}
        report = {
            "method": name, "parameters": settings, "teacher": run.teacher.hash,
            "student": run.called, "seed": seed, "shape": shape, "task": task,
            "constants": run.constants, "device": device, "precision": precision,
        }  # fmt: skip
        report = json.loads(json.dumps(report))
        # last: a refused call leaves no folder
        folder, finished = _place(output_folder(str(output_dir)), report, resume)
        if finished:
            print(f"this run is finished, and stays as it is: {folder}")
            return _read_back(folder, finished, run)

        # --- the run
        with hold(folder, NAME, resume), torch.random.fork_rng(devices=[]):
            sha, tests = commit(), FreshImages(batch=getattr(method, "batch", 128))
            torch.default_generator.manual_seed(seed)
            state, compiled = run.start(method, seed)
            most, minutes = method.stages, method.stages * run.seconds / 60
            line = f"{name}: at most {most:,} stages, about {minutes:.1f} minutes"
            print(f"{line} on {hardware(device)}", flush=True)
            path = folder / f"{NAME}.ckpt"
            identity = report["parameters"] | report
            del identity["parameters"]
            keep = Keep(path, identity, max(most // 100, 1), resume)
            lines = 0 if sys.stderr.isatty() else method.stages_per_epoch * 4
            options = {"title": f"distill, {name}", "report": lines, "until": until}
            history = train(method, state, tests, keep=keep, **options)

            # --- what came out
            trained, taken = run.student(state.student.state_dict())
            pair = {"teacher": run.teacher.network, "student": taken}
            sizes = {r: sum(p.numel() for p in n.parameters()) for r, n in pair.items()}
            mean, std = map(list, run.seen)
            report |= {
                "teacher_name": run.teacher.name,
                "weights_take": {"mean": mean, "std": std},
                "stages": history.stage[-1], "samples": history.samples[-1],
                "seconds": round(history.seconds[-1], 2),
                "synthetic": run.scores(state, trained, tests, history),
                "check": images and run.checked(pair, images),
                "sizes": sizes, "hardware": hardware(device), "compiled": compiled,
                "versions": versions(), "commit": sha, "history": asdict(history),
                "warnings": run.warnings,
            }  # fmt: skip
            files = _written(folder, trained, taken, report, onnx)
            path.unlink(missing_ok=True)
            return Distilled(taken, history, report, files)


def _settings(method: Any, shape: Shape, stages: int, given: dict) -> tuple[str, Any]:
    """The method's name, and its settings for images of this shape."""
    kind = method if isinstance(method, type) else type(method)
    name = kind.__name__
    if not (is_dataclass(kind) and hasattr(kind, "start") and hasattr(kind, "stage")):
        name, kind = method, GAMES[one_of("method", method, GAMES)]
    names = set(readable(kind)) - {"stages"}
    if "generator" not in names or kind.data is not None:
        raise UserError(
            f"method: {name} has no generator, or needs real images; give a method "
            f"like {', '.join(GAMES)}"
        )
    for setting in given:
        one_of("setting", setting, names)
    given = {n: plain(value) for n, value in given.items()}
    given = {"stages": stages, "stages_per_epoch": math.ceil(stages / 40)} | given
    if not isinstance(method, type | str):
        return name, replace(method, **given)
    # DFAD's generators at their full width
    usual = {"generator_width": 64, "z_dim": 100 if shape[0] == 1 else 256}
    usual["generator"] = "generator_a" if max(shape[1:]) <= 64 else "generator_b"
    return name, kind(**usual | given)


class _Run:
    """Networks that are tried before a run; what is made of them, in it and after."""

    def __init__(
        self, name: str, method: Any, task: Task, teacher: tuple, student: Any,
        many: bool,
    ):  # fmt: skip
        """Refuse in one line what fails in a trial of the networks and the method.

        `teacher`: itself, where its logits are, and its images' mean and std. `many`:
        labels an image.
        """
        self.task, self.random, self.warnings = task, [], []  # random: which role is
        self.decides = Labels if many else as_foreign
        self.made = lambda: self.decides(self.make())  # a student for the run
        classes, shape = task.num_classes, task.shape
        batches = {getattr(method, n, 2) for n in ("batch", "student_batch")}
        self.make, self.called = student_of(student, shape, classes, batches)
        source, logits, mean, std = teacher
        options = {"num_classes": classes, "input_shape": shape, "logits": logits}
        self.teacher = load_foreign(source, **options, device="cpu")
        self.given, called = self.teacher.network, self.teacher.name
        answers = try_out("teacher", called, self.given, classes, shape, batches)
        if many and answers.ndim != 2:
            line = "task: many labels need answers (n, labels), the teacher's"
            raise UserError(f"{line} are {tuple(answers.shape)}")
        self.given = self.decides(self.given)
        with torch.random.fork_rng(devices=[]):
            pair = {"teacher": self.given, "student": self.made()}
        for role, network in pair.items():
            if check_play(role, network, shape):
                self.random.append(role)
                line = f"{role}: its answers to the same image differ, as with dropout "
                self.warn(f"{line}that stays on: they are random, and so is the run")
        self.warn(doubts(answers, getattr(method, "discrepancy", "kl")))
        with torch.no_grad():
            x = trial_images(len(answers), shape)
            tried = {role: network.eval()(x) for role, network in pair.items()}
        for role, z in tried.items():
            if many and 0 <= z[:, 1].min() and z[:, 1].max() <= 1:
                line = f"{role}: its answers are from 0 to 1, as probabilities are"
                todo = "leave out its sigmoid, or give logits=torch.logit for a teacher"
                raise UserError(f"{line}; {todo}")
        wanted, found = (tuple(logits.shape) for logits in tried.values())
        self.pixels = answers.ndim == 4
        if found != wanted:
            line = f"student: its logits have shape {found}, the teacher's {wanted}"
            raise UserError(f"{line}; give networks whose logits have one shape")
        self.constants = constants_of(self.teacher, shape[0], mean, std)
        self.seen = seen_constants(self.constants)  # of the images that the run makes
        self.played = renormalised(self.given, self.seen, self.constants)
        self.images = {
            "teacher": same_images(task, self.constants, self.seen),
            "student": same_images(task, self.seen, self.seen),
        }
        if (many or self.pixels) and hasattr(method, "inversion_steps"):
            line = f"method: {name} asks the teacher for one class an image, and this "
            raise UserError(f"{line}one gives more; give dfad, dfq, abm or mad")
        fails = f"{name}: a trial stage fails"
        todo = "give other networks or settings; batch=32, student_batch=32 take less"
        with told(fails, f"{todo} memory"), torch.random.fork_rng(devices=[]):
            layers = self.try_stages(method)
        if getattr(method, "lambda_bn", 0) and not layers:
            line = "the teacher uses no BatchNorm layer with stored moments"
            self.warn(f"{line}: the term BNmm is zero")

    def warn(self, *lines: str) -> None:
        for line in filter(None, lines):
            print(line)
            self.warnings.append(line)

    def try_stages(self, method: Any) -> int:
        """Two stages that are thrown away: their `seconds`, and the layers of BNmm."""
        trial = method.start(self.played, self.made(), self.task, 0)
        trial.stage = 2  # what is done once, before the first stage, is not tried
        for _ in range(2):  # the first one warms up
            begun = time.perf_counter()
            method.stage(trial)
            if self.task.device.type == "cuda":
                torch.cuda.synchronize()
            self.seconds = time.perf_counter() - begun
            if self.seconds > SLOW:
                break
        with torch.no_grad():
            return len(moment_gaps(trial.teacher, self.images["teacher"][1])[1])

    def start(self, method: Any, seed: int) -> tuple[State, str]:
        """The run's networks, which answer as those that were given; how compiled."""
        before, compiled = copy.deepcopy(own := self.made()), "none"
        state = method.start(self.played, own, self.task, seed)
        if self.task.device.type == "cuda":
            compiled, refused = compile_networks(method, state)
            if refused:
                print(f"torch.compile: {refused}; mode: {compiled}", file=sys.stderr)
        for role, network in (("teacher", self.given), ("student", before)):
            if role not in self.random:
                prepared = getattr(state, role), self.images[role]
                self.warn(agree_or_float32(role, network, *prepared))
        return state, compiled

    def student(self, state: dict[str, Tensor]) -> tuple[nn.Module, nn.Module]:
        """The student as it was trained, and for the images that its teacher takes."""
        trained = self.make().eval()  # as it was given: float32, contiguous
        trained.load_state_dict(state)
        taken = renormalised(trained, self.constants, self.seen)
        return trained, taken.network if isinstance(taken, Foreign) else taken

    def scores(
        self, state: State, trained: nn.Module, tests: FreshImages, history: History
    ) -> dict[str, int | float]:
        """What fresh images say of the student, and how far to trust it."""
        agreement, answers = history.agreement[-1], tests.logits(state)[0]
        classes, effective = seen(answers)
        line = f"ended after stage {history.stage[-1]}: agreement {agreement:.1f} %"
        print(f"{line} on fresh images of {effective:.1f} effective classes")
        self.warn(*distrust(agreement, effective, self.task.num_classes))
        trained = self.decides(trained)
        far = difference(trained, state.student, self.images["student"])
        if "student" not in self.random and far > ROUNDING[self.task.dtype]:
            line = f"in float32 the student's answers move by {100 * far:.0f} % of"
            self.warn(f"{line} their spread: train it with precision='float32'")
        scores = {"agreement": agreement, "kl": history.kl[-1], "classes": classes}
        scores |= {"miou": history.miou[-1]} if history.miou else {}
        return scores | {"effective_classes": effective}

    def checked(
        self, pair: dict[str, nn.Module], images: tuple
    ) -> dict[str, int | float]:
        """What real images say of the student, and whether to trust it."""
        pair = {role: self.decides(network) for role, network in pair.items()}
        measure = check_maps_on if self.pixels else check_on
        found = measure(pair, images, self.constants, self.task.device)
        line = f"agreement {found['agreement']:.1f} %"
        print(f"{line} on the {found['images']} images of check")
        self.warn(*distrust_on(found))
        return found


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


def _read_back(folder: Path, report: dict, run: _Run) -> Distilled:
    """What a finished run returned."""
    files = {kind: folder / file for kind, file in report["files"].items()}
    fails = "output_dir: a file of this run is missing or damaged"
    with told(fails, "delete them all"):
        taken = run.student(load_file(files["weights"]))[1]
    return Distilled(taken, History(**report["history"]), report, files)


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
        raise UserError(
            f"output_dir: cannot write to {folder} ({error.strerror}); the checkpoint "
            "is kept: correct that, and call again with resume=True"
        ) from error
    return files
