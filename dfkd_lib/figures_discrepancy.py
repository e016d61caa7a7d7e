"""Chapter 1's own pictures, in the book's style."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from .figures import COLOURS, MARKERS

Estimate = tuple[float, float]  # and its standard error


def sides(arms: Mapping[str, Mapping[int, tuple[Estimate, Estimate]]], *, threshold: float) -> Axes:
    """E_G[d] − E_u[d] over stages, one colour per arm: its direct estimate with two standard errors, and as a line the
    covariance that it must equal. The axis is logarithmic beyond ±`threshold`.
    """
    ax = plt.figure().add_subplot()
    for (name, points), colour, marker in zip(arms.items(), COLOURS, MARKERS, strict=False):
        stages = list(points)
        direct, error, covariance = np.array([(left, e, right) for (left, e), (right, _) in points.values()]).T
        ax.plot(stages, covariance, color=colour, label=f"{name}: covariance")
        ax.errorbar(stages, direct, 2 * error, fmt=marker, color=colour, markersize=4, label=f"{name}: direct")
    ax.axhline(0, color="black", linewidth=0.8)
    ax.set_yscale("symlog", linthresh=threshold)
    ax.set(xlabel="stage", ylabel="$E_G[d] - E_u[d]$ (logits)")
    ax.legend(ncols=2, fontsize=9)
    return ax


def over_images(arms: Mapping[str, Sequence[Mapping[str, Sequence[float]]]], key: str, *, y_label: str) -> Axes:
    """One key of histories over the images that the student has seen: the mean of each arm's seeds."""
    ax = plt.figure().add_subplot()
    for (name, group), marker in zip(arms.items(), MARKERS, strict=False):
        mean = np.mean([history[key] for history in group], axis=0)
        ax.plot(group[0]["samples"], mean, label=name, marker=marker, markersize=3)
    ax.set(xlabel="images seen by the student", ylabel=y_label, xscale="log")
    ax.legend()
    return ax
