"""Pictures of chapter 0 alone."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
from jaxtyping import Float
from numpy import ndarray

from .figures import COLOURS


def answers(
    images: Float[ndarray, "images height width"], probabilities: Mapping[str, Float[ndarray, "images classes"]]
) -> None:
    """Images side by side, and below each the class probabilities it is given; a row of bars per name."""
    rows, columns = 1 + len(probabilities), len(images)
    figure, axes = plt.subplots(rows, columns, figsize=(6.4, 1.25 * rows), sharey="row", squeeze=False)
    for ax, image in zip(axes[0], images, strict=True):
        ax.imshow(image, cmap="gray", interpolation="nearest")
        ax.set_axis_off()
    for row, (colour, (name, p)) in zip(axes[1:], zip(COLOURS, probabilities.items(), strict=False), strict=True):
        for ax, bars in zip(row, p, strict=True):
            ax.bar(np.arange(len(bars)), bars, color=colour)
            ax.set(ylim=(0, 1.02), xticks=np.arange(0, len(bars), 3))
            ax.tick_params(labelsize=8)
        row[0].set_ylabel(name, fontsize=8)
    figure.supxlabel("class", fontsize=9)
    figure.supylabel("probability", fontsize=9)


def likeness(matrix: Float[ndarray, "classes classes"], *, label: str) -> None:
    """What each class is mistaken for: a row per class; the diagonal is left out."""
    figure = plt.figure(figsize=(4.6, 3.8))
    ax = figure.add_subplot()
    off = np.where(np.eye(len(matrix), dtype=bool), np.nan, matrix)
    shown = ax.imshow(off, cmap="viridis", vmin=0)
    ticks = np.arange(len(matrix))
    ax.set(xlabel="other class", ylabel="true class", xticks=ticks, yticks=ticks)
    ax.grid(visible=False)
    figure.colorbar(shown, ax=ax, label=label)
