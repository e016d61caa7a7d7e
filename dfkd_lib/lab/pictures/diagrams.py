"""Each paper's game in one diagram style; what the paper adds is coloured."""

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch

from ...errors import one_of
from .style import COLOURS, GREY, INK, PAPER

_BLUE, _ORANGE, _GREEN = COLOURS[:3]
Boxes = dict[str, tuple[float, float]]  # text: its centre
Arrows = dict[str, list[tuple[float, float, float, float]]]  # colour: from x, y to x, y

_PLAYERS: Boxes = {
    "noise $z$": (0.9, 3.6), "generator $G$\n(maximises\nthe gap)": (3.4, 3.6),
    "teacher $T$\n(fixed)": (6.7, 4.3), "gap between\n$T(x)$ and $S(x)$": (9.1, 3.1),
    "student $S$\n(minimises\nthe gap)": (6.7, 1.9),
}  # fmt: skip
_MOVES = [(1.55, 3.6, 2.25, 3.6), (4.5, 3.8, 5.9, 4.25), (4.5, 3.3, 5.7, 2.3),
          (7.45, 4.2, 8.25, 3.55), (7.75, 2.1, 8.5, 2.65)]  # fmt: skip
_INTO_THIRD = (3.4, 2.85, 3.4, 1.75)
_ADDED = {
    "dfad": ({}, []),
    "arvi": (
        {"mixtures of two\nimages of $G$,\nlabelled by chords": (3.4, 1.0)},
        [_INTO_THIRD, (4.75, 1.2, 5.6, 1.6)],
    ),
    "mad": (
        {"EMA generator\n(average of\npast $G$)": (3.4, 1.0)},
        [_INTO_THIRD, (4.5, 1.2, 5.6, 1.7), (4.45, 1.5, 6.2, 3.85),
         (1.1, 3.25, 2.4, 1.3)],
    ),
    "bank": (
        {"bank of\nall images\nfound so far": (3.4, 1.0)},
        [_INTO_THIRD, (4.45, 1.1, 5.65, 1.6)],
    ),
}  # fmt: skip
_HYBRID: Boxes = {
    "noise $z$,\nclass $y$": (0.8, 4.3), "generator $G$": (0.8, 2.7),
    "few collected\nimages": (0.8, 0.9), "teacher $T$\n(fixed)": (4.6, 4.3),
    "discriminator $D$\nreal? which class?": (3.4, 1.8), "synthetic images": (6.4, 2.4),
    "collected images,\neach $N$ times": (6.4, 0.9),
    "student $S$,\nunder the\nteacher's classifier": (8.9, 1.7),
}  # fmt: skip
_HYBRID_MOVES: Arrows = {
    INK: [(0.8, 3.85, 0.8, 3.0), (1.55, 2.5, 2.2, 2.2), (1.7, 1.1, 2.2, 1.4),
              (7.3, 2.35, 7.8, 2.1), (7.3, 1.0, 7.8, 1.25)],
    _BLUE: [(4.4, 3.8, 3.7, 2.35)], _ORANGE: [(3.9, 4.2, 1.5, 3.0)],
    _GREEN: [(5.3, 4.1, 8.6, 2.4)],
    GREY: [(1.7, 2.75, 5.45, 2.48), (1.7, 0.8, 5.45, 0.8)],
}  # fmt: skip
_HYBRID_NOTES = {
    "features\n(Eq. 8, 9)": (4.75, 3.1, _BLUE), "first: the GAN": (2.4, 0.1, INK),
    "features (Eq. 14)": (7.95, 3.65, _GREEN), "then: the student": (7.6, 0.1, INK),
    "balance of classes\n(Eq. 10–12)": (2.55, 4.3, _ORANGE),
}  # fmt: skip


def game_diagram(paper: str = "mad") -> Axes:
    """Which network sees what in the game of dfad, arvi, mad, hidfd, or of a bank."""
    if one_of("paper", paper, (*_ADDED, "hidfd")) == "hidfd":
        added, boxes, arrows, notes = {}, _HYBRID, _HYBRID_MOVES, _HYBRID_NOTES
    else:
        added, moves = _ADDED[paper]
        boxes, arrows, notes = _PLAYERS | added, {INK: _MOVES, _ORANGE: moves}, {}
    bottom = max(min(y for _, y in boxes.values()) - 1.1, -0.1)
    ax = plt.figure(figsize=(6.4, 3.2 * (5 - bottom) / 5.1)).add_subplot()
    ax.set_axis_off()
    ax.set(xlim=(0, 10), ylim=(bottom, 5))
    middle = {"ha": "center", "va": "center", "fontsize": 9}
    for text, place in boxes.items():
        edge = _ORANGE if text in added else INK
        box = {"boxstyle": "round", "fc": PAPER, "ec": edge}
        ax.text(*place, text, bbox=box, **middle)
    for text, (*place, colour) in notes.items():
        ax.text(*place, text, color=colour, **middle)
    look = {"arrowstyle": "-|>", "mutation_scale": 12, "linewidth": 1.3}
    for colour, moves in arrows.items():
        for move in moves:
            ax.add_patch(FancyArrowPatch(move[:2], move[2:], color=colour, **look))
    return ax
