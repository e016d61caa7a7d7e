"""Which records stand for which system of the papers' tables, and the rows of the book's scoreboard."""

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import papers, results
from .catalogue import DATASETS, NETWORKS
from .collected import RELATED, UNRELATED
from .errors import UserError
from .methods import METHODS
from .papers import System
from .recipes import METHOD_PAPERS, RECIPES, Recipe, recipe_for
from .settings import override

NAMES = {
    **{"dfad": "DFAD", "arvi": "AR+VI", "abm": "ABM", "dfkd_mem": "DFKD-Mem", "mad": "MAD", "dafl": "DAFL"},
    **{"deepinversion": "DeepInversion", "random": "RANDOM", "kd_ori": "KD-ORI", "kd_rel": "KD-REL"},
    **{"kd_unr": "KD-UNR", "kd_collected": "KD, collected", "fitnet": "FitNet", "at": "AT", "ft": "FT"},
    **{"hidfd": "HiDFD", "degan": "DeGAN"},
}
SPEED = ("fast", "plain")  # experiments that make others' runs again, for the page on performance

_NOT_HERE = {
    "Student": "the student trained on the original data without a teacher: no method here",
    "ZSKT": "ABM with its authors' own settings; `abm` here has those that MAD gives it",
}
_SHORT = "short"
_TO = "\N{NO-BREAK SPACE}→\N{NO-BREAK SPACE}"
_PM = "\N{NO-BREAK SPACE}±\N{NO-BREAK SPACE}"
_SEGMENTATION = "segmentation, which is planned (chapter 5)"


@dataclass(frozen=True, eq=False)
class Arm:
    """Runs of one experiment that differ in their seed alone."""

    files: tuple[Path, ...]
    records: tuple[dict[str, Any], ...]  # in the order of their seeds
    recipe: Recipe  # of the same paper, for this method: as it stands
    changes: tuple[str, ...]  # NAME=VALUE, where the runs differ from that

    @property
    def first(self) -> dict[str, Any]:
        return self.records[0]

    @property
    def method(self) -> str:
        return self.first["method"]

    @property
    def seeds(self) -> list[int]:
        return [made["seed"] for made in self.records]

    @property
    def own(self) -> bool:
        """Whether the schedule is a paper's, and not this book's short one."""
        changed = any(change.startswith("stages=") for change in self.changes)
        return not changed and _is_a_papers(self.recipe)

    @property
    def schedule(self) -> str:
        return schedule_of(self.recipe) if self.own else _SHORT

    def mean(self, key: str) -> tuple[float, float]:
        """Mean over seeds, and half its 95 % interval."""
        return results.mean_interval(self.records, key)

    @property
    def lost(self) -> float:
        """What the student lacks to its teacher behind the last step, in points, in the mean."""
        return self.mean("teacher_accuracy")[0] - self.mean("accuracy_last")[0]

    @property
    def hours(self) -> float:
        return self.mean("seconds")[0] / 3600


def _is_a_papers(recipe: Recipe) -> bool:
    return recipe.paper in papers.NAMES and recipe.sources.get("stages", "ours") != "ours"


def schedule_of(recipe: Recipe) -> str:
    """Whose number of updates it is."""
    return f"{papers.NAMES[recipe.paper]}'s" if _is_a_papers(recipe) else _SHORT


def arms(folder: Path | None = None) -> list[Arm]:
    """The records below a folder, by default the committed ones, as arms; of the same runs in several experiments
    those of the one with the most seeds.

    Raises
    ------
    UserError
        for a record without provenance.
    """
    folder = folder or results.records_folder()
    groups: dict[tuple[str, ...], dict[Path, list[tuple[int, Path]]]] = {}
    read = results.record_files(folder)
    for path, made in read.items():
        if lacking := results.lacking(made):
            raise UserError(f"records: {path} lacks {', '.join(lacking)}; make it again with its command")
        if path.parent.name not in SPEED:
            paper = made["parameters"].get("paper", "ours")
            key = (made["dataset"], made["method"], made["pair"], paper, json.dumps(made["changes"], sort_keys=True))
            groups.setdefault(key, {}).setdefault(path.parent, []).append((made["seed"], path))
    found = []
    for key, experiments in groups.items():
        files = [path for _, path in sorted(max(experiments.values(), key=len))]
        found.append(_arm(files, [read[path] for path in files], paper=key[3]))
    return found


def _arm(files: Sequence[Path], records: Sequence[dict[str, Any]], paper: str) -> Arm:
    made = records[0]
    recipe = recipe_for(made["dataset"], made["method"], made["teacher"], made["student"], paper)
    standing = json.loads(json.dumps(recipe.values()))
    changes = [f"{name}={value}" for name, value in made["changes"].items() if value != standing[name]]
    return Arm(tuple(files), tuple(records), recipe, tuple(changes))


def compared(dataset: str, among: Iterable[Arm]) -> list[Arm]:
    """Of each method on a data set, and each schedule, the arm with the fewest changed settings; best first."""
    best: dict[tuple[str, ...], Arm] = {}
    here = [arm for arm in among if arm.first["dataset"] == dataset]
    for arm in sorted(here, key=lambda arm: (len(arm.changes), -len(arm.seeds))):
        best.setdefault((arm.method, arm.first["pair"], arm.schedule), arm)
    return sorted(best.values(), key=lambda arm: (arm.own, arm.lost))


def undecided(arm: Arm, among: Iterable[Arm]) -> list[Arm]:
    """Those whose intervals overlap with the arm's; a single run has none, and so is not among them."""
    low, high = (arm.mean("accuracy_last")[0] + sign * arm.mean("accuracy_last")[1] for sign in (-1, 1))
    means = {other: other.mean("accuracy_last") for other in among if other is not arm}
    return [other for other, (mean, half) in means.items() if mean + half >= low and mean - half <= high]


# --- the papers' systems ----------------------------------------------------------------------------------------------


def recipe_of(system: System) -> Recipe:
    """What a run of a system follows: its method's paper where that has a recipe for the data set, else its table's.

    MAD's and HiDFD's tables quote baselines whose schedules no paper here has; those run with DFAD's, or MAD's.
    """
    paper = "auto"
    if system.method not in METHOD_PAPERS:
        own = [system.paper] if system.paper in ("dfad", "arvi") else []
        listed = {recipe.paper for recipe in RECIPES if recipe.dataset == system.dataset}
        paper = next((name for name in (*own, "dfad", "mad") if name in listed), "auto")
    recipe = recipe_for(system.dataset, system.method, system.teacher, system.student, paper)
    return override(recipe, system.changes)


def command(system: System) -> str:
    """The command line that runs a system, at the full schedule."""
    return results.command(system.method, recipe_of(system), seed=0)


def obstacle(system: System) -> str | None:
    """Why a system cannot be run with what the library has; None where it can."""
    if system.dataset in papers.SEGMENTATION:
        return _SEGMENTATION
    if system.method is None:
        return _NOT_HERE.get(system.name, "not among the methods here")
    images, needs = DATASETS[system.dataset], METHODS[system.method].needs
    for size in (NETWORKS[network].size for network in (system.teacher, system.student)):
        if size not in (None, images.size):
            return f"one of the networks takes images of {size}×{size} here, and the data set's are larger"
    listed = {"related": RELATED, "collected": RELATED, "unrelated": UNRELATED}.get(needs, DATASETS)
    if system.dataset not in listed:
        return "the data set that images are collected from is not among those here"
    return None


def arms_of(system: System, among: Iterable[Arm]) -> list[Arm]:
    """The arms of a system: its method, data set, networks and changed settings; the paper's own schedule first."""
    wanted = (system.method, system.dataset, f"{system.teacher}-{system.student}", system.changes)
    found = [arm for arm in among if (arm.method, arm.first["dataset"], arm.first["pair"], arm.changes) == wanted]
    return sorted(found, key=lambda arm: not arm.own)


def is_run(system: System, among: Iterable[Arm]) -> bool:
    """Whether there are records of what `command` would run: also by another paper's recipe, if it is the same."""
    if obstacle(system):
        return False
    wanted = _settings(system.method, recipe_of(system))
    made = (_settings(arm.method, override(arm.recipe, arm.changes)) for arm in arms_of(system, among))
    return wanted in made


def _settings(method: str, recipe: Recipe) -> dict[str, Any]:
    """What decides a run; whose recipe it is does not."""
    return {name: value for name, value in results.read_by(method, recipe).items() if name != "paper"}


# --- rows -------------------------------------------------------------------------------------------------------------


def figure(arm: Arm, key: str) -> str:
    """Mean over seeds, and half its 95 % interval where there are several."""
    mean, half = arm.mean(key)
    return f"{mean:.2f}" if math.isnan(half) else f"{mean:.2f}{_PM}{half:.2f}"


def shown(system: System) -> str:
    """The paper's name for a method, and ours where it is another."""
    ours = NAMES.get(system.method, "")
    known = not ours or system.changes or system.name.casefold().startswith(ours.casefold())
    return system.name if known else f"{system.name} ({ours})"


def printed(system: System) -> str:
    """The paper's teacher and student, in percent."""
    student = "failed" if system.figure is None else str(system.figure)
    spread = "" if system.spread is None else f"{_PM}{system.spread}"
    return f"{system.teacher_figure or '?'}{_TO}{student}{spread}"


def system_table(systems: Sequence[System], among: Sequence[Arm]) -> tuple[list[str], list[list[str]]]:
    """Head and rows of a table of a paper's: a row for each system at the paper's schedule, and one for each of ours.

    Of one data set, its name stands in the head. Without a single record there is one column for that.
    """
    found = {system: arms_of(system, among) for system in systems}
    datasets = list(dict.fromkeys(system.dataset for system in systems))
    several = len({(s.dataset, s.teacher, s.student) for s in systems}) > len(datasets)
    any_run = any(found.values())
    rows = []
    for system, here in found.items():
        start = [shown(system), *([system.dataset] if len(datasets) > 1 else [])]
        start += [f"{system.teacher}{_TO}{system.student}"] if several else []
        start += [printed(system), "–" if system.lost is None else str(system.lost)]
        if not is_run(system, here):
            schedule = "–" if obstacle(system) else schedule_of(recipe_of(system))
            rows.append([*start, "not run", *(["–"] * 3 + [schedule] if any_run else [])])
        rows += [[*start, *_ours(arm)] for arm in here]
    head = ["method", "data set"] if len(datasets) > 1 else [f"method, on {datasets[0]}"]
    head += [*(["networks"] if several else []), "paper: teacher → student (%)", "lost"]
    return head + (["ours: teacher → last (%)", "best (%)", "lost", "seeds", "schedule"] if any_run else ["ours"]), rows


def _ours(arm: Arm) -> list[str]:
    top = f"{arm.mean('teacher_accuracy')[0]:.2f}{_TO}{figure(arm, 'accuracy_last')}"
    return [top, f"{arm.mean('accuracy_best')[0]:.2f}", f"{arm.lost:.2f}", str(len(arm.seeds)), arm.schedule]


def label(arm: Arm) -> str:
    """An arm's method, its schedule where that is a paper's, and what was changed."""
    schedule = f", {arm.schedule} schedule" if arm.own else ""
    return NAMES[arm.method] + schedule + (f" ({', '.join(arm.changes)})" if arm.changes else "")


def own_table(dataset: str, among: Sequence[Arm]) -> tuple[list[str], list[list[str]]]:
    """Head and rows of all methods that were run on a data set."""
    rows = []
    for arm in compared(dataset, among):
        _, best, lost, seeds, _ = _ours(arm)
        top = f"{arm.mean('teacher_accuracy')[0]:.2f}"
        rows.append([label(arm), lost, figure(arm, "accuracy_last"), best, top, seeds])
        rows[-1] += [f"{arm.mean('samples')[0]:,.0f}", f"{arm.hours:.2g}"]
    return [f"method, on {dataset}", "lost", "last (%)", "best (%)", "teacher (%)", "seeds", "images", "hours"], rows


def provenance_table(dataset: str, among: Sequence[Arm]) -> tuple[list[str], list[list[str]]]:
    """Head and rows of what `own_table` was made from; the command is that of the first seed."""
    rows = []
    for arm in compared(dataset, among):
        found = [sorted({str(made[key]) for made in arm.records}) for key in ("hardware", "threads", "precision")]
        found.append(sorted({made["commit"][:7] for made in arm.records}))
        path = arm.files[0]
        cells = [label(arm), ", ".join(map(str, arm.seeds)), *map(", ".join, found)]
        rows.append([cell.replace(" ", "\N{NO-BREAK SPACE}") for cell in cells])  # one line each: commands are long
        rows[-1] += [f"`results/{path.parent.name}/{path.name}`", f"`{arm.first['command']}`"]
    head = [f"method, on {dataset}", "seeds", "hardware", "threads", "precision", "commit"]
    return [*head, "record of the first seed", "its command"], rows


def missing_table(systems: Iterable[System], among: Sequence[Arm]) -> tuple[list[str], list[list[str]]]:
    """Head and rows of what was not run at its schedule, with the command that runs it."""
    rows: dict[str, list[str]] = {}
    for system in systems:
        if not obstacle(system) and not is_run(system, among):
            schedule = schedule_of(recipe_of(system))
            rows.setdefault(command(system), [system.dataset, NAMES[system.method], schedule, f"`{command(system)}`"])
    return ["data set", "method", "schedule", "command"], list(rows.values())


def obstacles(systems: Iterable[System]) -> dict[str, list[str]]:
    """Why systems cannot be run, and which: of each table its data sets and methods, as text."""
    found: dict[str, dict[str, tuple[dict[str, None], dict[str, None]]]] = {}
    for system in systems:
        if why := obstacle(system):
            table = f"{papers.NAMES[system.paper]} Table {system.table}"
            datasets, names = found.setdefault(why, {}).setdefault(table, ({}, {}))
            datasets[system.dataset] = names[shown(system)] = None  # sets that keep their order
    return {
        why: [f"{table} ({', '.join(datasets)}): {'; '.join(names)}" for table, (datasets, names) in tables.items()]
        for why, tables in found.items()
    }
