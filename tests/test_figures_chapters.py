"""Chapter 1's and 2's own pictures show what they were given."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from dfkd_lib import chords, figures_chords, figures_discrepancy
from dfkd_lib.models import MLP

HISTORIES = [{"samples": [10, 20], "accuracy": [1.0, 3.0]}, {"samples": [10, 20], "accuracy": [3.0, 5.0]}]


pytestmark = pytest.mark.usefixtures("drawn")


@pytest.fixture
def teacher():
    torch.manual_seed(0)
    return MLP().double().eval()


def labels(ax) -> list[str]:
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_sides_shows_estimates_as_points_and_covariances_as_lines():
    ax = figures_discrepancy.sides(
        {"G moves": {1: ((2.0, 0.1), (3.0, 0.2)), 5: ((-1.0, 0.1), (-1.5, 0.2))}}, threshold=1
    )
    line, points = ax.lines[0], ax.containers[0].lines[0]
    assert line.get_xydata().tolist() == [[1, 3], [5, -1.5]] and points.get_xydata().tolist() == [[1, 2], [5, -1]]
    band = ax.collections[0].get_paths()[0].vertices
    assert band[:, 1].min() == pytest.approx(-1.9) and band[:, 1].max() == pytest.approx(3.4)
    assert sorted(labels(ax)) == ["G moves: covariance", "G moves: direct"] and ax.get_yscale() == "symlog"


def test_dashed_widens_the_first_half_and_dashes_the_rest():
    ax = plt.figure().add_subplot()
    for name in "abcd":
        ax.plot([0, 1], [0, 1], label=name)
    figures_discrepancy.dashed(ax)
    assert [line.get_linestyle() for line in ax.lines] == ["-", "-", "--", "--"]
    widths = [line.get_linewidth() for line in ax.lines]
    assert widths[0] > widths[1] > widths[2] == widths[3]
    assert ax.lines[2]._dash_pattern != ax.lines[3]._dash_pattern


def test_over_images_is_the_mean_over_seeds():
    ax = figures_discrepancy.over_images({"batch 16": HISTORIES}, "accuracy", y_label="accuracy (%)")
    assert ax.lines[0].get_xydata().tolist() == [[10, 2], [20, 4]] and ax.get_xscale() == "log"


@pytest.mark.parametrize("spread", [True, False])
def test_against_is_the_mean_over_seeds_and_their_range(spread):
    ax = figures_chords.against("samples", "accuracy", {"VI": HISTORIES}, x_label="x", y_label="y", spread=spread)
    assert ax.lines[0].get_xydata().tolist() == [[10, 2], [20, 4]] and labels(ax) == ["VI, 2 seeds"]
    assert len(ax.collections) == spread
    if spread:
        assert {tuple(v) for v in ax.collections[0].get_paths()[0].vertices} >= {(10, 1), (10, 3), (20, 3), (20, 5)}


def test_means_over_moves_lines_apart():
    ax = figures_chords.means_over(
        [10, 100], {"a": [(1, 0.5), (2, 0.5)], "b": [(3, 1), (4, 1)]}, x_label="x", y_label="y"
    )
    first, second = (container.lines[0].get_xydata() for container in ax.containers)
    assert first[:, 1].tolist() == [1, 2] and second[:, 1].tolist() == [3, 4]
    np.testing.assert_allclose(second[:, 0] / first[:, 0], 1.05)


def test_a_chord_and_its_profile(teacher):
    ends = np.array([[-2.0, 1.0], [2.0, -1.0]])
    profile = np.linspace(0, 1, 11) ** 2
    left, right = figures_chords.chord_and_profile(teacher, *ends, np.array([0.5]), profile, np.array([0.25]))
    assert left.lines[-1].get_xydata().tolist() == ends.tolist()
    curve, bends, chord = right.lines[:3]
    np.testing.assert_allclose(curve.get_xydata(), np.stack([np.linspace(0, 1, 11), profile], 1))
    assert bends.get_xydata().tolist() == [[0.5, 0.25]] and chord.get_xydata().tolist() == [[0, 0], [1, 1]]


def test_clouds_and_their_mixtures(teacher):
    points, mixed = np.array([[1.0, 2.0]]), np.array([[0.5, -1.0]])
    axes = figures_chords.clouds(teacher, {"a": points, "b": points}, {"b": mixed})
    assert [len(ax.lines) for ax in axes.flat] == [1, 2, 0] and not axes[0, 2].axison
    assert axes[0, 1].lines[0].get_xydata().tolist() == mixed.tolist()


def test_the_lowest_cloud_of_a_column_has_its_axis_numbered(teacher):
    axes = figures_chords.clouds(teacher, dict.fromkeys("abcde", np.zeros((1, 2))), {})
    numbered = [ax.xaxis.get_tick_params()["labelbottom"] for ax in axes.flat[:5]]
    assert numbered == [False, False, True, True, True]


def test_a_landscape_has_a_line_for_every_unit_that_switches_there(teacher):
    ax = plt.figure().add_subplot()
    figures_chords.landscape(teacher, ax)
    x = figures_chords.grid(201).double()
    units = chords.hidden_units(teacher, x)
    switching = int(((units.amin(0) < 0) & (units.amax(0) > 0)).sum())
    assert len(ax.collections) == 1 + switching + 1  # the mesh, the units, the decision boundary
