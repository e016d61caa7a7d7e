"""The book's one style: colours for colour-blind readers, panels; tables and code."""

import inspect
import sys
import textwrap
from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
from numpy import ndarray

# The rendered book puts SVG into its pages and replaces these two, and the colours, by
# the theme's (tools/book_html.py).
INK, PAPER, GREY = "#2b2b2b", "#ffffff", "#808080"
# Okabe and Ito's colours, in the order of their contrast on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", INK)
# Some of them look alike in grey: lines also differ by marker or style.
MARKERS = "os^Dv<>"
STYLES = ("-", "--", "-.", ":")

plt.rcParams.update({
    "figure.figsize": (6.4, 3.6), "figure.dpi": 110, "savefig.facecolor": PAPER,
    "figure.constrained_layout.use": True, "legend.frameon": False, "font.size": 10,
    "axes.prop_cycle": plt.cycler(color=COLOURS), "axes.titlesize": 10,
    "axes.spines.top": False, "axes.spines.right": False,
    "axes.grid": True, "grid.alpha": 0.3, "svg.hashsalt": "dfkd_lib",
    **dict.fromkeys(["text.color", "axes.labelcolor", "axes.edgecolor"], INK),
    **dict.fromkeys(["xtick.color", "ytick.color", "grid.color"], INK),
})  # fmt: skip

if "ipykernel" in sys.modules:  # without the date, the same figure is the same file
    from matplotlib_inline.backend_inline import set_matplotlib_formats

    set_matplotlib_formats("svg", metadata={"Date": None})


def panels(count: int, columns: int, height: float, **options: Any) -> ndarray:
    """`count` axes of a new figure in rows of `columns`, each `height` inches high."""
    rows = -(-count // columns)
    options |= {"figsize": (6.4, 0.4 + height * rows), "squeeze": False}
    _, axes = plt.subplots(rows, columns, **options)
    for ax in axes.flat[count:]:
        ax.set_axis_off()
    return axes


class Markdown:
    """Text that a notebook renders and a terminal shows unchanged."""

    def __init__(self, text: str):
        self.text = text

    def __repr__(self) -> str:
        return self.text

    _repr_markdown_ = __repr__


def table(
    head: Sequence, rows: Sequence[Sequence], *, caption: str = "", texts: int = 1
) -> Markdown:
    """A table under its caption: the first `texts` columns left-aligned, others right.

    A number and its interval stay on one line.
    """
    align = ["---"] * texts + ["---:"] * (len(head) - texts)
    lines = ["| " + " | ".join(map(str, row)) + " |" for row in (head, align, *rows)]
    above = [f"*{caption}*\n"] if caption else []
    return Markdown("\n".join([*above, *lines]).replace(" ± ", "\u00a0±\u00a0"))


def source(*objects: Any) -> Markdown:
    """The source code of functions, methods and classes."""
    code = [textwrap.dedent(inspect.getsource(one)).rstrip() for one in objects]
    return Markdown("```python\n" + "\n\n\n".join(code) + "\n```")
