"""One JSON record per run: what was run, on what, and what came out. The book's tables are made from these."""

import json
import os
import platform
import shlex
import subprocess
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save as to_bytes
from torch import nn

from . import theory
from .errors import UserError
from .files import project_folder, write_atomically
from .recipes import DATASETS, Recipe, recipe_for
from .teachers import Teacher
from .training import History

REQUIRED = (
    "method dataset pair teacher student seed accuracy_last accuracy_best agreement_last kl_last teacher_accuracy "
    "teacher_hash samples seconds device hardware precision threads versions commit command changes parameters history"
).split()


def record(
    method: str,
    recipe: Recipe,
    seed: int,
    teacher: Teacher,
    history: History,
    *,
    device: str,
    precision: str,
    sha: str,
) -> dict[str, Any]:
    """The record of a run that has ended; `sha` is the commit at its start.

    Accuracies in percent, KL in nats, time in seconds of training.
    """
    return {
        "method": method,
        "dataset": recipe.dataset,
        "pair": recipe.pair,
        "teacher": recipe.teacher,
        "student": recipe.student,
        "seed": seed,
        "accuracy_last": history.accuracy[-1],
        "accuracy_best": max(history.accuracy),
        "agreement_last": history.agreement[-1],
        "kl_last": history.kl[-1],
        "teacher_accuracy": teacher.accuracy,
        "teacher_hash": teacher.hash,
        "samples": history.samples[-1],
        "seconds": round(history.seconds[-1], 2),
        "device": device,
        "hardware": hardware(device),
        "precision": precision,
        "threads": torch.get_num_threads(),
        "versions": {name: version(name) for name in ("torch", "torchvision", "numpy", "dfkd_lib")}
        | {"python": platform.python_version()},
        "commit": sha,
        "command": command(method, recipe, seed, device, precision),
        "changes": changes(recipe),
        "parameters": dict(vars(recipe)),
        "history": history.asdict(),
    }


def usual(recipe: Recipe) -> Recipe:
    """The recipe of the same data set as it stands; the digits' for a data set that has none."""
    return recipe_for(recipe.dataset) if recipe.dataset in DATASETS else Recipe()


def changes(recipe: Recipe) -> dict[str, Any]:
    """The settings in which a recipe differs from the usual one; empty for that itself."""
    return {name: value for name, value in vars(recipe).items() if value != getattr(usual(recipe), name)}


def command(method: str, recipe: Recipe, seed: int, device: str, precision: str) -> str:
    """The command line that repeats a run."""
    settings = [word for name, value in changes(recipe).items() for word in ("--set", f"{name}={value}")]
    words = f"python -m dfkd_lib.run --method {method} --dataset {recipe.dataset} --seed {seed}"
    return f"{words} --budget full --device {device} --precision {precision} {shlex.join(settings)}".rstrip()


def run_name(method: str, recipe: Recipe, seed: int) -> str:
    """A run's file name, without ending: method, data set, pair, what was changed, seed."""
    changed = [f"{name}={value}" for name, value in changes(recipe).items() if name not in ("teacher", "student")]
    return "-".join([method, recipe.dataset, recipe.pair, *changed, f"s{seed}"])


def save_run(folder: Path, name: str, made: dict[str, Any], student: nn.Module | None = None) -> Path:
    """Write ``<name>.json``, and the student's weights as ``<name>.safetensors`` if given; each whole or not at all."""
    try:
        if student is not None:
            weights = {key: value.contiguous() for key, value in student.state_dict().items()}
            write_atomically(folder / f"{name}.safetensors", to_bytes(weights))
        write_atomically(folder / f"{name}.json", json.dumps(made, indent=1) + "\n")
    except OSError as error:
        raise UserError(
            f"output_dir: cannot write to {folder} ({error.strerror}); give a folder that can be written"
        ) from error
    return folder / f"{name}.json"


def records_folder() -> Path:
    """The committed records: ``results/`` of the checkout, or ``$DFKD_RESULTS``.

    Raises
    ------
    UserError
        if the package was installed without a checkout and the variable is not set.
    """
    project = project_folder()
    if folder := os.environ.get("DFKD_RESULTS"):
        return Path(folder)
    if project is None:
        raise UserError(
            "records: dfkd_lib is installed without its checkout; point DFKD_RESULTS to its results/ folder"
        )
    return project / "results"


def load_records(folder: Path | None = None, **match: Any) -> list[dict[str, Any]]:
    """Records whose keys have the values given, sorted by name. ``changes={}`` finds the recipes as they stand.

    Raises
    ------
    UserError
        for a record without its provenance, one that is no JSON, or a folder that is not there.
    """
    found = []
    folder = folder or records_folder()
    if not folder.is_dir():
        raise UserError(f"records: there is no folder {folder}; DFKD_RESULTS may point elsewhere")
    for path in sorted(folder.glob("**/*.json")):
        try:
            made = json.loads(path.read_text())
        except ValueError as error:
            raise UserError(f"records: {path} is not JSON ({error})") from error
        if not isinstance(made, dict):
            raise UserError(f"records: {path} is no record, which is a JSON object")
        if missing := [key for key in REQUIRED if key not in made]:
            raise UserError(f"records: {path} lacks {', '.join(missing)}; make it again with its command")
        if all(made.get(key) == value for key, value in match.items()):
            found.append(made)
    return found


def arm(experiment: str, method: str, dataset: str, **changes: Any) -> list[dict[str, Any]]:
    """The committed records of one arm of an experiment, one per seed: a method, and what was changed in its recipe."""
    found = load_records(records_folder() / experiment, method=method, dataset=dataset, changes=changes)
    if not found:
        raise UserError(
            f"records: none of {method} on {dataset} with {changes or 'the recipe as it stands'} in {experiment}"
        )
    return found


def mean_interval(records: Iterable[dict[str, Any]], key: str) -> tuple[float, float]:
    """Mean of a figure over seeds, and half its 95 % interval."""
    return theory.mean_interval([made[key] for made in records])


def paired(a: Iterable[dict[str, Any]], b: Iterable[dict[str, Any]], key: str) -> tuple[float, float]:
    """Mean difference a − b over the seeds that both have, and half its 95 % interval."""
    x, y = ({made["seed"]: made[key] for made in records} for records in (a, b))
    return theory.mean_interval([x[seed] - y[seed] for seed in sorted(x.keys() & y.keys())])


def hardware(device: str) -> str:
    """The processor's or the GPU's name."""
    if device == "cuda":
        return torch.cuda.get_device_name()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def commit() -> str:
    """The checkout's commit, with ``+changes`` if the library has uncommitted ones; 'unknown' outside a checkout."""
    folder = project_folder()
    if folder is None:
        return "unknown"
    try:
        sha = _git(folder, "rev-parse", "HEAD")
        dirty = _git(folder, "status", "--porcelain", "--", "dfkd_lib")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return sha + ("+changes" if dirty else "")


def _git(folder: Path, *words: str) -> str:
    return subprocess.run(["git", "-C", folder, *words], check=True, capture_output=True, text=True).stdout.strip()
