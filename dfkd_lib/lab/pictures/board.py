"""The scoreboard's picture: accuracy lost against cost."""

from collections.abc import Mapping
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import EngFormatter, NullLocator

from .style import COLOURS, MARKERS


class Point(NamedTuple):
    """A method: its group, its cost, its mean loss in points, half of the interval."""

    group: str
    cost: float
    lost: float
    half: float = 0.0


def lost_against_cost(points: Mapping[str, Point], *, x_label: str) -> Axes:
    """Loss against cost; a colour and marker per group; losses below 1 are linear."""
    height = max(3.6, 1.4 + 0.17 * len(points))
    figure, ax = plt.subplots(figsize=(6.4, height))
    groups = dict.fromkeys(point.group for point in points.values())
    for group, colour, marker in zip(groups, COLOURS, MARKERS, strict=False):
        here = [point[1:] for point in points.values() if point.group == group]
        x, y, half = np.nan_to_num(np.array(here)).T
        look = {"fmt": marker, "color": colour, "elinewidth": 1, "label": group}
        ax.errorbar(x, y, half, **look)
    lost = sorted(point.lost for point in points.values())
    low, high = min(0, lost[0]) - 0.2, 1.5 * max(1, lost[-1])
    ax.set(xscale="log", xlabel=x_label, ylabel="accuracy lost to the teacher (points)")
    ax.set_yscale("symlog", linthresh=1)
    ticks = [t for t in (-2, -1, -0.5, 0, 0.5, 1, 2, 5, 10, 20, 50) if low < t < high]
    ax.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    ax.yaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(EngFormatter(sep="\N{NO-BREAK SPACE}"))
    ax.set_ylim(low, high)
    ax.margins(x=0.1)
    figure.legend(loc="outside upper left", ncols=len(groups), fontsize=9)
    heights = _apart([_at(ax, y) for y in lost], 11 / (50 * height))
    names = sorted(points, key=lambda name: points[name].lost)
    line = {"arrowstyle": "-", "color": "0.65", "relpos": (0, 0.5)}
    look = {"textcoords": "axes fraction", "fontsize": 9, "va": "center"}
    for name, y in zip(names, heights, strict=True):
        _, cost, lost, _ = points[name]
        ax.annotate(name, (cost, lost), (1.03, y), arrowprops=line, **look)
    return ax


def _at(ax: Axes, y: float) -> float:
    """The height of a value, as a fraction of the axes."""
    return float(ax.transAxes.inverted().transform(ax.transData.transform((1, y)))[1])


def _apart(wanted: list[float], gap: float) -> list[float]:
    """Rising heights, moved as little as needed to be a gap apart and below 1."""
    heights: list[float] = []
    for height in wanted:
        heights.append(max([height, *(h + gap for h in heights[-1:])]))
    limit = 1.0
    for i in reversed(range(len(heights))):
        heights[i] = min(heights[i], limit)
        limit = heights[i] - gap
    return heights
