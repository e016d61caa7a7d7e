"""Lines, seeds' ranges, and intervals."""

import itertools
from collections.abc import Iterable, Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from numpy import ndarray

from .style import COLOURS, MARKERS, STYLES

Numbers = Sequence[float] | ndarray
Histories = Sequence[Mapping[str, Sequence[float]]]
Estimate = tuple[float, float]  # and its standard error, or half its interval


def lines(
    x: Numbers,
    ys: Mapping[str, Numbers],
    *,
    x_label: str,
    y_label: str,
    x_scale: str = "linear",
    y_scale: str = "linear",
    ax: Axes | None = None,
) -> Axes:
    """Lines over a common x, one per name; up to 25 points are marked."""
    ax = ax or plt.figure().add_subplot()
    few = len(x) <= 25
    for name, y, marker, style in _styled(ys):
        look = {"marker": marker, "markersize": 4} if few else {"linestyle": style}
        ax.plot(x, y, label=name, **look)
    ax.set(xlabel=x_label, ylabel=y_label, xscale=x_scale, yscale=y_scale)
    if len(ys) > 1:
        ax.legend()
    return ax


def curves(
    groups: Mapping[str, Histories],
    key: str,
    *,
    y_label: str,
    x: str = "stage",
    x_label: str = "stage",
    x_scale: str = "linear",
    spread: bool = True,
) -> Axes:
    """A key of histories against another: each group's mean, and the range of seeds."""
    ax = plt.figure().add_subplot()
    for name, group, _, style in _styled(groups):
        at = np.array(group[0][x])
        y = np.array([history[key] for history in group])  # (seeds, tests)
        label = f"{name}, {len(group)} seed{'s' * (len(group) > 1)}"
        (line,) = ax.plot(at, y.mean(0), style, label=label)
        if spread:
            look = {"color": line.get_color(), "alpha": 0.2, "linewidth": 0}
            ax.fill_between(at, y.min(0), y.max(0), **look)
    ax.set(xlabel=x_label, ylabel=y_label, xscale=x_scale)
    ax.legend()
    return ax


def intervals(
    rows: Mapping[str, Estimate], *, x_label: str, zero: bool = False
) -> Axes:
    """Means with their intervals, a row per name; `zero` draws a line at zero."""
    ax = plt.figure(figsize=(6.4, 0.6 + 0.42 * len(rows))).add_subplot()
    for row, (mean, half) in enumerate(rows.values()):
        ax.errorbar(mean, -row, xerr=half, fmt="o", color=COLOURS[0], capsize=3)
    if zero:
        ax.axvline(0, color="black", linewidth=0.8)
    ax.set(yticks=-np.arange(len(rows)), yticklabels=list(rows), xlabel=x_label)
    ax.set_ylim(0.5 - len(rows), 0.5)
    return ax


def means_over(
    x: Sequence[float],
    groups: Mapping[str, Sequence[Estimate]],
    *,
    x_label: str,
    y_label: str,
    x_scale: str = "log",
    ax: Axes | None = None,
) -> Axes:
    """Means with their intervals over x, one line per name, moved apart."""
    ax = ax or plt.figure().add_subplot()
    for k, (name, values, marker, _) in enumerate(_styled(groups)):
        means, halves = np.array(values).T
        at = np.array(x) * 1.05 ** (k - (len(groups) - 1) / 2)
        look = {"marker": marker, "markersize": 4, "capsize": 3}
        ax.errorbar(at, means, yerr=halves, label=name, **look)
    ax.set(xscale=x_scale, xlabel=x_label, ylabel=y_label)
    if len(groups) > 1:
        ax.legend()
    return ax


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
        colour = drawn.get_color()
        band = {"color": colour, "alpha": 0.25, "linewidth": 0}
        ax.fill_between(at, line - 2 * width, line + 2 * width, **band)
        look = {"fmt": marker, "color": colour, "markersize": 3, "capsize": 3}
        ax.errorbar(at, direct, 2 * error, label=f"{name}: direct", **look)
    ax.axhline(0, color="black", linewidth=0.8)
    ax.set_yscale("symlog", linthresh=threshold)
    ax.set(xlabel="stage", ylabel="$E_G[d] - E_u[d]$ (logits)")
    ax.legend(ncols=2, fontsize=9)
    return ax


def _styled(rows: Mapping) -> Iterable[tuple]:
    """Names and values, each with a marker and a line style."""
    cycles = itertools.cycle(MARKERS), itertools.cycle(STYLES)
    return zip(rows.keys(), rows.values(), *cycles, strict=False)
