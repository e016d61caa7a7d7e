"""Accuracy lost against the FLOP of the whole run: what a budget buys."""

from collections.abc import Mapping
from itertools import groupby

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullFormatter

from ...methods import METHODS
from ...records import Record, load_records, mean_interval
from .curves import _styled
from .style import GREY, INK

TRIALS = 9  # the seed of workflow/experiments.yml's tuning, which nothing else uses


def rungs(dataset: str) -> dict[str, list[list[Record]]]:
    """The records of the ladder: by method, then by budget, the smallest first.

    Each has `lost`, the teacher's accuracy minus the student's, in points. The trials
    that chose the student's rate are left out.
    """
    found: dict[str, list[list[Record]]] = {}
    runs = [
        r | {"lost": r["teacher_accuracy"] - r["accuracy_last"]}
        for r in load_records(dataset=dataset, paper="ladder")
        if {*r["changes"]} <= {"stages", "collected_from"} and r["seed"] != TRIALS
    ]
    order = list(METHODS)

    def place(r: Record) -> tuple:
        return order.index(r["method"]), r["parameters"]["stages"]

    for (at, _), same in groupby(sorted(runs, key=place), place):
        found.setdefault(METHODS[order[at]].__name__, []).append(list(same))
    return found


def ladder(
    dataset: str,
    method: str = "",
    papers: Mapping[str, tuple[float, float]] | None = None,
) -> Axes:
    """Points lost over PFLOP: a mark a budget with its 95 % interval, a line a method.

    Thin lines show how the runs of the largest budget got there. `method`: the class
    name of the method in colour; the others are grey. `papers`: PFLOP and points
    lost of the papers' own runs, as hollow marks.
    """
    ax = plt.figure(figsize=(6.4, 4.0)).add_subplot()
    for name, budgets, marker, style in _styled(rungs(dataset)):
        grey = {"color": GREY, "zorder": 1} if method and name != method else {}
        at = [runs[0]["flop"] / 1e15 for runs in budgets]
        means, halves = np.array([mean_interval(runs, "lost") for runs in budgets]).T
        n = dict.fromkeys(str(len(runs)) for runs in budgets)
        look = {"marker": marker, "ls": style, "capsize": 3, "label": name} | grey
        look["label"] += f", n = {' and '.join(n)}"
        drawn = ax.errorbar(at, means, np.nan_to_num(halves), **look)
        tests = [r["history"] | {"top": r["teacher_accuracy"]} for r in budgets[-1]]
        part = np.array(tests[0]["stage"]) / tests[0]["stage"][-1]
        lost = np.mean([t["top"] - np.array(t["accuracy"]) for t in tests], 0)
        look = {"color": drawn[0].get_color(), "alpha": 0.5, "lw": 0.8}
        ax.plot(at[-1] * part, lost, **look)
    for name, (pflop, lost) in (papers or {}).items():
        ax.plot(pflop, lost, "o", mfc="none", color=INK, markersize=7)
        look = {"xytext": (-6, 6), "textcoords": "offset points", "ha": "right"}
        ax.annotate(name, (pflop, lost), **look)
    ax.set(xscale="log", xlabel="PFLOP of the whole run")
    if not papers:  # two decades at most
        ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.xaxis.set_major_formatter("{x:g}")
        ax.xaxis.set_minor_formatter(NullFormatter())
    ax.set(ylabel="accuracy lost to the teacher (points)")
    ax.set_ylim(min(0, ax.dataLim.y0))
    ax.legend(fontsize="small", loc="upper left", bbox_to_anchor=(1.01, 1))
    return ax
