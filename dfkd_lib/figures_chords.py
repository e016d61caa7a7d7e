"""Chapter 2's own pictures: chords and points over a teacher's landscape, and accuracy against what a student costs."""

import itertools
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import torch
from jaxtyping import Float
from matplotlib.axes import Axes
from numpy import ndarray
from torch import Tensor, nn

from .chords import hidden_units
from .figures import COLOURS, MARKERS, STYLES
from .models import grid

_RADIUS, _SIDE = 3.0, 201  # `grid`'s square, and its cells for a picture


@torch.no_grad()
def landscape(teacher: nn.Module, ax: Axes) -> None:
    """The teacher's logit difference over the square, its decision boundary, and its hidden units' boundaries."""
    x = grid(_SIDE, _RADIUS).to(next(teacher.parameters()).dtype)
    line = x[:_SIDE, 0, 0, 0].numpy()

    def plane(values: Tensor) -> ndarray:
        return values.reshape(_SIDE, _SIDE).double().numpy()

    logits = teacher(x)
    ax.pcolormesh(
        line, line, plane(logits[:, 1] - logits[:, 0]), cmap="RdBu", vmin=-60, vmax=60, rasterized=True
    )  # pale: points are drawn over it
    for unit in hidden_units(teacher, x).unbind(1):
        if unit.min() < 0 < unit.max():
            ax.contour(line, line, plane(unit), levels=[0], colors="0.55", linewidths=0.4)
    ax.contour(line, line, plane(logits[:, 1] - logits[:, 0]), levels=[0], colors="black", linewidths=1.4)
    ax.set(xlim=(-_RADIUS, _RADIUS), ylim=(-_RADIUS, _RADIUS), aspect=1)
    ax.grid(visible=False)


def chord_and_profile(
    teacher: nn.Module,
    z: Float[ndarray, " 2"],
    x: Float[ndarray, " 2"],
    t: Float[ndarray, " bends"],
    profile: Float[ndarray, " positions"],
    at_bends: Float[ndarray, " bends"],
) -> ndarray:
    """Left, a chord from z to x over the landscape; right, the teacher's logit difference along it, and its bends.

    `profile` stands at evenly spaced positions from 0 to 1.
    """
    figure, axes = plt.subplots(1, 2, figsize=(6.4, 3.1), width_ratios=(1, 1.25))
    landscape(teacher, axes[0])
    axes[0].plot(*np.stack([z, x], 1), color=COLOURS[3], marker="o", linewidth=2)
    for name, point, side in (("z", z, "right"), ("x", x, "left")):
        away = -0.25 if side == "right" else 0.25
        axes[0].text(point[0] + away, point[1], f"${name}$", ha=side, va="center")
    axes[0].set(xlabel="first coordinate", ylabel="second coordinate")
    positions = np.linspace(0, 1, len(profile))
    axes[1].plot(positions, profile, color=COLOURS[0], label="teacher")
    axes[1].plot(t, at_bends, "|", color=COLOURS[0], markersize=8, label="its bends")
    axes[1].plot([0, 1], [profile[0], profile[-1]], color=COLOURS[1], linestyle="--", label="its chord")
    axes[1].axhline(0, color="black", linewidth=0.8)
    axes[1].set(xlabel=r"position $\lambda$ on the chord", ylabel="logit 1 − logit 0")
    axes[1].legend(fontsize=8)
    return axes


def clouds(
    teacher: nn.Module,
    points: Mapping[str, Float[ndarray, "points 2"]],
    mixtures: Mapping[str, Float[ndarray, "points 2"]],
    columns: int = 3,
) -> ndarray:
    """Points over the teacher's landscape, a panel per name; mixtures of them, where a panel has some, as crosses."""
    rows = -(-len(points) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(6.4, 0.4 + 2.3 * rows), sharex=True, sharey=True, squeeze=False)
    for ax in axes.flat[len(points) :]:
        ax.set_axis_off()
    for ax in axes.flat[max(len(points) - columns, 0) : len(points)]:
        ax.tick_params(labelbottom=True)  # the lowest of its column
    for ax, (name, cloud) in zip(axes.flat, points.items(), strict=False):
        landscape(teacher, ax)
        if name in mixtures:
            ax.plot(*mixtures[name].T, "x", color=COLOURS[2], markersize=3, markeredgewidth=0.8)
        ax.plot(*cloud.T, ".", color="black", markersize=2.5)
        ax.set_title(name)
    figure.supxlabel("first coordinate", fontsize=10)
    figure.supylabel("second coordinate", fontsize=10)
    return axes


def against(
    x: str,
    y: str,
    groups: Mapping[str, Sequence[Mapping[str, Sequence[float]]]],
    *,
    x_label: str,
    y_label: str,
    spread: bool = True,
) -> Axes:
    """A column of histories against another: the mean of each group of seeds, and with `spread` their range."""
    ax = plt.figure().add_subplot()
    for (name, group), style in zip(groups.items(), itertools.cycle(STYLES)):
        at = np.array(group[0][x])
        values = np.array([history[y] for history in group])  # (seeds, tests)
        (line,) = ax.plot(at, values.mean(0), style, label=f"{name}, {len(group)} seed{'s' * (len(group) > 1)}")
        if spread:
            ax.fill_between(at, values.min(0), values.max(0), color=line.get_color(), alpha=0.15, linewidth=0)
    ax.set(xlabel=x_label, ylabel=y_label)
    ax.legend(fontsize=9)
    return ax


def means_over(
    x: Sequence[float], groups: Mapping[str, Sequence[tuple[float, float]]], *, x_label: str, y_label: str
) -> Axes:
    """Means with their intervals over a logarithmic x, one line per name, moved apart so that all can be seen."""
    ax = plt.figure().add_subplot()
    for k, ((name, values), marker) in enumerate(zip(groups.items(), itertools.cycle(MARKERS))):
        means, halves = np.array(values).T
        at = np.array(x) * 1.05 ** (k - (len(groups) - 1) / 2)
        ax.errorbar(at, means, yerr=halves, marker=marker, markersize=4, capsize=3, label=name)
    ax.set(xscale="log", xlabel=x_label, ylabel=y_label)
    ax.legend()
    return ax
