"""Reads a list of runs, such as experiments.yml, and makes one of them.

The Snakefile calls ``python workflow/runs.py LIST EXPERIMENT KEY [ONLY]`` for each.
"""

import functools
import itertools
import json
import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from dfkd_lib import records, run
from dfkd_lib.errors import UserError, one_of
from dfkd_lib.recipes import Recipe, override, recipe_for
from dfkd_lib.teachers import resolve_precision


@dataclass(frozen=True)
class Job:
    """One run: `minutes` of one thread, 0 where nobody has measured it."""

    experiment: str
    recipe: Recipe
    seed: int
    device: str
    precision: str
    probe: bool
    minutes: float

    @functools.cached_property
    def key(self) -> str:
        return records.key(self.recipe, self.seed, self.precision)

    @property
    def options(self) -> list[str]:
        """Of `dfkd_lib.run`, without the output folder."""
        told = records.command(self.recipe, self.seed, self.device, self.precision)
        return [*shlex.split(told)[3:], "--probe" if self.probe else "--resume"]


def jobs(config: dict[str, Any]) -> list[Job]:
    """All runs of a list.

    Raises
    ------
    UserError
        for an entry that is wrong, before anything runs.
    """
    found = []
    for experiment, entries in config["experiments"].items():
        for entry in entries:
            usual = {name: config[name] for name in ("device", "precision")}
            try:
                found += _jobs(experiment, **usual | entry)
            except (
                UserError,
                TypeError,
            ) as error:  # TypeError: an unknown key, or none
                raise UserError(f"{experiment}: {entry}: {error}") from error
    return found


def _jobs(
    experiment: str,
    methods: list[str],
    dataset: str,
    seeds: int | list[int],
    device: str,
    precision: str,
    settings: list[str] = [""],  # noqa: B006  it is only read
    recipe: str = "auto",
    pair: str | list[str] = "auto",
    probe: bool = False,
    minutes: float = 0,
) -> Iterator[Job]:
    pairs = [pair] if isinstance(pair, str) else pair
    for method, one, line in itertools.product(methods, pairs, settings):
        teacher, _, student = one.rpartition("-")
        names = (teacher, student) if one != "auto" else ("auto", "auto")
        made = recipe_for(dataset, method, *names, recipe)
        made = override(made, shlex.split(line))
        for seed in range(seeds) if isinstance(seeds, int) else seeds:
            exact = resolve_precision(precision, device)
            yield Job(experiment, made, seed, device, exact, probe, minutes)


def wanted(config: dict[str, Any], only: str = "") -> list[Job]:
    """The runs of the experiments named in `only`, else those for the list's device."""
    only = only.split(",") if only else []
    for name in only:
        one_of("only", name, config["experiments"])
    return [
        job
        for job in jobs(config)
        if (job.experiment in only if only else job.device == config["device"])
    ]


def unfinished(listed: list[Job], folder: Path) -> list[Job]:
    """The runs that no record in the folder is of."""
    there = {path.stem for path in folder.glob("*.jsonl")}
    known = {
        (experiment, made["key"])
        for experiment in {job.experiment for job in listed} & there
        for made in records.load_records(experiment, folder)
    }
    return [job for job in listed if (job.experiment, job.key) not in known]


def remaining(left: list[Job]) -> str:
    """How many runs are left, and how long they take."""
    hours = sum(job.minutes for job in left) / 60
    unknown = sum(not job.minutes for job in left)
    more = f", and {unknown} runs that nobody has measured" if unknown else ""
    return f"{len(left)} runs left: {hours:.1f} hours of one thread{more}"


def main(path: str, experiment: str, key: str, only: str = "") -> int:
    """Make one run of a list; its record goes from its own file into FOLDER."""
    config = yaml.safe_load(Path(path).read_text())
    listed, folder = wanted(config, only), Path(config["folder"]).absolute()
    [job] = [j for j in listed if (j.experiment, j.key) == (experiment, key)]
    work = Path(config["work"], experiment).absolute()
    keep = config["students"]  # true, false, or a list of experiments
    alone = [] if keep is True or (keep and experiment in keep) else ["--record-only"]
    status = run.main([*job.options, *alone, "--output-dir", str(work)])
    if status == 0:
        file = work / f"{key}.json"
        made = json.loads(file.read_text())
        records.append(experiment, made, folder)
        file.unlink()
        print(f"{made['accuracy_last']:.2f} %,", remaining(unfinished(listed, folder)))
    return status


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
