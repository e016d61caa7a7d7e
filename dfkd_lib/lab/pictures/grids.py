"""Images, answers, and functions on the plane."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import torch
from jaxtyping import Float
from matplotlib.axes import Axes
from numpy import ndarray
from torch import Tensor, nn
from torchvision.utils import make_grid

from ...models import grid
from ..chords import hidden_units
from .style import COLOURS, panels

Points = Float[ndarray, "points 2"]
_RADIUS, _SIDE = 3.0, 201  # of the square that `landscape` shows, and its cells


def images(
    rows: Mapping[str, Float[Tensor, "n channels height width"]], *, columns: int = 12
) -> None:
    """The first images of each row, each scaled from black to white."""
    size = (6.4, 0.8 * len(rows))
    _, axes = plt.subplots(len(rows), 1, figsize=size, squeeze=False)
    look = {"normalize": True, "scale_each": True, "padding": 2, "pad_value": 1}
    for ax, (name, x) in zip(axes[:, 0], rows.items(), strict=True):
        shown = make_grid(x[:columns].float(), nrow=columns, **look)
        ax.imshow(shown.permute(1, 2, 0).numpy(), interpolation="nearest")
        ax.set_axis_off()
        place = {"transform": ax.transAxes, "ha": "right", "va": "center"}
        ax.text(-0.01, 0.5, name, **place)


def answers(
    images: Float[ndarray, "images height width"],
    probabilities: Mapping[str, Float[ndarray, "images classes"]],
) -> None:
    """Images side by side, and below each its class probabilities, a row per name."""
    rows = 1 + len(probabilities)
    size = (6.4, 1.25 * rows)
    figure, axes = plt.subplots(rows, len(images), figsize=size, sharey="row")
    for ax, image in zip(axes[0], images, strict=True):
        ax.imshow(image, cmap="gray", interpolation="nearest")
        ax.set_axis_off()
    for row, name, colour in zip(axes[1:], probabilities, COLOURS, strict=False):
        for ax, bars in zip(row, probabilities[name], strict=True):
            ax.bar(np.arange(len(bars)), bars, color=colour)
            ax.set(ylim=(0, 1.02), xticks=np.arange(0, len(bars), 3))
            ax.tick_params(labelsize=8)
        row[0].set_ylabel(name, fontsize=8)
    figure.supxlabel("class", fontsize=9)
    figure.supylabel("probability", fontsize=9)


def planes(
    values: Mapping[str, Float[ndarray, "side side"]],
    *,
    radius: float,
    label: str,
    points: Mapping[str, Points] | None = None,
    boundary: Float[ndarray, "side side"] | None = None,
    columns: int = 3,
) -> ndarray:
    """Functions on the square (−radius, radius)², rows from below, a panel each.

    `points` are drawn in the panel of their name, the zeros of `boundary` in all.
    """
    width = min(len(values), columns)
    square = {"subplot_kw": {"aspect": 1}, "sharex": True, "sharey": True}
    axes = panels(len(values), width, 5.1 / width, **square)
    low = min(value.min() for value in values.values())
    high = max(value.max() for value in values.values())
    look = {"cmap": "viridis", "vmin": low, "vmax": high, "rasterized": True}
    for ax, (name, value) in zip(axes.flat, values.items(), strict=False):
        line = radius * ((2 * np.arange(len(value)) + 1) / len(value) - 1)
        shown = ax.pcolormesh(line, line, value, **look)
        if boundary is not None:
            white = {"colors": "white", "linewidths": 1.2}
            ax.contour(line, line, boundary, levels=[0], **white)
        if points and name in points:
            ax.plot(*points[name].T, ".", color=COLOURS[1], markersize=2)
        ax.set_title(name)
        ax.grid(visible=False)
    _coordinates(axes)
    axes[0, 0].figure.colorbar(shown, ax=axes, label=label)
    return axes


@torch.no_grad()
def landscape(teacher: nn.Module, ax: Axes) -> None:
    """The teacher's logit difference, decision boundary and activation boundaries."""
    x = grid(_SIDE, _RADIUS).to(next(teacher.parameters()).dtype)
    line = x[:_SIDE, 0, 0, 0].numpy()
    square = (-1, _SIDE, _SIDE)
    logits = teacher(x).double()
    (height,) = (logits[:, 1] - logits[:, 0]).reshape(square).numpy()
    look = {"cmap": "RdBu", "vmin": -60, "vmax": 60}  # pale: points are drawn over it
    ax.pcolormesh(line, line, height, rasterized=True, **look)
    for unit in hidden_units(teacher, x).T.reshape(square).double().numpy():
        if unit.min() < 0 < unit.max():
            ax.contour(line, line, unit, levels=[0], colors="0.55", linewidths=0.4)
    ax.contour(line, line, height, levels=[0], colors="black", linewidths=1.4)
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
    """A chord over the landscape, and the teacher's logit difference along it.

    `profile` has evenly spaced positions from 0 (z) to 1 (x).
    """
    _, axes = plt.subplots(1, 2, figsize=(6.4, 3.1), width_ratios=(1, 1.25))
    left, right = axes
    landscape(teacher, left)
    left.plot(*np.stack([z, x], 1), color=COLOURS[3], marker="o", linewidth=2)
    for name, point, away in (("$z$", z, -0.25), ("$x$", x, 0.25)):
        align = {"ha": "right" if away < 0 else "left", "va": "center"}
        left.text(point[0] + away, point[1], name, **align)
    left.set(xlabel="first coordinate", ylabel="second coordinate")
    right.plot(np.linspace(0, 1, len(profile)), profile, label="teacher")
    ticks = {"color": COLOURS[0], "markersize": 8, "label": "its bends"}
    right.plot(t, at_bends, "|", **ticks)
    ends = [profile[0], profile[-1]]
    right.plot([0, 1], ends, "--", color=COLOURS[1], label="its chord")
    right.axhline(0, color="black", linewidth=0.8)
    right.set(xlabel=r"position $\lambda$ on the chord", ylabel="logit 1 − logit 0")
    right.legend(fontsize=8)
    return axes


def clouds(
    teacher: nn.Module,
    points: Mapping[str, Points],
    mixtures: Mapping[str, Points],
    columns: int = 3,
) -> ndarray:
    """Points over the landscape, a panel per name; their mixtures as crosses."""
    axes = panels(len(points), columns, 2.3, sharex=True, sharey=True)
    lowest = slice(max(len(points) - columns, 0), len(points))
    for ax in axes.flat[lowest]:
        ax.tick_params(labelbottom=True)
    for ax, (name, cloud) in zip(axes.flat, points.items(), strict=False):
        landscape(teacher, ax)
        if name in mixtures:
            cross = {"color": COLOURS[2], "markersize": 3, "markeredgewidth": 0.8}
            ax.plot(*mixtures[name].T, "x", **cross)
        ax.plot(*cloud.T, ".", color="black", markersize=2.5)
        ax.set_title(name)
    _coordinates(axes)
    return axes


def _coordinates(axes: ndarray) -> None:
    axes[0, 0].figure.supxlabel("first coordinate", fontsize=10)
    axes[0, 0].figure.supylabel("second coordinate", fontsize=10)
