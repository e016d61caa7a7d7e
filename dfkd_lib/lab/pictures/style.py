"""The book's one style: colours safe for colour-blind readers, markers, panels."""

from typing import Any

import matplotlib.pyplot as plt
from numpy import ndarray

# Okabe and Ito's colours, in the order of their contrast on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
# Some of them look alike in grey: lines also differ by marker or style.
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


def panels(count: int, columns: int, height: float, **options: Any) -> ndarray:
    """`count` axes of a new figure in rows of `columns`, each `height` inches high."""
    rows = -(-count // columns)
    options |= {"figsize": (6.4, 0.4 + height * rows), "squeeze": False}
    _, axes = plt.subplots(rows, columns, **options)
    for ax in axes.flat[count:]:
        ax.set_axis_off()
    return axes
