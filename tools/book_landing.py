"""Sphinx extension: what the landing page takes from the records and the library.

It replaces `<!-- number: NAME -->` by one of NUMBERS and `<!-- field -->` by the table
of methods.
"""

import inspect
import re
from typing import Any

from book_pages import table
from sphinx.application import Sphinx

from dfkd_lib import records
from dfkd_lib.lab import papers, scoreboard
from dfkd_lib.lab.scoreboard import NAMES
from dfkd_lib.methods import METHODS

NUMBER = re.compile(r"<!-- number: ([\w ]+) -->")
FIELD = "<!-- field -->"
EQUAL = {"student_batch": 256, "lambda0": 2.0}  # ABM with MAD's images and loss scale
NO_GAN = {"gan_share": 0.0, "stages": 50, "inflation": 1_000_000}  # of HiDFD
# The data-free methods of the library; the year is in the docstring.
ROWS = "dafl dfad abm zskt deepinversion degan dfq arvi cmi dfkd_mem fast mad".split()
ROWS += ["spaceshipnet", "nayer", "hidfd"]
CHAPTERS = {"dfad": "01_dfad", "arvi": "02_arvi", "mad": "03_mad", "hidfd": "04_hidfd"}
CHAPTERS |= dict.fromkeys(("cmi", "fast", "spaceshipnet", "nayer"), "06_field")
HEAD = ["method", "year", "discrepancy", "generator also minimises"]
HEAD += ["student's samples", "generator is given", "images kept"]


def percent(value: float) -> str:
    return f"{value:.1f}\N{NO-BREAK SPACE}%"


def mean(experiment: str, method: str, dataset: str = "digits", **changes: Any) -> str:
    """The mean final accuracy over seeds, in percent; with label maps, the mIoU."""
    made = records.arm(experiment, method, dataset, **changes)
    key = "miou_last" if "miou_last" in made[0] else "accuracy_last"
    return percent(records.mean_interval(made, key)[0])


def between(experiment: str, a: str, b: str, dataset: str, of: int, **of_b) -> str:
    """The verdict on a − b; `of_b` are changes of b's recipe."""
    made = records.arm(experiment, a, dataset)
    text = str(
        records.difference(made, records.arm(experiment, b, dataset, **of_b), of)
    )
    return re.sub(r" (?=[=%])|(?<==) ", "\N{NO-BREAK SPACE}", text)


def systems() -> str:
    """How many of the papers' systems have runs of ours."""
    arms = scoreboard.arms()
    made = sum(bool(scoreboard.arms_of(one, arms)) for one in papers.SYSTEMS)
    return f"{made} of {len(papers.SYSTEMS)}"


def first(experiment: str, method: str, dataset: str = "digits") -> records.Record:
    return records.arm(experiment, method, dataset)[0]


NUMBERS = {
    "teacher": lambda: percent(first("main", "mad")["teacher_accuracy"]),
    "student": lambda: mean("main", "mad"),
    "seeds": lambda: str(len(records.arm("main", "mad", "digits"))),
    "original images": lambda: mean("foundations", "kd_ori"),
    "noise": lambda: mean("foundations", "random"),
    "dfad": lambda: mean("main", "dfad"),
    "arvi": lambda: between("main", "arvi", "dfad", "digits", 3),
    "mad": lambda: between("controls", "mad", "abm", "digits_half", 5, **EQUAL),
    "hidfd": lambda: mean("hidfd_digits", "hidfd", "digits_hybrid"),
    "no gan": lambda: mean("hidfd_digits", "hidfd", "digits_hybrid", **NO_GAN),
    "collected": lambda: str(
        first("hidfd_digits", "hidfd", "digits_hybrid")["images"]["count"]
    ),
    "words": lambda: between(
        "banks", "nayer", "nayer", "digits_half", 11, labels="random"
    ),
    "scenes": lambda: mean("scenes", "dfad", "scenes"),
    "scenes noise": lambda: mean("scenes", "random", "scenes"),
    "systems": systems,
}


def year(name: str) -> str:
    kind = METHODS[name]
    texts = kind.__doc__, inspect.getmodule(kind).__doc__
    found = [re.search(r"\([A-Z][^()]*?((?:19|20)\d\d)", text) for text in texts]
    return next(filter(None, found)).group(1)


def field() -> str:
    """A row for each method: its year and its five choices, oldest first."""
    rows = []
    for name in ROWS:
        title = NAMES[name]
        if name in CHAPTERS:
            title = f"{{doc}}`{title} <{CHAPTERS[name]}>`"
        rows.append([title, year(name), *METHODS[name].choices])
    return table(HEAD, sorted(rows, key=lambda row: row[1]))


def fill(app: Sphinx, name: str, source: list[str]) -> None:
    text = NUMBER.sub(lambda mark: NUMBERS[mark.group(1)](), source[0])
    source[0] = text.replace(FIELD, field()) if FIELD in text else text


def say_the_title_once(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], tree: object
) -> None:
    """Sphinx adds the book's title to a page's; on the landing page they are one."""
    if pagename == app.config.root_doc:
        context["docstitle"] = ""


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("source-read", fill)
    app.connect("html-page-context", say_the_title_once)
    return {"parallel_read_safe": True}
