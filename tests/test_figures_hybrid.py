"""Chapter 4's own pictures show what they were given."""

import numpy as np
import pytest

from dfkd_lib import figures_hybrid

pytestmark = pytest.mark.usefixtures("drawn")


def labels(ax) -> list[str]:
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_the_diagram_names_every_player_and_no_box_covers_another():
    ax = figures_hybrid.diagram()
    ax.figure.canvas.draw()
    texts = " ".join(text.get_text() for text in ax.texts)
    assert all(name in texts for name in ("generator", "discriminator", "teacher", "student", "collected", "Eq. 14"))
    boxes = [text.get_bbox_patch().get_window_extent() for text in ax.texts if text.get_bbox_patch()]
    assert len(boxes) == 8
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
    words = [text.get_window_extent() for text in ax.texts if not text.get_bbox_patch()]
    assert not any(a.overlaps(b) for a in words for b in boxes)
    frame = ax.figure.bbox
    assert all(frame.x0 <= b.x0 and b.x1 <= frame.x1 and frame.y0 <= b.y0 and b.y1 <= frame.y1 for b in boxes + words)


def test_the_line_shows_the_bound_falling_while_the_distance_rises():
    ax = figures_hybrid.line_of_hybrids(0.4)
    bound, to_synthetic, to_collected = (line.get_ydata() for line in ax.lines)
    assert [bound[0], bound[-1]] == pytest.approx([0.8, 0.4])
    assert [to_synthetic[0], to_synthetic[-1]] == pytest.approx([0, 0.4])
    assert to_collected == pytest.approx(to_synthetic[::-1])
    assert len(labels(ax)) == 3 and ax.get_ylim()[1] > 0.8
    assert "TVD(U, Q)" in labels(ax)[0] and ax.lines[0].get_linestyle() == "--"


def test_loops_mark_the_rare_class_and_the_one_that_takes_all():
    balanced = np.array([[0.1, 0.4, 0.5], [0.3, 0.35, 0.35], [1 / 3] * 3])
    collapsed = np.array([[0.1, 0.4, 0.5], [0.5, 0.4, 0.1], [1e-9, 1.0 - 2e-9, 1e-9]])
    left, right = figures_hybrid.loops({"a": balanced, "b": collapsed}, lowest=1e-3)
    named = [[line.get_label() for line in ax.lines if line.get_label()[0] != "_"] for ax in (left, right)]
    assert named == [["rarest at the start"], ["rarest at the start", "takes all"]]
    [legend] = left.figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["rarest at the start", "takes all"]
    assert left.lines[3].get_ydata() == pytest.approx(3 * balanced[:, 0])
    assert right.lines[3].get_ydata()[-1] == 1e-3 and right.lines[4].get_ydata()[-1] == pytest.approx(3)
    assert [left.get_title(), right.get_title(), left.get_yscale()] == ["a", "b", "log"]


def test_side_by_side_draws_every_line_in_its_panel():
    panels = {name: {key: np.full(4, float(value)) for key, value in (("real", 1), ("fake", 2))} for name in ("a", "b")}
    axes = figures_hybrid.side_by_side(panels, x_label="stage", y_label="share (%)")
    assert [ax.get_title() for ax in axes] == ["a", "b"] and [ax.get_xlabel() for ax in axes] == 2 * ["stage"]
    for ax in axes:
        assert [line.get_ydata().tolist() for line in ax.lines] == [4 * [1], 4 * [2]]
        assert ax.lines[0].get_xdata().tolist() == [1, 2, 3, 4]
        assert len({line.get_linestyle() for line in ax.lines}) == 2
    [legend] = axes[0].figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["real", "fake"]


def test_sweeps_draw_means_with_intervals_over_sorted_values():
    panels = {
        "N": ({100: (3.0, 0.5), 1: (1.0, 0.25), 17: (2.0, 0.1)}, "log"),
        "q": ({0.1: (4.0, 1.0), 0.9: (5.0, 1.0)}, "linear"),
        "r": ({0.5: (1.0, 1.0)}, "linear"),
        "s": ({0.5: (1.0, 1.0)}, "linear"),
    }
    axes = figures_hybrid.sweeps(panels, 2.0, y_label="accuracy (%)")
    assert axes.shape == (2, 3)
    first = axes[0, 0]
    assert first.get_xscale() == "log" and axes[0, 1].get_xscale() == "linear"
    points, usual = first.lines[0], first.lines[-1]
    assert points.get_xdata().tolist() == [1, 17, 100] and points.get_ydata().tolist() == [1, 2, 3]
    assert set(usual.get_ydata()) == {2.0}
    bars = first.collections[0].get_segments()
    assert [bar[:, 1].tolist() for bar in bars] == [[0.75, 1.25], [1.9, 2.1], [2.5, 3.5]]
