"""The scoreboard's picture: accuracy lost against cost."""

from collections.abc import Mapping
from typing import NamedTuple

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import EngFormatter, NullFormatter, SymmetricalLogLocator

from .style import COLOURS, MARKERS


class Point(NamedTuple):
    """A method: its group, its cost, its mean loss in points, half of the interval."""

    group: str
    cost: float
    lost: float
    half: float = float("nan")


def lost_against_cost(points: Mapping[str, Point], *, x_label: str) -> Axes:
    """Loss against cost, numbered by loss; a colour and a marker per group.

    The cost is logarithmic, and so are losses above one point.
    """
    ax = plt.figure(figsize=(6.4, max(3.6, 1.2 + 0.17 * len(points)))).add_subplot()
    order = sorted(points, key=lambda name: points[name].lost)
    groups = list(dict.fromkeys(point.group for point in points.values()))
    looks = dict(zip(groups, zip(MARKERS, COLOURS, strict=True), strict=False))
    for rank, name in enumerate(order, 1):
        group, cost, lost, half = points[name]
        marker, colour = looks[group]
        bar = {"fmt": marker, "color": colour, "label": group, "elinewidth": 1}
        ax.errorbar(cost, lost, half, **bar)
        near = {"textcoords": "offset points", "fontsize": 8}
        ax.annotate(str(rank), (cost, lost), (4, 3), **near)
    names = "\n".join(f"{rank} {name}" for rank, name in enumerate(order, 1))
    ax.annotate(names, (1.02, 1), xycoords="axes fraction", va="top", fontsize=9)
    ax.set(xscale="log", xlabel=x_label, ylabel="accuracy lost to the teacher (points)")
    ax.set_yscale("symlog", linthresh=1)
    ticks = SymmetricalLogLocator(base=10, linthresh=1, subs=(1, 2, 5))
    ax.yaxis.set_major_locator(ticks)
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter(EngFormatter(sep="\N{NO-BREAK SPACE}"))
        axis.set_minor_formatter(NullFormatter())
    handles = dict(zip(*reversed(ax.get_legend_handles_labels()), strict=True))
    where = {"loc": "outside upper left", "ncols": len(groups), "fontsize": 9}
    ax.figure.legend(handles.values(), handles.keys(), **where)
    return ax
