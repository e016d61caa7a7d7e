"""Chapter 1's own pictures, in the book's style."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from .figures import COLOURS, MARKERS

Estimate = tuple[float, float]  # and its standard error


def sides(arms: Mapping[str, Mapping[int, tuple[Estimate, Estimate]]], *, threshold: float) -> Axes:
    """E_G[d] − E_u[d] over stages, one colour per arm: its direct estimate as points, and as a line the covariance that
    it must equal, with two standard errors each. The axis is logarithmic beyond ±`threshold`.
    """
    ax = plt.figure().add_subplot()
    for (name, points), colour, marker in zip(arms.items(), COLOURS, MARKERS, strict=False):
        stages = list(points)
        (direct, covariance), (error, width) = np.array(list(points.values())).transpose(2, 1, 0)
        ax.plot(stages, covariance, color=colour, label=f"{name}: covariance")
        ax.fill_between(stages, covariance - 2 * width, covariance + 2 * width, color=colour, alpha=0.25, linewidth=0)
        ax.errorbar(
            stages, direct, 2 * error, fmt=marker, color=colour, markersize=3, capsize=3, label=f"{name}: direct"
        )
    ax.axhline(0, color="black", linewidth=0.8)
    ax.set_yscale("symlog", linthresh=threshold)
    ax.set(xlabel="stage", ylabel="$E_G[d] - E_u[d]$ (logits)")
    ax.legend(ncols=2, fontsize=9)
    return ax


def dashed(ax: Axes) -> None:
    """Widen the first half of the lines and dash the others, so that what they lie on shows through; no two alike."""
    drawn = ax.get_lines()
    half = len(drawn) // 2
    for k, line in enumerate(drawn):
        if k < half:
            line.set(linestyle="-", linewidth=5 - 2 * k)
        else:
            line.set_linestyle((0, (3 if k == half else 1, 2)))
    ax.legend()


def over_images(arms: Mapping[str, Sequence[Mapping[str, Sequence[float]]]], key: str, *, y_label: str) -> Axes:
    """One key of histories over the images that the student has seen: the mean of each arm's seeds."""
    ax = plt.figure().add_subplot()
    for (name, group), marker in zip(arms.items(), MARKERS, strict=False):
        mean = np.mean([history[key] for history in group], axis=0)
        ax.plot(group[0]["samples"], mean, label=name, marker=marker, markersize=3)
    ax.set(xlabel="images seen by the student", ylabel=y_label, xscale="log")
    ax.legend()
    return ax
