"""One JSON record per run: what was run, on what, and what came out. The book's tables are made from these."""

import hashlib
import json
import math
import os
import re
import shlex
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from . import checkpoint, ranks, theory
from .errors import UserError, shown
from .files import at_home, project_folder, write_atomically
from .machine import hardware, versions
from .methods import METHODS
from .recipes import SETTINGS, Recipe, recipe_for
from .teachers import Teacher
from .trained import weights
from .training import History

_KINDS: dict[str, tuple[type, ...]] = {
    **dict.fromkeys("method dataset pair teacher student teacher_hash device hardware precision".split(), (str,)),
    **dict.fromkeys("commit command".split(), (str,)),
    **dict.fromkeys("seed samples threads".split(), (int,)),
    **dict.fromkeys("accuracy_last accuracy_best agreement_last kl_last seconds".split(), (int, float)),
    "teacher_accuracy": (int, float, type(None)),
    **dict.fromkeys("versions changes parameters history".split(), (dict,)),
}
REQUIRED = tuple(_KINDS)
# By whom, on what and how a run was made: without it a figure cannot be had again.
PROVENANCE = "command commit versions hardware device precision threads teacher_hash parameters".split()
_LONGEST = 200  # letters of a name; most file systems take 255, and endings come along


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
    read = read_by(method, recipe)
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
        "ranks": ranks.count(),
        "precision": precision,
        "threads": torch.get_num_threads(),
        "versions": versions(),
        "commit": sha,
        "command": command(method, recipe, seed, device, precision),
        "changes": changes(recipe),
        "parameters": read,
        "sources": {name: source for name, source in recipe.sources.items() if name in read},
        "history": history.asdict(),
    }


def read_by(method: str, recipe: Recipe) -> dict[str, Any]:
    """What of a recipe decides a run: all but the settings that the method does not read."""
    return {name: value for name, value in recipe.values().items() if name not in METHODS[method].unused()}


def usual(recipe: Recipe) -> Recipe:
    """The recipe of the same paper, data set and pair as it stands."""
    return recipe_for(recipe.dataset, teacher=recipe.teacher, student=recipe.student, paper=recipe.paper)


def changes(recipe: Recipe) -> dict[str, Any]:
    """The settings that were given, or in which a recipe differs from the usual one; empty for that itself.

    A given one stays even if it equals the usual: the name and the command of a run then outlive a change of that.
    """
    standing = usual(recipe).values()
    given = {name for name in SETTINGS if recipe.sources.get(name) == "given"}
    return {name: value for name, value in recipe.values().items() if value != standing[name] or name in given}


def command(method: str, recipe: Recipe, seed: int, device: str | None = None, precision: str | None = None) -> str:
    """The command line that repeats a run; without device and precision, wherever it is given."""
    of_paper = recipe_for(recipe.dataset, method, paper=recipe.paper)
    pair = (recipe.teacher, recipe.student) if recipe.pair != of_paper.pair else ()
    default = recipe_for(recipe.dataset, method, *pair)  # a pair that is named may choose the paper
    several = ranks.count() > 1
    words = [f"torchrun --nproc-per-node {ranks.count()} -m dfkd_lib.run" if several else "python -m dfkd_lib.run"]
    words += ["--method", method, "--dataset", recipe.dataset]
    words += ["--recipe", recipe.paper] if recipe.paper != default.paper else []
    words += ["--pair", shlex.quote(recipe.pair)] if pair else []
    words += ["--seed", str(seed), "--budget full"]
    words += ["--device", device] if device else []
    words += ["--precision", precision] if precision else []
    own = recipe_for(recipe.dataset, method, recipe.teacher, recipe.student, recipe.paper).values()
    told = changes(recipe) | {name: v for name, v in recipe.values().items() if name in SETTINGS and v != own[name]}
    words += [word for name, value in told.items() for word in ("--set", shlex.quote(f"{name}={value}"))]
    return " ".join(words)


def run_name(method: str, recipe: Recipe, seed: int) -> str:
    """A run's file name, without ending: method, data set, pair, whose recipe, what was changed, seed.

    Where that is too long for a file, a hash stands for the end of it.
    """
    paper = [recipe.paper] if recipe.paper != recipe_for(recipe.dataset, method).paper else []
    pair = re.sub(r"[^\w.]+", "_", recipe.teacher) + "-" + recipe.student
    changed = [f"{name}={value}" for name, value in changes(recipe).items()]
    name = "-".join([method, recipe.dataset, pair, *paper, *changed])
    if len(name) > _LONGEST:
        name = f"{name[:_LONGEST]}-{hashlib.sha256(name.encode()).hexdigest()[:16]}"
    return f"{name}-s{seed}"


def save_run(folder: Path, name: str, made: dict[str, Any], student: nn.Module | None = None) -> Path:
    """Write ``<name>.json``, and the student's weights as ``<name>.safetensors`` if given; each whole or not at all.

    The run's checkpoints are deleted behind that, and only then.
    """
    try:
        if student is not None:
            write_atomically(folder / f"{name}.safetensors", weights(student))
        write_atomically(folder / f"{name}.json", json.dumps(made, indent=1) + "\n")
    except OSError as error:
        raise UserError(
            f"output_dir: cannot write to {folder} ({error.strerror}); the checkpoint, if there is one, "
            "stays: mend that, and continue with --resume"
        ) from error
    checkpoint.remove(checkpoint_path(folder, name))
    return folder / f"{name}.json"


def checkpoint_path(folder: Path, name: str) -> Path:
    """Where a run's checkpoint is while it runs."""
    return folder / f"{name}.ckpt"


def finished(folder: Path, name: str, **identity: Any) -> Path | None:
    """The record of a run that has ended, if it is in the folder.

    Raises
    ------
    UserError
        if it is another run's, by its `identity`: names and values of a record; or no record.
    """
    path = folder / f"{name}.json"
    if not path.exists():
        return None
    if other := checkpoint.difference({"ranks": 1} | _read(path), json.loads(json.dumps(identity))):
        raise UserError(
            f"resume: {path} is the record of another run ({other}); leave out --resume to replace it, "
            "or give another output folder"
        )
    return path


def records_folder() -> Path:
    """The committed records: ``$DFKD_RESULTS``, else ``results/`` of the checkout, else those that came installed."""
    if folder := os.environ.get("DFKD_RESULTS"):
        return at_home("DFKD_RESULTS", folder)
    project = project_folder()
    return project / "results" if project else Path(__file__).parent / "records"


def load_records(folder: Path | None = None, **match: Any) -> list[dict[str, Any]]:
    """Records whose keys have the values given, sorted by name. ``changes={}`` finds the recipes as they stand.

    Raises
    ------
    UserError
        for a record without its provenance, one that is no JSON, or a folder that is not there.
    """
    read = record_files(folder).values()
    return [made for made in read if all(made.get(key) == value for key, value in match.items())]


def record_files(folder: Path | None = None) -> dict[Path, dict[str, Any]]:
    """All records below a folder, by their files; errors as in `load_records`."""
    folder = folder or records_folder()
    if not os.path.isdir(folder):
        raise UserError(f"records: there is no folder {folder}; DFKD_RESULTS may point elsewhere")
    return {path: _read(path) for path in sorted(folder.glob("**/*.json"))}


def _read(path: Path) -> dict[str, Any]:
    try:
        made = json.loads(path.read_text())
    except OSError as error:
        raise UserError(f"records: {path} cannot be read ({error.strerror}); remove it, or put it right") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"records: {path} is not JSON ({error})") from error
    if not isinstance(made, dict):
        raise UserError(f"records: {path} is no record, which is a JSON object")
    if missing := [key for key in REQUIRED if key not in made]:
        raise UserError(f"records: {path} lacks {', '.join(missing)}; make it again with its command")
    for key, kinds in _KINDS.items():
        value = made[key]
        if type(value) not in kinds or (isinstance(value, float) and not math.isfinite(value)):
            allowed = " or ".join(kind.__name__ for kind in kinds)
            raise UserError(f"records: {path} has {shown(value)} for {key}, which is no {allowed}; make it again")
    return made


def lacking(made: dict[str, Any]) -> list[str]:
    """What of a record's `PROVENANCE` is missing, empty or unknown; nobody has the code of a commit with changes."""
    empty = [key for key in PROVENANCE if made.get(key) in (None, "", "unknown", 0, {}, [])]
    empty += [f"versions of {name}" for name, value in (made.get("versions") or {}).items() if not value]
    commit_known = re.fullmatch("[0-9a-f]{40}", str(made.get("commit")))
    return empty if commit_known or "commit" in empty else [*empty, "a commit without changes"]


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
