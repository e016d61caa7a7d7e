"""Lines, seeds' ranges, intervals, and the scoreboard's losses against costs."""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import EngFormatter, NullFormatter, SymmetricalLogLocator
from numpy import ndarray

from .style import COLOURS, MARKERS, STYLES

Numbers = Sequence[float] | ndarray
Groups = Mapping[str, Sequence[Mapping[str, Sequence[float]]]]  # of histories, by name
Estimate = tuple[float, float]  # and its standard error, or half its interval
Estimates = Mapping[str, Sequence[Estimate]]


def lines(
    x: Numbers, ys: Mapping[str, Numbers], *, ax: Axes | None = None, **axes: str
) -> Axes:
    """Lines over a common x, one per name; up to 25 points are marked.

    `axes` of this and the next are x_label, y_label, x_scale and y_scale.
    """
    ax = ax or plt.figure().add_subplot()
    for name, y, marker, style in _styled(ys):
        few = {"marker": marker, "markersize": 4}
        ax.plot(x, y, label=name, **(few if len(x) <= 25 else {"linestyle": style}))
    return _set(ax, axes, legend=len(ys) > 1)


def curves(
    groups: Groups, key: str, *, x: str = "stage", spread: bool = True, **axes: str
) -> Axes:
    """A key of histories against another: each group's mean, and the range of seeds."""
    ax = plt.figure().add_subplot()
    for name, group, _, style in _styled(groups):
        at, y = group[0][x], np.array([one[key] for one in group])  # (seeds, tests)
        label = f"{name}, {len(group)} seed{'s' * (len(group) > 1)}"
        (line,) = ax.plot(at, y.mean(0), style, label=label)
        if spread:
            look = {"color": line.get_color(), "alpha": 0.2, "linewidth": 0}
            ax.fill_between(at, y.min(0), y.max(0), **look)
    return _set(ax, {"x_label": "stage"} | axes)


def intervals(
    rows: Mapping[str, Estimate], *, x_label: str, zero: bool = False
) -> Axes:
    """Means with their intervals, a row per name; `zero` draws a line at zero."""
    ax = plt.figure(figsize=(6.4, 0.6 + 0.42 * len(rows))).add_subplot()
    means, halves = np.array(list(rows.values())).reshape(-1, 2).T
    at = -np.arange(len(rows))
    ax.errorbar(means, at, xerr=halves, fmt="o", color=COLOURS[0], capsize=3)
    if zero:
        ax.axvline(0, color="black", linewidth=0.8)
    ax.set(yticks=at, yticklabels=list(rows), xlabel=x_label)
    ax.set_ylim(0.5 - len(rows), 0.5)
    return ax


def means_over(
    x: Sequence[float], groups: Estimates, *, ax: Axes | None = None, **axes: str
) -> Axes:
    """Means with their intervals over x, one line per name, moved apart."""
    ax = ax or plt.figure().add_subplot()
    for k, (name, values, marker, _) in enumerate(_styled(groups)):
        means, halves = np.array(values).T
        at = np.array(x) * 1.05 ** (k - (len(groups) - 1) / 2)
        look = {"marker": marker, "markersize": 4, "capsize": 3}
        ax.errorbar(at, means, yerr=halves, label=name, **look)
    return _set(ax, {"x_scale": "log"} | axes, legend=len(groups) > 1)


def sides(
    groups: Mapping[str, Mapping[int, tuple[Estimate, Estimate]]], *, threshold: float
) -> Axes:
    """E_G[d] − E_u[d] over stages: direct estimates as points, covariances as lines.

    Bars and bands are two standard errors; logarithmic beyond ±`threshold`.
    """
    ax = plt.figure().add_subplot()
    for name, points, marker, _ in _styled(groups):
        at, pairs = list(points), np.array(list(points.values()))
        (direct, error), (line, width) = pairs.transpose(1, 2, 0)
        (drawn,) = ax.plot(at, line, label=f"{name}: covariance")
        band = {"color": drawn.get_color(), "alpha": 0.25, "linewidth": 0}
        ax.fill_between(at, line - 2 * width, line + 2 * width, **band)
        look = {"fmt": marker, "color": drawn.get_color(), "markersize": 3}
        ax.errorbar(at, direct, 2 * error, label=f"{name}: direct", capsize=3, **look)
    ax.axhline(0, color="black", linewidth=0.8)
    ax.set_yscale("symlog", linthresh=threshold)
    ax.set(xlabel="stage", ylabel="$E_G[d] - E_u[d]$ (logits)")
    ax.legend(ncols=2, fontsize=9)
    return ax


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
    groups = dict.fromkeys(point.group for point in points.values())
    for group, marker, colour in zip(groups, MARKERS, COLOURS, strict=False):
        of_group = np.array([p[1:] for p in points.values() if p.group == group]).T
        ax.errorbar(*of_group, fmt=marker, color=colour, label=group, elinewidth=1)
    order = sorted(points, key=lambda name: points[name].lost)
    for rank, name in enumerate(order, 1):
        near = {"textcoords": "offset points", "fontsize": 8}
        ax.annotate(str(rank), points[name][1:3], (4, 3), **near)
    names = "\n".join(f"{rank} {name}" for rank, name in enumerate(order, 1))
    ax.annotate(names, (1.02, 1), xycoords="axes fraction", va="top", fontsize=9)
    ax.set(xscale="log", xlabel=x_label, ylabel="accuracy lost to the teacher (points)")
    ax.set_yscale("symlog", linthresh=1)
    ax.yaxis.set_major_locator(SymmetricalLogLocator(None, (1, 2, 5), 1, 10))
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter(EngFormatter(sep="\N{NO-BREAK SPACE}"))
        axis.set_minor_formatter(NullFormatter())
    ax.figure.legend(loc="outside upper left", ncols=len(groups), fontsize=9)
    return ax


def _styled(rows: Mapping) -> Iterable[tuple]:
    """Names and values, each with a marker and a line style."""
    cycles = itertools.cycle(MARKERS), itertools.cycle(STYLES)
    return zip(rows.keys(), rows.values(), *cycles, strict=False)


def _set(ax: Axes, axes: Mapping[str, str], legend: bool = True) -> Axes:
    ax.set(**{name.replace("_", ""): value for name, value in axes.items()})
    if legend:
        ax.legend()
    return ax
