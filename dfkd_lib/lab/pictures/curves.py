"""Lines, seeds' ranges, intervals, and rows of images."""

import itertools
from collections.abc import Iterable, Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from numpy import ndarray
from torch import Tensor
from torchvision.utils import make_grid

from .style import COLOURS, INK, MARKERS, STYLES

Numbers = Sequence[float] | ndarray
Groups = Mapping[str, Sequence[Mapping[str, Sequence[float]]]]  # of histories, by name
Estimate = tuple[float, float]  # and half its interval
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
        ax.axvline(0, color=INK, linewidth=0.8)
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


def images(rows: Mapping[str, Float[Tensor, "n c h w"]]) -> None:
    """The first twelve images of each row, each scaled from black to white."""
    size = (6.4, 0.8 * len(rows))
    _, axes = plt.subplots(len(rows), 1, figsize=size, squeeze=False)
    look = {"normalize": True, "scale_each": True, "pad_value": 1}
    for ax, (name, x) in zip(axes[:, 0], rows.items(), strict=True):
        shown = make_grid(x[:12].float(), nrow=12, **look)
        ax.imshow(shown.permute(1, 2, 0).numpy(), interpolation="none")
        ax.set_axis_off()
        ax.text(-0.01, 0.5, name, transform=ax.transAxes, ha="right", va="center")


def _styled(rows: Mapping) -> Iterable[tuple]:
    """Names and values, each with a marker and a line style."""
    cycles = itertools.cycle(MARKERS), itertools.cycle(STYLES)
    return zip(rows.keys(), rows.values(), *cycles, strict=False)


def _set(ax: Axes, axes: Mapping[str, str], legend: bool = True) -> Axes:
    ax.set(**{name.replace("_", ""): value for name, value in axes.items()})
    if legend:
        ax.legend()
    return ax
