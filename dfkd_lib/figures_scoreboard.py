"""The scoreboard's picture: what students lose, against what they cost."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import EngFormatter, FuncFormatter, LogLocator, NullFormatter

from .figures import COLOURS, MARKERS

_LINE = 11  # points from one label to the next
_TICKS = (-5, -2, -1, -0.5, 0, 0.5, 1, 2, 5, 10, 20, 50, 100)


class Point(NamedTuple):
    """A method: of which group; what it costs, one figure per panel; mean loss in points, and half its interval."""

    group: str
    costs: tuple[float, ...]
    lost: float
    half: float  # not a number for a single run


def lost_against_cost(points: Mapping[str, Point], *, x_labels: Sequence[str]) -> list[Axes]:
    """One panel per cost, on logarithmic axes; loss below one point is on a linear scale. Names stand at the right.

    Groups differ in colour and in marker. Intervals stand in the last panel; their ends may lie outside the picture.
    """
    figure, axes = plt.subplots(
        1, len(x_labels), sharey=True, squeeze=False, figsize=(6.4, max(3.6, 1.4 + 0.17 * len(points)))
    )
    groups = list(dict.fromkeys(point.group for point in points.values()))
    for panel, (ax, x_label) in enumerate(zip(axes[0], x_labels, strict=True)):
        for group, colour, marker in zip(groups, COLOURS, MARKERS, strict=False):
            here = [point for point in points.values() if point.group == group]
            x, y = [point.costs[panel] for point in here], [point.lost for point in here]
            if ax is axes[0, -1]:
                half = np.nan_to_num([point.half for point in here])
                ax.errorbar(x, y, half, fmt="none", color=colour, elinewidth=1, capsize=2)
            ax.plot(x, y, marker, color=colour, markersize=6, label=group)
        ax.set(xscale="log", xlabel=x_label)
        costs = [point.costs[panel] for point in points.values()]
        ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if max(costs) < 20 * min(costs) else (1, 3)))
        ax.xaxis.set_major_formatter(FuncFormatter(_short))
        ax.xaxis.set_minor_formatter(NullFormatter())
        ax.tick_params(axis="x", labelsize=8)
        ax.margins(x=0.12)
    first, last = axes[0, 0], axes[0, -1]
    first.set_yscale("symlog", linthresh=1)
    first.set_ylabel("accuracy lost to the teacher (points)")
    lost = [point.lost for point in points.values()]
    first.set_ylim(min(0, *lost) - 0.2, 1.5 * max(1, *lost))
    first.set_yticks([tick for tick in _TICKS if first.get_ylim()[0] <= tick <= first.get_ylim()[1]])
    first.yaxis.set_major_formatter(FuncFormatter(_short))
    first.yaxis.set_minor_formatter(NullFormatter())
    figure.legend(*first.get_legend_handles_labels(), loc="outside upper left", ncols=len(groups), fontsize=9)
    _name(last, points)
    return list(axes[0])


def _short(value: float, _: int | None = None) -> str:
    return EngFormatter(sep="\N{NO-BREAK SPACE}")(value) if value >= 1000 else f"{value:g}"


def _name(ax: Axes, points: Mapping[str, Point]) -> None:
    """Names in a column, in the order of the losses, each with a line to its point."""
    order = sorted(points, key=lambda name: points[name].lost)
    scale = ax.yaxis.get_transform()
    low, high = scale.transform(np.array(ax.get_ylim()))
    wanted = [(scale.transform(np.array([points[name].lost]))[0] - low) / (high - low) for name in order]
    gap = _LINE / (72 * 0.7 * ax.figure.get_figheight())  # in shares of the panel, which is about so high
    for name, height in zip(order, apart(wanted, gap), strict=True):
        ax.annotate(
            name,
            (points[name].costs[-1], points[name].lost),
            (1.06, height),
            textcoords="axes fraction",
            fontsize=9,
            va="center",
            arrowprops={
                "arrowstyle": "-",
                "color": "0.65",
                "linewidth": 0.6,
                "shrinkA": 1,
                "shrinkB": 4,
                "relpos": (0, 0.5),
            },
        )


def apart(wanted: Sequence[float], gap: float) -> list[float]:
    """Rising heights moved as little as a sweep up and one down need, to lie a gap apart and below 1."""
    heights = list(wanted)
    for i in range(1, len(heights)):
        heights[i] = max(heights[i], heights[i - 1] + gap)
    limit = 1.0
    for i in reversed(range(len(heights))):
        heights[i] = min(heights[i], limit)
        limit = heights[i] - gap
    return heights
