"""Chapter 4's own pictures: who sees what, the line from synthetic to collected data, and shares that find balance."""

import itertools
from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch
from numpy import ndarray

from .figures import COLOURS, STYLES
from .theory import tvd_bound


def diagram() -> Axes:
    """HiDFD's two modules: left the GAN and what the teacher adds, right the student and its two kinds of data."""
    ax = plt.figure(figsize=(6.4, 3.3)).add_subplot()
    ax.set_axis_off()
    ax.set(xlim=(0, 10), ylim=(-0.1, 4.9))
    boxes = {
        "noise $z$,\nclass $y$": (0.8, 4.3),
        "generator $G$": (0.8, 2.7),
        "few collected\nimages": (0.8, 0.9),
        "discriminator $D$\nreal? which class?": (3.4, 1.8),
        "teacher $T$\n(fixed)": (4.6, 4.3),
        "synthetic images": (6.4, 2.4),
        "collected images,\neach $N$ times": (6.4, 0.9),
        "student $S$,\nunder the\nteacher's classifier": (8.9, 1.7),
    }
    for text, (x, y) in boxes.items():
        ax.text(
            x, y, text, ha="center", va="center", fontsize=9, bbox={"boxstyle": "round", "fc": "white", "ec": "0.3"}
        )
    arrows = [
        ((0.8, 3.85), (0.8, 3.0), "black"),
        ((1.55, 2.5), (2.2, 2.2), "black"),
        ((1.7, 1.1), (2.2, 1.4), "black"),
        ((7.3, 2.35), (7.8, 2.1), "black"),
        ((7.3, 1.0), (7.8, 1.25), "black"),
        ((4.4, 3.8), (3.7, 2.35), COLOURS[0]),
        ((3.9, 4.2), (1.5, 3.0), COLOURS[1]),
        ((5.3, 4.1), (8.6, 2.4), COLOURS[2]),
        ((1.7, 2.75), (5.45, 2.48), "0.6"),
        ((1.7, 0.8), (5.45, 0.8), "0.6"),
    ]
    for start, end, colour in arrows:
        ax.add_patch(FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=12, color=colour, linewidth=1.3))
    said = [
        ("features\n(Eq. 8, 9)", (4.22, 3.1), COLOURS[0], "left"),
        ("balance of classes\n(Eq. 10–12)", (2.55, 4.3), COLOURS[1], "center"),
        ("features (Eq. 14)", (7.1, 3.65), COLOURS[2], "left"),
    ]
    for text, (x, y), colour, side in said:
        ax.text(x, y, text, color=colour, fontsize=9, ha=side, va="center")
    ax.axvline(5.05, 0.0, 0.5, color="0.6", linestyle=":", linewidth=1)
    for text, x in (("first: the GAN", 2.4), ("then: the student", 7.6)):
        ax.text(x, 0.1, text, ha="center", va="center", fontsize=9, style="italic", color="0.3")
    return ax


def line_of_hybrids(distance: float) -> Axes:
    """Total variation distances of the hybrid U to its two parts against α, and the paper's bound on one."""
    ax = plt.figure().add_subplot()
    alpha = np.linspace(0, 1, 101)
    bound, to_synthetic, to_collected = tvd_bound(alpha, distance), alpha * distance, (1 - alpha) * distance
    ax.fill_between(alpha, to_synthetic, bound, color=COLOURS[0], alpha=0.1, linewidth=0)
    ax.plot(alpha, bound, "--", color=COLOURS[0], label="the paper's bound on TVD(U, Q)")
    ax.plot(alpha, to_synthetic, color=COLOURS[0], label="TVD(U, Q): to the synthetic data")
    ax.plot(alpha, to_collected, color=COLOURS[1], label="TVD(U, P): to the collected data")
    ax.set(
        xlabel=r"share $\alpha$ of collected data in the hybrid",
        ylabel="total variation distance",
        xlim=(0, 1),
        ylim=(0, 2.9 * distance),
    )
    ax.legend(loc="upper right")
    return ax


def loops(runs: Mapping[str, Float[ndarray, "iterations classes"]], *, lowest: float = 1e-3) -> ndarray:
    """Shares of the classes over iterations, a panel per run, in units of a fair share 1/C; the rarest class at the
    start and the most frequent at the end stand out. Below `lowest` they are drawn at the lower edge.
    """
    figure, axes = plt.subplots(1, len(runs), figsize=(6.4, 3.1), sharey=True, squeeze=False)
    for ax, (name, shares) in zip(axes[0], runs.items(), strict=True):
        fair = np.maximum(shares * shares.shape[1], lowest)
        ax.plot(fair, color="0.6", linewidth=0.7)
        marked = {"rarest at the start": (fair[0].argmin(), COLOURS[1], "-")}
        if fair[-1].max() > 2:
            marked["takes all"] = (fair[-1].argmax(), COLOURS[0], "--")
        for label, (which, colour, style) in marked.items():
            ax.plot(fair[:, which], style, color=colour, linewidth=2, label=label)
        ax.axhline(1, color="black", linewidth=0.8)
        ax.set_title(name)
        ax.set(yscale="log", ylim=(lowest / 1.5, 1.5 * shares.shape[1]))
        ax.set_xlabel("iteration")
    axes[0, 0].set_ylabel("share of a class, over a fair share $1/C$")
    drawn = {line.get_label(): line for ax in axes[0] for line in ax.lines if not line.get_label().startswith("_")}
    figure.legend(drawn.values(), drawn.keys(), loc="outside upper center", ncols=2, fontsize=9)
    return axes[0]


def side_by_side(
    panels: Mapping[str, Mapping[str, Float[ndarray, " stages"]]], *, x_label: str, y_label: str
) -> ndarray:
    """Lines over stages, counted from 1, a panel per name; the same lines in each."""
    figure, axes = plt.subplots(1, len(panels), figsize=(6.4, 3.1), sharey=True, squeeze=False)
    for ax, (name, ys) in zip(axes[0], panels.items(), strict=True):
        for (label, y), style in zip(ys.items(), itertools.cycle(STYLES)):
            ax.plot(np.arange(1, len(y) + 1), y, style, label=label)
        ax.set_title(name)
        ax.set_xlabel(x_label)
    axes[0, 0].set_ylabel(y_label)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=2, fontsize=9)
    return axes[0]


def sweeps(
    panels: Mapping[str, tuple[Mapping[float, tuple[float, float]], str]], usual: float, *, y_label: str
) -> ndarray:
    """Means with intervals against one setting, a panel per setting: its values, and the scale of its axis.

    `usual` is the mean at the usual settings, a dotted line.
    """
    rows = -(-len(panels) // 3)
    figure, axes = plt.subplots(rows, 3, figsize=(6.4, 0.4 + 2.1 * rows), sharey=True, squeeze=False)
    for ax in axes.flat[len(panels) :]:
        ax.set_axis_off()
    for ax, (name, (found, scale)) in zip(axes.flat, panels.items(), strict=False):
        x = sorted(found)
        mean, half = np.transpose([found[value] for value in x])
        ax.errorbar(x, mean, yerr=half, fmt="o-", color=COLOURS[0], capsize=3, linewidth=1, markersize=4)
        ax.axhline(usual, color="black", linewidth=0.8, linestyle=":")
        ax.set(xlabel=name, xscale=scale)
        ax.margins(x=0.1)  # symlog cuts its last point
    for ax in axes[:, 0]:
        ax.set_ylabel(y_label)
    return axes
