"""Each paper's game in one diagram style; what the paper adds is coloured."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch

from ...errors import one_of
from .style import COLOURS

_BLUE, _ORANGE, _GREEN = COLOURS[:3]
Place = tuple[float, float]
Arrow = tuple[Place, Place, str]

_PLAYERS = {
    "noise $z$": (0.9, 3.6),
    "generator $G$\n(maximises\nthe gap)": (3.4, 3.6),
    "teacher $T$\n(fixed)": (6.7, 4.3),
    "student $S$\n(minimises\nthe gap)": (6.7, 1.9),
    "gap between\n$T(x)$ and $S(x)$": (9.1, 3.1),
}
_MOVES: list[Arrow] = [
    ((1.55, 3.6), (2.25, 3.6), "black"),
    ((4.5, 3.8), (5.9, 4.25), "black"),
    ((4.5, 3.3), (5.7, 2.3), "black"),
    ((7.45, 4.2), (8.25, 3.55), "black"),
    ((7.75, 2.1), (8.5, 2.65), "black"),
]
_ADDED = {
    "dfad": ({}, []),
    "arvi": (
        {"mixtures of two\nimages of $G$,\nlabelled by chords": (3.4, 1.0)},
        [((3.4, 2.85), (3.4, 1.75), _ORANGE), ((4.75, 1.2), (5.6, 1.6), _ORANGE)],
    ),
    "mad": (
        {"EMA generator\n(average of\npast $G$)": (3.4, 1.0)},
        [
            ((3.4, 2.85), (3.4, 1.75), _ORANGE),
            ((4.5, 1.2), (5.6, 1.7), _ORANGE),
            ((4.45, 1.5), (6.2, 3.85), _ORANGE),
            ((1.1, 3.25), (2.4, 1.3), _ORANGE),
        ],
    ),
}
_HYBRID = {
    "noise $z$,\nclass $y$": (0.8, 4.3),
    "generator $G$": (0.8, 2.7),
    "few collected\nimages": (0.8, 0.9),
    "discriminator $D$\nreal? which class?": (3.4, 1.8),
    "teacher $T$\n(fixed)": (4.6, 4.3),
    "synthetic images": (6.4, 2.4),
    "collected images,\neach $N$ times": (6.4, 0.9),
    "student $S$,\nunder the\nteacher's classifier": (8.9, 1.7),
}
_HYBRID_MOVES: list[Arrow] = [
    ((0.8, 3.85), (0.8, 3.0), "black"),
    ((1.55, 2.5), (2.2, 2.2), "black"),
    ((1.7, 1.1), (2.2, 1.4), "black"),
    ((7.3, 2.35), (7.8, 2.1), "black"),
    ((7.3, 1.0), (7.8, 1.25), "black"),
    ((4.4, 3.8), (3.7, 2.35), _BLUE),
    ((3.9, 4.2), (1.5, 3.0), _ORANGE),
    ((5.3, 4.1), (8.6, 2.4), _GREEN),
    ((1.7, 2.75), (5.45, 2.48), "0.6"),
    ((1.7, 0.8), (5.45, 0.8), "0.6"),
]
_HYBRID_NOTES = [
    ("features\n(Eq. 8, 9)", (4.75, 3.1), _BLUE),
    ("balance of classes\n(Eq. 10–12)", (2.55, 4.3), _ORANGE),
    ("features (Eq. 14)", (7.95, 3.65), _GREEN),
    ("first: the GAN", (2.4, 0.1), "0.3"),
    ("then: the student", (7.6, 0.1), "0.3"),
]


def game_diagram(paper: str = "mad") -> Axes:
    """Which network sees what in the game of dfad, arvi, mad or hidfd."""
    if one_of("paper", paper, (*_ADDED, "hidfd")) == "hidfd":
        return _drawn(dict.fromkeys(_HYBRID, "0.3"), _HYBRID, _HYBRID_MOVES)
    boxes, arrows = _ADDED[paper]
    edges = dict.fromkeys(_PLAYERS, "0.3") | dict.fromkeys(boxes, _ORANGE)
    return _drawn(edges, _PLAYERS | boxes, [*_MOVES, *arrows], ())


def _drawn(
    edges: dict[str, str],
    boxes: dict[str, Place],
    arrows: Sequence[Arrow],
    notes: Sequence[tuple[str, Place, str]] = _HYBRID_NOTES,
) -> Axes:
    ax = plt.figure(figsize=(6.4, 3.2)).add_subplot()
    ax.set_axis_off()
    ax.set(xlim=(0, 10), ylim=(-0.1, 5))
    middle = {"ha": "center", "va": "center", "fontsize": 9}
    for text, place in boxes.items():
        box = {"boxstyle": "round", "fc": "white", "ec": edges[text]}
        ax.text(*place, text, bbox=box, **middle)
    for text, place, colour in notes:
        ax.text(*place, text, color=colour, **middle)
    look = {"arrowstyle": "-|>", "mutation_scale": 12, "linewidth": 1.3}
    for start, end, colour in arrows:
        ax.add_patch(FancyArrowPatch(start, end, color=colour, **look))
    return ax
