"""Our records beside the papers' systems."""

import math
from collections import defaultdict
from collections.abc import Iterable

import numpy as np
from scipy import stats

from .. import records
from ..data import DATASETS, NETWORKS, RELATED, UNRELATED
from ..errors import UserError
from ..methods import METHODS
from ..recipes import METHOD_PAPERS, RECIPES, Recipe, override, recipe_for
from . import papers
from .papers import System

NAMES = {
    "dfad": "DFAD", "arvi": "AR+VI", "abm": "ABM", "dfkd_mem": "DFKD-Mem", "mad": "MAD",
    "dafl": "DAFL", "deepinversion": "DeepInversion", "random": "RANDOM",
    "kd_ori": "KD-ORI", "kd_rel": "KD-REL", "kd_unr": "KD-UNR", "fitnet": "FitNet",
    "kd_collected": "KD, collected", "at": "AT", "ft": "FT", "hidfd": "HiDFD",
    "degan": "DeGAN", "alone": "student alone", "zskt": "ZSKT", "dfq": "DFQ",
    "cmi": "CMI", "fast": "Fast", "nayer": "NAYER", "spaceshipnet": "SpaceshipNet",
    "dfnd": "DFND", "kd3": "KD³", "pre": "PRE", "composed": "composed",
}  # fmt: skip
# Experiments that repeat runs to time them, or vary the teacher (chapter 7).
APART = ("fast", "plain", "teachers", "teachers_long", "teachers_parts")
APART += ("composed", "composed_tuning")


class Arm:
    """The runs of one configuration in one experiment, in the order of their seeds.

    `changes` are NAME=VALUE, where the runs differ from their paper's recipe.
    """

    def __init__(self, experiment: str, made: list[records.Record]):
        self.experiment, self.records, self.first = experiment, made, made[0]
        self.method, self.seeds = self.first["method"], [one["seed"] for one in made]
        changes = sorted(self.first["changes"].items())
        self.changes = tuple(f"{name}={value}" for name, value in changes)
        asked = (self.first[n] for n in ("dataset", "method", "teacher", "student"))
        recipe = recipe_for(*asked, self.first["parameters"]["paper"])
        self.metric = "miou" if "miou_last" in self.first else "accuracy"
        self.schedule = schedule_of(recipe, "stages" in self.first["changes"])

    def mean(self, key: str) -> tuple[float, float]:
        """Mean over seeds, and half of its 95 % interval; NaN where it is unknown."""
        known = all(made[key] is not None for made in self.records)
        return records.mean_interval(self.records, key) if known else (math.nan,) * 2

    @property
    def lost(self) -> float:
        """The teacher's accuracy minus the student's final one, mean, in points.

        Of systems with label maps, mIoU in place of accuracy.
        """
        last, top = f"{self.metric}_last", f"teacher_{self.metric}"
        return self.mean(top)[0] - self.mean(last)[0]


def schedule_of(recipe: Recipe, changed: bool = False) -> str:
    """A paper's, "ladder", or "short": this book's, or a changed number of stages."""
    if recipe.paper in papers.NAMES and recipe.sources.get("stages") != "ours":
        return "short" if changed else f"{papers.NAMES[recipe.paper]}'s"
    return "ladder" if recipe.paper == "ladder" else "short"


def arms() -> list[Arm]:
    """The records by configuration; UserError for a record without provenance."""
    groups: dict = defaultdict(lambda: defaultdict(list))  # by name, then by experiment
    for path in sorted(records.records_folder().glob("*.jsonl")):
        for made in records.load_records(path.stem):
            if lacking := records.lacking(made):
                raise UserError(
                    f"records: {made['key']} in {path} lacks {', '.join(lacking)}; "
                    f"repeat its run: {made['command']}"
                )
            if path.stem not in APART:
                name = made["key"].replace(f"-s{made['seed']}-", "-")
                groups[name][path.stem].append(made)
    largest = [max(g.items(), key=lambda pair: len(pair[1])) for g in groups.values()]
    return [Arm(name, sorted(made, key=lambda r: r["seed"])) for name, made in largest]


def compared(dataset: str, among: Iterable[Arm]) -> list[Arm]:
    """Of each method and schedule, the arm with the fewest changes; best first."""
    best: dict[tuple[str, ...], Arm] = {}
    here = [arm for arm in among if arm.first["dataset"] == dataset]
    for arm in sorted(here, key=lambda arm: (len(arm.changes), -len(arm.seeds))):
        best.setdefault((arm.method, arm.first["pair"], arm.schedule), arm)
    return sorted(best.values(), key=lambda arm: (arm.schedule != "short", arm.lost))


# --- the papers' systems -------------------------------------------------------------


def recipe_of(system: System) -> Recipe:
    """Of the method's paper, else the table's, for quoted baselines DFAD's or MAD's."""
    paper = "auto"
    if system.method not in METHOD_PAPERS:
        first = [system.paper] if system.paper in ("dfad", "arvi") else []
        listed = {entry.paper for entry in RECIPES if entry.dataset == system.dataset}
        paper = next((p for p in (*first, "dfad", "mad") if p in listed), "auto")
    asked = system.dataset, system.method, system.teacher, system.student
    return override(recipe_for(*asked, paper), system.changes)


def obstacle(system: System) -> str | None:
    """Why the library cannot run a system; None if it can."""
    if system.method is None:
        return "DDAD's public abstract gives neither its discrepancy nor its weights"
    sizes = {NETWORKS[name].size for name in (system.teacher, system.student)}
    if sizes - {None, DATASETS[system.dataset].size}:
        return "the network takes smaller images than those of the data set"
    sources = {"related": RELATED, "collected": RELATED, "unrelated": UNRELATED}
    if system.dataset not in sources.get(METHODS[system.method].data, DATASETS):
        return "no source of collected images"
    return None


def arms_of(system: System, among: Iterable[Arm]) -> list[Arm]:
    """The arms of a system, the paper's own schedule first; none is of the ladder."""
    pair = f"{system.teacher}-{system.student}"
    asked = {"method": system.method, "dataset": system.dataset, "pair": pair}.items()
    changes = tuple(sorted(system.changes))
    found = [a for a in among if asked <= a.first.items() and a.changes == changes]
    return sorted(found, key=lambda arm: arm.schedule == "short")


def beside(system: System, arm: Arm, level: float = 0.95) -> tuple[float, float]:
    """How many more points ours loses; half of Welch's interval (NaN: no spread)."""
    last, top = f"{arm.metric}_last", f"teacher_{arm.metric}"
    ours = [made[top] - made[last] for made in arm.records]
    if len(ours) < 2 or system.spread is None:
        return arm.lost - system.lost, math.nan
    u, v = np.var(ours, ddof=1) / len(ours), float(system.spread) ** 2 / papers.RUNS
    degrees = (u + v) ** 2 / (u**2 / (len(ours) - 1) + v**2 / (papers.RUNS - 1))
    half = stats.t.ppf((1 + level) / 2, degrees) * math.sqrt(u + v)
    return arm.lost - system.lost, float(half)
