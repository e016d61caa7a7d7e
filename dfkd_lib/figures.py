"""Every picture of the book: one style, colours safe for colour-blind readers, axes with units."""

import inspect
import itertools
import textwrap
from collections.abc import Callable, Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch
from numpy import ndarray
from torch import Tensor
from torchvision.utils import make_grid

# Okabe and Ito's colours, in the order of their contrast on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
# In grey some of them are alike: lines have a marker or a style of their own, too.
MARKERS = "os^Dv<>"
STYLES = ("-", "--", "-.", ":")

plt.rcParams.update(
    {
        "figure.figsize": (6.4, 3.6),
        "figure.dpi": 110,
        "figure.constrained_layout.use": True,
        "axes.prop_cycle": plt.cycler(color=COLOURS),
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.titlesize": 10,
        "grid.alpha": 0.3,
        "font.size": 10,
        "legend.frameon": False,
        "savefig.facecolor": "white",
    }
)


def lines(
    x: Sequence[float] | ndarray,
    ys: Mapping[str, Sequence[float] | ndarray],
    *,
    x_label: str,
    y_label: str,
    y_scale: str = "linear",
    ax: Axes | None = None,
) -> Axes:
    """Lines over a common x, one per name: few points are marked, many are told apart by the line's style."""
    ax = ax or plt.figure().add_subplot()
    few = len(x) <= 25
    for (name, y), marker, style in zip(ys.items(), itertools.cycle(MARKERS), itertools.cycle(STYLES)):
        ax.plot(x, y, label=name, **{"marker": marker, "markersize": 4} if few else {"linestyle": style})
    ax.set(xlabel=x_label, ylabel=y_label, yscale=y_scale)
    if len(ys) > 1:
        ax.legend()
    return ax


def curves(histories: Mapping[str, Sequence[Mapping[str, Sequence[float]]]], key: str, *, y_label: str) -> Axes:
    """One key of several histories over stages: the mean of each group, and the range of its seeds."""
    ax = plt.figure().add_subplot()
    for (name, group), style in zip(histories.items(), itertools.cycle(STYLES)):
        x = group[0]["stage"]
        y = np.array([history[key] for history in group])  # (seeds, evaluations)
        (line,) = ax.plot(x, y.mean(0), style, label=f"{name}, {len(group)} seed{'s' if len(group) > 1 else ''}")
        ax.fill_between(x, y.min(0), y.max(0), color=line.get_color(), alpha=0.2, linewidth=0)
    ax.set(xlabel="stage", ylabel=y_label)
    ax.legend()
    return ax


def intervals(rows: Mapping[str, tuple[float, float]], *, x_label: str, zero: bool = False) -> Axes:
    """Means with their intervals, one row per name, first on top; a line at zero where rows are differences."""
    figure = plt.figure(figsize=(6.4, 0.6 + 0.42 * len(rows)))
    ax = figure.add_subplot()
    for row, (mean, half) in enumerate(rows.values()):
        ax.errorbar(mean, -row, xerr=half, fmt="o", color=COLOURS[0], capsize=3)
    if zero:
        ax.axvline(0, color="black", linewidth=0.8)
    ax.set(yticks=-np.arange(len(rows)), yticklabels=list(rows), xlabel=x_label, ylim=(0.5 - len(rows), 0.5))
    return ax


def images(rows: Mapping[str, Float[Tensor, "n channels height width"]], *, columns: int = 12) -> None:
    """The first images of each row, each image on its own grey scale."""
    figure, axes = plt.subplots(len(rows), 1, figsize=(6.4, 0.8 * len(rows)), squeeze=False)
    for ax, (name, x) in zip(axes[:, 0], rows.items(), strict=True):
        grid = make_grid(x[:columns].float(), nrow=columns, normalize=True, scale_each=True, padding=2, pad_value=1)
        ax.imshow(grid.permute(1, 2, 0).numpy(), interpolation="nearest")
        ax.set_axis_off()
        ax.text(-0.01, 0.5, name, transform=ax.transAxes, ha="right", va="center")


def planes(
    values: Mapping[str, Float[ndarray, "side side"]],
    *,
    radius: float,
    label: str,
    points: Mapping[str, Float[ndarray, "points 2"]] | None = None,
    boundary: Float[ndarray, "side side"] | None = None,
    columns: int = 3,
) -> ndarray:
    """Functions on the square (−radius, radius)², rows from below, in common colours; a panel each.

    `points` are drawn over the panel of their name; `boundary` is a function whose zeros are drawn in every panel.
    """
    rows = -(-len(values) // columns)
    width = min(len(values), columns)
    figure, axes = plt.subplots(
        rows,
        width,
        figsize=(6.4, 0.8 + 5.1 / width * rows),
        sharex=True,
        sharey=True,
        squeeze=False,
        subplot_kw={"aspect": 1},
    )
    low, high = (edge(value.min() if edge is min else value.max() for value in values.values()) for edge in (min, max))
    for ax, (name, value) in itertools.zip_longest(axes.flat, values.items(), fillvalue=(None, None)):
        if name is None:
            ax.set_axis_off()
            continue
        line = radius * ((2 * np.arange(len(value)) + 1) / len(value) - 1)
        shown = ax.pcolormesh(line, line, value, cmap="viridis", vmin=low, vmax=high, rasterized=True)
        if boundary is not None:
            ax.contour(line, line, boundary, levels=[0], colors="white", linewidths=1.2)
        if points and name in points:
            ax.plot(*points[name].T, ".", color=COLOURS[1], markersize=2)
        ax.set_title(name)
        ax.grid(visible=False)
    figure.supxlabel("first coordinate", fontsize=10)
    figure.supylabel("second coordinate", fontsize=10)
    figure.colorbar(shown, ax=axes, label=label)
    return axes


class Markdown:
    """Text that a notebook renders and a terminal shows as it is."""

    def __init__(self, text: str):
        self.text = text

    def _repr_markdown_(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return self.text


def table(head: Sequence[str], rows: Sequence[Sequence[object]], *, texts: int = 1) -> Markdown:
    """A table for a notebook's output: so many columns of text first, then figures. Cells hold no ``|``."""
    align = ["---"] * texts + ["---:"] * (len(head) - texts)
    return Markdown("\n".join("| " + " | ".join(map(str, row)) + " |" for row in (head, align, *rows)))


def source(*functions: Callable) -> Markdown:
    """The source of functions or classes of the library, for a notebook's output."""
    code = "\n\n".join(textwrap.dedent(inspect.getsource(f)).rstrip() for f in functions)
    return Markdown(f"```python\n{code}\n```")


def game_diagram() -> Axes:
    """Who sees what: noise, generator, its average, teacher, student, and the two opposite wishes."""
    ax = plt.figure(figsize=(6.4, 2.9)).add_subplot()
    ax.set_axis_off()
    ax.set(xlim=(0, 10), ylim=(0, 5))
    boxes = {
        "noise $z$": (0.9, 3.6),
        "generator $G$\n(trained to widen\nthe gap)": (3.4, 3.6),
        "teacher $T$\n(fixed)": (6.7, 4.3),
        "student $S$\n(trained to close\nthe gap)": (6.7, 1.9),
        "gap between\n$T(x)$ and $S(x)$": (9.1, 3.1),
    }
    boxes["EMA generator\n(average of\npast $G$)"] = (3.4, 1.0)
    for text, (x, y) in boxes.items():
        ax.text(
            x, y, text, ha="center", va="center", fontsize=9, bbox={"boxstyle": "round", "fc": "white", "ec": "0.3"}
        )
    arrows = [
        ((1.55, 3.6), (2.25, 3.6), "black"),
        ((4.5, 3.8), (5.9, 4.25), COLOURS[0]),
        ((4.5, 3.3), (5.6, 2.3), COLOURS[0]),
        ((7.45, 4.2), (8.25, 3.55), "black"),
        ((7.75, 2.1), (8.5, 2.65), "black"),
    ]
    arrows += [
        ((3.4, 2.85), (3.4, 1.75), "0.4"),
        ((4.5, 1.2), (5.6, 1.7), COLOURS[1]),
        ((4.45, 1.5), (6.2, 3.85), COLOURS[1]),
        ((1.1, 3.25), (2.4, 1.3), "black"),
    ]
    for start, end, colour in arrows:
        ax.add_patch(FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=12, color=colour, linewidth=1.3))
    return ax
