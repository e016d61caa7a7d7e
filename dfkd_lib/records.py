"""Records of runs: one JSON line a run, one file an experiment.

The tables of the book are made from ``results/<experiment>.jsonl``. A run also leaves
its record beside its student, as ``<key>.json``.
"""

import fcntl
import hashlib
import json
import math
import os
import re
import shlex
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from .errors import UserError
from .files import at_home, project_folder, write_atomically
from .recipes import Recipe, recipe_for
from .teachers import Teacher, hardware, versions, weights
from .teachers import commit as commit  # of a run's start
from .teachers import tree as tree
from .train import History, world

Record = dict[str, Any]
Records = Iterable[Record]
# Without these, nobody can repeat a run.
PROVENANCE = "command commit versions processors device precision threads teacher_hash"
PROVENANCE = (*PROVENANCE.split(), "parameters")
_FIELDS = "key method dataset pair seed samples accuracy_last accuracy_best kl_last"
REQUIRED = (*_FIELDS.split(), "agreement_last", "changes", "history", *PROVENANCE)
_LONGEST = 180  # letters of a key before the seed; file systems allow 255


def record(
    recipe: Recipe, seed: int, teacher: Teacher, history: History, **more: Any
) -> Record:
    """The record of a finished run.

    Accuracies are in percent, KL in nats, time in seconds of training. `more` has
    device, precision and commit, and may have tree, images, probe, compiled.
    """
    columns, ran = history.asdict(), [more["device"], more["precision"], world()]
    more |= {"images": hashed(more["images"])} if "images" in more else {}
    made = {
        "key": key(recipe, seed, more["precision"]),
        "method": recipe.method, "dataset": recipe.dataset, "pair": recipe.pair,
        "teacher": recipe.teacher, "student": recipe.student, "seed": seed,
        "accuracy_last": history.accuracy[-1], "accuracy_best": max(history.accuracy),
        "agreement_last": history.agreement[-1], "kl_last": history.kl[-1],
        "teacher_accuracy": teacher.accuracy, "teacher_hash": teacher.hash,
        "samples": history.samples[-1], "flop": columns.pop("flop"),
        "seconds": round(history.seconds[-1], 2), "hardware": hardware(more["device"]),
        "processors": columns.pop("processors"), "ranks": world(),
        "threads": torch.get_num_threads(), "versions": versions(),
        "command": command(recipe, seed, *ran), "changes": changes(recipe),
        "parameters": parameters(recipe), "sources": dict(recipe.sources),
        "history": columns,
    }  # fmt: skip
    if history.miou:
        made |= {"miou_last": history.miou[-1], "miou_best": max(history.miou)}
    return json.loads(json.dumps(made | more))  # tuples become lists, as when read


def parameters(recipe: Recipe) -> Record:
    """All that decides a run besides its method, seed and precision."""
    names = ("paper", "dataset", "teacher", "student")
    return {name: getattr(recipe, name) for name in names} | recipe.values()


def changes(recipe: Recipe, paper: str = "") -> Record:
    """The settings that differ from its paper's recipe for the same data and pair."""
    asked = recipe.dataset, recipe.method, recipe.teacher, recipe.student
    usual = recipe_for(*asked, paper or recipe.paper).values()
    return {n: v for n, v in recipe.values().items() if v != usual[n]}


def key(recipe: Recipe, seed: int, precision: str) -> str:
    """A run's name: equal settings have equal keys, whichever paper they come from.

    It lists method, data set, pair, the settings that differ from the method's own
    recipe for them (`recipe_for` with paper "auto"), seed and precision, and can be a
    file's name. A hash replaces the end of a long list of settings.
    """
    pair = re.sub(r"[^\w.]+", "_", recipe.teacher) + "-" + recipe.student
    name = "-".join([recipe.method, recipe.dataset, pair, *_told(recipe, "auto")])
    if len(name) > _LONGEST:
        digest = hashlib.sha256(name.encode()).hexdigest()[:16]
        name = f"{name[:_LONGEST]}-{digest}"
    return f"{name}-s{seed}-{precision}"


def command(
    recipe: Recipe, seed: int, device: str = "", precision: str = "", ranks: int = 1
) -> str:
    """The command line that repeats a run; without a device, wherever it is given."""
    asked = recipe.dataset, recipe.method
    usual = recipe_for(*asked, paper=recipe.paper)
    pair = (recipe.teacher, recipe.student) if recipe.pair != usual.pair else ()
    found = recipe_for(*asked, *pair).paper  # naming a pair may choose the paper
    words = [f"torchrun --nproc-per-node {ranks} -m" if ranks > 1 else "python -m"]
    words += ["dfkd_lib.run --method", recipe.method, "--dataset", recipe.dataset]
    words += ["--recipe", recipe.paper] if found != recipe.paper else []
    words += ["--pair", shlex.quote(recipe.pair)] if pair else []
    words += ["--seed", str(seed), "--budget full"]
    words += ["--device", device] if device else []
    words += ["--precision", precision] if precision else []
    told = _told(recipe)
    return " ".join([*words, "--set", *map(shlex.quote, told)] if told else words)


def _told(recipe: Recipe, paper: str = "") -> list[str]:
    told = sorted(changes(recipe, paper).items())
    return [f"{name}={value}".replace(" ", "") for name, value in told]


def hashed(images: Record) -> Record:
    """A run's real images, with a hash for the list of those that were chosen.

    Only where `sha256` shows whether the seed draws the same images again.
    """
    images = dict(images)
    for name in ("indices", "kept") if "sha256" in images else ():
        if isinstance(images.get(name), list):
            numbers = np.asarray(images[name], "<i8").tobytes()
            images[name] = f"sha256:{hashlib.sha256(numbers).hexdigest()}"
    return images


def save_run(
    folder: Path, name: str, made: Record, student: nn.Module | None = None
) -> Path:
    """Write ``<name>.json``, and the student's weights as ``<name>.safetensors``.

    Each file is written whole or not at all; then the run's checkpoint is deleted.
    """
    path = folder / f"{name}.json"
    try:
        if student is not None:
            write_atomically(path.with_name(f"{name}.safetensors"), weights(student))
        write_atomically(path, json.dumps(made, indent=1) + "\n")
        path.with_name(f"{name}.ckpt").unlink(missing_ok=True)
    except OSError as error:
        line = f"output_dir: cannot write to {folder} ({error.strerror}); free some "
        todo = "space or change its permissions, and continue with --resume"
        raise UserError(line + todo) from error
    return path


def records_folder() -> Path:
    """``$DFKD_RESULTS``, else ``results/`` of the checkout, else the installed ones."""
    if folder := os.environ.get("DFKD_RESULTS"):
        return at_home("DFKD_RESULTS", folder)
    return (project_folder() or Path(__file__).parent) / "results"


def append(experiment: str, made: Record, folder: Path | None = None) -> Path:
    """Add a record to ``<experiment>.jsonl``, unless it has one of that key."""
    folder = folder or records_folder()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{experiment}.jsonl"
    lock = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another run may append at the same moment
        old = path.read_text().splitlines() if path.exists() else []
        if old and made["key"] in [r["key"] for r in _read(path)]:
            line = f"records: {made['key']} is in {path}"
            raise UserError(f"{line}; delete its line first")
        new = json.dumps(made, allow_nan=False, separators=(",", ":"))
        write_atomically(path, "".join(f"{line}\n" for line in [*old, new]))
    finally:
        os.close(lock)
    return path


def load_records(
    experiment: str | None = None, folder: Path | None = None, **match: Any
) -> list[Record]:
    """Records, sorted by key, of one experiment or of all, that have the values given.

    ``changes={}`` finds the recipes without changes. In a folder of outputs, the
    records beside students are read too.
    """
    folder = folder or records_folder()
    if not folder.is_dir():
        raise UserError(f"records: no folder {folder}; set DFKD_RESULTS to yours")
    paths = sorted([*folder.glob("*.jsonl"), *folder.glob("*.json")])
    if experiment is not None:
        paths = [path for path in paths if path.name == f"{experiment}.jsonl"]
        if not paths:
            known = ", ".join(path.stem for path in sorted(folder.glob("*.jsonl")))
            line = f"records: no {experiment} in {folder}"
            raise UserError(f"{line}; give one of: {known}")
    found = [r for p in paths for r in sorted(_read(p), key=lambda made: made["key"])]
    wanted = json.loads(json.dumps(match))
    return [made for made in found if _matches(made, **wanted)]


def _matches(made: Record, changes: Record | None = None, **match: Any) -> bool:
    """`changes` may also list settings that equal the recipe's."""
    if changes is not None and not made["changes"].keys() <= changes.keys():
        return False
    fields = made["parameters"] | made
    return all(fields.get(n) == v for n, v in (match | (changes or {})).items())


def _read(path: Path) -> Iterator[Record]:
    text = path.read_text()
    lines = text.splitlines() if path.suffix == ".jsonl" else [text]
    for number, one in enumerate(lines, 1):
        try:
            made = json.loads(one)
            missing = ", ".join(name for name in REQUIRED if name not in made)
        except (ValueError, TypeError, RecursionError) as error:
            missing = f"the form of a JSON object ({error})"
        if missing:
            line = f"records: {path}, line {number} lacks {missing}"
            raise UserError(f"{line}; delete the line and repeat its run")
        yield made


def lacking(made: Record) -> list[str]:
    """The parts of a record's provenance that are missing, empty or unknown."""
    unknown = (None, "", "unknown", 0, {}, [])
    empty = [name for name in PROVENANCE if made.get(name) in unknown]
    if "commit" in empty or re.fullmatch("[0-9a-f]{40}", made["commit"]):
        return empty
    return [*empty, "a commit without changes"]


def arm(experiment: str, method: str, dataset: str, **changes: Any) -> list[Record]:
    """An experiment's records of one configuration, a record per seed.

    `changes` are all settings that differ from the paper's recipe it was run with.
    """
    match = {"method": method, "dataset": dataset, "changes": changes}
    if found := load_records(experiment, **match):
        return found
    what = changes or "the recipe without changes"
    raise UserError(f"records: {experiment} has no {method} on {dataset} with {what}")


def mean_interval(records: Records, key: str) -> tuple[float, float]:
    """The mean of a metric over seeds, and the half-width of its 95 % interval."""
    from . import theory  # here: SciPy takes longer to import than a command should

    return theory.mean_interval([made[key] for made in records])


def paired(a: Records, b: Records, key: str) -> tuple[float, float, int]:
    """The mean of a − b over the n seeds that both have, its half-width (95 %), n."""
    return difference(a, b, 1, key)[:3]


class Difference(NamedTuple):
    """A difference between two configurations, and whether it is resolved.

    It is resolved if zero lies outside the interval at the level 1 − 0.05/of
    (Bonferroni). As a text, it has the one form of the book's verdicts.
    """

    mean: float  # in points for accuracies
    half: float  # half of the 95 % interval
    n: int  # seeds
    of: int  # comparisons made together
    wide: float  # half of the interval at Bonferroni's level

    @property
    def resolved(self) -> bool:
        return abs(self.mean) > self.wide

    def __str__(self) -> str:
        low, high = self.mean - self.half, self.mean + self.half
        if self.n < 2:
            return f"Δ = {self.mean:+z.2f} points (n = 1, no interval): not resolved"
        return (
            f"Δ = {self.mean:+z.2f} points (95 % CI {low:+z.2f} to {high:+z.2f}, "
            f"n = {self.n}, 1 of {self.of} comparisons): "
            f"{'' if self.resolved else 'not '}resolved"
        ).replace("-", "−")


def difference(
    a: Records, b: Records, of: int, key: str = "accuracy_last"
) -> Difference:
    """a − b, paired by seed: one of `of` comparisons."""
    from . import theory

    x, y = ({made["seed"]: made[key] for made in records} for records in (a, b))
    gaps = [round(x[seed] - y[seed], 9) for seed in sorted(x.keys() & y.keys())]
    if not gaps:
        raise UserError("records: the two configurations have no seed in common")
    mean, half = theory.mean_interval(gaps)
    wide = theory.mean_interval(gaps, 1 - 0.05 / of)[1]
    return Difference(mean, half, len(gaps), of, wide)


def welch(a: Records, b: Records, key: str) -> tuple[float, float]:
    """The difference of means a − b where seeds cannot be paired, its half-width.

    Welch's interval of 95 %: the variances may differ. NaN for a single run.
    """
    from scipy import stats

    x, y = ([made[key] for made in records] for records in (a, b))
    if min(len(x), len(y)) < 2:
        return float(np.mean(x) - np.mean(y)), math.nan
    interval = stats.ttest_ind(x, y, equal_var=False).confidence_interval()
    return (interval.low + interval.high) / 2, (interval.high - interval.low) / 2
