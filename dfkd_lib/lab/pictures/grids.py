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

Plane = Float[ndarray, "side side"]
Planes = Mapping[str, Plane]
Points = Float[ndarray, "points 2"]
Clouds = Mapping[str, Points]
End = Float[ndarray, " 2"]
Bends = Float[ndarray, " bends"]
Profile = Float[ndarray, " positions"]
_RADIUS, _SIDE = 3.0, 201  # of the square that `landscape` shows, and its cells


def images(rows: Mapping[str, Float[Tensor, "n c h w"]]) -> None:
    """The first twelve images of each row, each scaled from black to white."""
    size = (6.4, 0.8 * len(rows))
    _, axes = plt.subplots(len(rows), 1, figsize=size, squeeze=False)
    look = {"normalize": True, "scale_each": True, "pad_value": 1}
    for ax, (name, x) in zip(axes[:, 0], rows.items(), strict=True):
        shown = make_grid(x[:12].float(), nrow=12, **look)
        ax.imshow(shown.permute(1, 2, 0).numpy(), interpolation="nearest")
        ax.set_axis_off()
        ax.text(-0.01, 0.5, name, transform=ax.transAxes, ha="right", va="center")


def answers(
    images: Float[ndarray, "n h w"], probabilities: Mapping[str, Float[ndarray, "n c"]]
) -> None:
    """Images side by side, and below each its class probabilities, a row per name."""
    shape = rows, _ = 1 + len(probabilities), len(images)
    figure, axes = plt.subplots(*shape, figsize=(6.4, 1.25 * rows), sharey="row")
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
    values: Planes, *, points: Clouds, boundary: Plane, radius: float, label: str
) -> ndarray:
    """Functions on the square (−radius, radius)², rows from below, a panel each.

    `points` are drawn in the panel of their name, the zeros of `boundary` in all.
    """
    width = min(len(values), 3)
    square = {"subplot_kw": {"aspect": 1}, "sharex": True, "sharey": True}
    axes = panels(len(values), width, 5.1 / width, **square)
    every = np.stack(list(values.values()))
    look = {"vmin": every.min(), "vmax": every.max(), "rasterized": True}
    for ax, (name, value) in zip(axes.flat, values.items(), strict=False):
        line = radius * ((2 * np.arange(len(value)) + 1) / len(value) - 1)
        shown = ax.pcolormesh(line, line, value, **look)
        ax.contour(line, line, boundary, levels=[0], colors="white", linewidths=1.2)
        if name in points:
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
    (height,) = teacher(x).double().diff(dim=1).T.reshape(square).numpy()
    look = {"cmap": "RdBu", "vmin": -60, "vmax": 60}  # pale: points are drawn over it
    ax.pcolormesh(line, line, height, rasterized=True, **look)
    for unit in hidden_units(teacher, x).T.reshape(square).double().numpy():
        if unit.min() < 0 < unit.max():
            ax.contour(line, line, unit, levels=[0], colors="0.55", linewidths=0.4)
    ax.contour(line, line, height, levels=[0], colors="black", linewidths=1.4)
    ax.set(xlim=(-_RADIUS, _RADIUS), ylim=(-_RADIUS, _RADIUS), aspect=1)
    ax.grid(visible=False)


def chord_and_profile(
    teacher: nn.Module, z: End, x: End, t: Bends, profile: Profile, at_bends: Bends
) -> ndarray:
    """A chord over the landscape, and the teacher's logit difference along it.

    `profile` has evenly spaced positions from 0 (z) to 1 (x).
    """
    _, axes = plt.subplots(1, 2, figsize=(6.4, 3.1), width_ratios=(1, 1.25))
    left, right = axes
    landscape(teacher, left)
    left.plot(*np.stack([z, x], 1), color=COLOURS[3], marker="o", linewidth=2)
    left.text(z[0] - 0.25, z[1], "$z$", ha="right", va="center")
    left.text(x[0] + 0.25, x[1], "$x$", ha="left", va="center")
    left.set(xlabel="first coordinate", ylabel="second coordinate")
    right.plot(np.linspace(0, 1, len(profile)), profile, label="teacher")
    right.plot(t, at_bends, "|", color=COLOURS[0], markersize=8, label="its bends")
    right.plot([0, 1], profile[[0, -1]], "--", color=COLOURS[1], label="its chord")
    right.axhline(0, color="black", linewidth=0.8)
    right.set(xlabel=r"position $\lambda$ on the chord", ylabel="logit 1 − logit 0")
    right.legend(fontsize=8)
    return axes


def clouds(teacher: nn.Module, points: Clouds, mixtures: Clouds) -> ndarray:
    """Points over the landscape, a panel per name; their mixtures as crosses."""
    axes = panels(len(points), 3, 2.3, sharex=True, sharey=True)
    for ax in axes.flat[max(len(points) - 3, 0) : len(points)]:  # above empty cells
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
