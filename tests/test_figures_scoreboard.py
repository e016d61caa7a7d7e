"""The scoreboard's picture shows every method once per panel, and its name beside it."""

import math

import pytest
from matplotlib.text import Text

from dfkd_lib import figures_scoreboard
from dfkd_lib.figures_scoreboard import Point, apart, lost_against_cost

POINTS = {
    "KD": Point("original images", (1000, 0.01), 0.2, 0.1),
    "MAD": Point("no images", (2000, 0.02), 2.0, 0.5),
    "ABM": Point("no images", (1000, 0.03), 2.1, math.nan),
    "above its teacher": Point("no images", (4000, 3.0), -0.4, 0.2),
}


pytestmark = pytest.mark.usefixtures("drawn")


def test_every_method_is_a_point_in_every_panel():
    axes = lost_against_cost(POINTS, x_labels=("images", "hours"))
    for panel, ax in enumerate(axes):
        drawn = {tuple(xy) for line in ax.lines if line.get_marker() in "os" for xy in line.get_xydata()}
        assert drawn == {(p.costs[panel], p.lost) for p in POINTS.values()}
        assert ax.get_xscale() == "log"
        low, high = ax.get_ylim()
        assert all(low < p.lost < high for p in POINTS.values())
    assert [ax.get_xlabel() for ax in axes] == ["images", "hours"]
    assert axes[0].get_ylabel() == "accuracy lost to the teacher (points)"


def test_groups_have_their_colour_and_their_marker():
    axes = lost_against_cost(POINTS, x_labels=("images", "hours"))
    [legend] = axes[0].figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["original images", "no images"]
    lines = [line for line in axes[0].lines if line.get_marker() in "os"]
    assert len({line.get_color() for line in lines}) == len({line.get_marker() for line in lines}) == 2
    assert [len(line.get_xdata()) for line in lines] == [1, 3]


def test_intervals_stand_in_the_last_panel_alone():
    first, last = lost_against_cost(POINTS, x_labels=("images", "hours"))
    assert not first.containers
    ends = {tuple(map(tuple, s.round(6))) for c in last.containers for s in c[2][0].get_segments()}
    assert {((0.01, 0.1), (0.01, 0.3)), ((0.02, 1.5), (0.02, 2.5)), ((0.03, 2.1), (0.03, 2.1))} <= ends


def test_names_lie_in_the_order_of_the_losses_and_point_at_their_points():
    ax = lost_against_cost(POINTS, x_labels=("images", "hours"))[-1]
    names = [text.get_text() for text in sorted(ax.texts, key=lambda text: text.xyann[1])]
    assert names == sorted(POINTS, key=lambda name: POINTS[name].lost)
    assert {text.get_text(): text.xy for text in ax.texts} == {n: (p.costs[1], p.lost) for n, p in POINTS.items()}


def test_names_do_not_overlap():
    crowd = {f"method {i}": Point("no images", (1000, 0.01 * (i + 1)), 2 + 0.001 * i, 0.1) for i in range(20)}
    ax = lost_against_cost(crowd, x_labels=("images", "hours"))[-1]
    ax.figure.canvas.draw()
    boxes = [Text.get_window_extent(text) for text in ax.texts]  # without their lines
    boxes.sort(key=lambda box: box.y0)
    assert all(low.y1 <= high.y0 + 2 for low, high in zip(boxes, boxes[1:], strict=False))
    assert all(box.x1 <= ax.figure.bbox.x1 for box in boxes)


@pytest.mark.parametrize(
    ("wanted", "placed"),
    [([0.1, 0.5], [0.1, 0.5]), ([0.5, 0.5], [0.5, 0.6]), ([0.95, 1.0, 1.0], [0.8, 0.9, 1.0]), ([], [])],
)
def test_apart(wanted, placed):
    assert apart(wanted, 0.1) == pytest.approx(placed)


def test_a_single_method_and_a_single_cost():
    [ax] = lost_against_cost({"MAD": POINTS["MAD"]}, x_labels=("images",))
    assert [text.get_text() for text in ax.texts] == ["MAD"]
    assert figures_scoreboard._short(200_000) == "200\N{NO-BREAK SPACE}k" and figures_scoreboard._short(0.05) == "0.05"
