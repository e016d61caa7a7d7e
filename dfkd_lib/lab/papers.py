"""The figures of the four papers' tables, typed in ``book/papers/*.csv`` as printed."""

import csv
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

from ..files import project_folder

NAMES = {"dfad": "DFAD", "arvi": "AR+VI", "mad": "MAD", "hidfd": "HiDFD"}
RUNS = 5  # runs of each figure with a spread (DFAD Table 2): its standard deviation


class System(NamedTuple):
    """A student, how it was trained, and its teacher; figures in percent.

    `name` is the paper's for the method; `method` the library's, None if it has none;
    `changes` are settings (NAME=VALUE) that differ from the recipe. A figure is None
    where the paper does not print the teacher's or reports that the student failed.
    """

    paper: str
    table: str
    dataset: str
    teacher: str
    student: str
    name: str
    method: str | None
    changes: tuple[str, ...]
    teacher_figure: Decimal | None
    figure: Decimal | None
    spread: Decimal | None

    @property
    def lost(self) -> float | None:
        """The teacher's figure minus the student's, in points."""
        known = None not in (self.teacher_figure, self.figure)
        return float(self.teacher_figure - self.figure) if known else None


def _read(paper: str) -> list[System]:
    folder, found = project_folder(), []
    folder = folder / "book" / "papers" if folder else Path(__file__).parent / "tables"
    with (folder / f"{paper}.csv").open(newline="", encoding="utf-8") as file:
        for *words, method, changes, top, figure, spread in list(csv.reader(file))[1:]:
            numbers = (Decimal(x) if x else None for x in (top, figure, spread))
            how = method or None, tuple(changes.split())
            found.append(System(paper, *words, *how, *numbers))
    return found


SYSTEMS: tuple[System, ...] = tuple(system for p in NAMES for system in _read(p))
