"""Every picture can be drawn without a warning, and says what it shows."""

import ast
import inspect
import math
import re

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from markdown_it import MarkdownIt
from matplotlib.patches import FancyArrowPatch

from dfkd_lib import figures
from dfkd_lib.losses import mad
from dfkd_lib.methods.game import Game

pytestmark = pytest.mark.usefixtures("drawn")


def legend(ax) -> list[str]:
    return [text.get_text() for text in ax.get_legend().get_texts()]


def told_apart(ax) -> bool:
    """No two lines alike, also where there are no colours."""
    return len({(line.get_linestyle(), line.get_marker()) for line in ax.lines}) == len(ax.lines)


def test_every_function_is_tested_here():
    public = {name for name, f in vars(figures).items() if inspect.isfunction(f) and f.__module__ == figures.__name__}
    assert public == {"lines", "curves", "intervals", "images", "table", "source", "planes", "game_diagram"}


# --- the plane -------------------------------------------------------------------------------------------------------


def test_planes():
    """Rows from below, colours of one scale, points over their own panel, the boundary where its sign changes."""
    line = 3 * ((2 * np.arange(20) + 1) / 20 - 1)
    below = np.repeat(line[:, None], 20, axis=1)  # the second coordinate
    axes = figures.planes(
        {"a": below, "b": 2 * below, "c": below, "d": below},
        radius=3,
        label="height",
        points={"b": np.array([[1.0, -2.0]])},
        boundary=below - 1,
    )
    assert axes.shape == (2, 3) and not axes[1, 1].axison
    meshes = [ax.collections[0] for ax in axes.flat[:4]]
    assert {mesh.get_clim() for mesh in meshes} == {(2 * below.min(), 2 * below.max())}
    np.testing.assert_array_equal(meshes[1].get_array().reshape(20, 20), 2 * below)
    assert [len(ax.lines) for ax in axes.flat[:4]] == [0, 1, 0, 0]
    assert axes[0, 1].lines[0].get_xydata().tolist() == [[1, -2]]
    crossing = np.concatenate([p.vertices for p in axes[0, 0].collections[1].get_paths()])
    np.testing.assert_allclose(crossing[:, 1], 1, atol=1e-6)
    assert axes[0, 0].figure.get_supxlabel() and [ax.get_title() for ax in axes.flat[:4]] == list("abcd")


# --- lines and their like --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("points", [5, 100])
def test_lines(points):
    x = np.linspace(1, 10, points)
    ax = figures.lines(x, {"a": x**2, "b": list(x)}, x_label="time (s)", y_label="share (%)", y_scale="log")
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("time (s)", "share (%)")
    assert (ax.get_xscale(), ax.get_yscale()) == ("linear", "log")
    assert legend(ax) == ["a", "b"]
    assert told_apart(ax)
    for line, y in zip(ax.lines, (x**2, x), strict=True):
        np.testing.assert_array_equal(line.get_xydata(), np.stack([x, y], 1))
        assert (line.get_marker() == "None") == (points > 25)


def test_a_single_line_needs_no_legend():
    ax = figures.lines([1, 2], {"a": [3, 4]}, x_label="x", y_label="y")
    assert ax.get_legend() is None and len(ax.lines) == 1


@pytest.mark.parametrize("n", [7, 8, 15])
def test_lines_of_many_series_are_all_there(n):
    """More than there are colours and markers; seven can be told apart by both."""
    ax = figures.lines([1, 2], {f"series {i}": [i, i] for i in range(n)}, x_label="x", y_label="y")
    assert [line.get_ydata()[0] for line in ax.lines] == list(range(n))
    assert legend(ax) == [f"series {i}" for i in range(n)]
    assert len({line.get_color() for line in ax.lines}) == len({line.get_marker() for line in ax.lines}) == 7


def test_lines_beside_each_other():
    _, axes = plt.subplots(1, 2)
    assert figures.lines([1, 2], {"a": [3, 4]}, x_label="x", y_label="y", ax=axes[1]) is axes[1]
    assert not axes[0].lines and len(plt.get_fignums()) == 1


def test_curves():
    """The mean of the seeds, within their range."""
    rows = [{"stage": [1, 2], "accuracy": [10.0, 20.0]}, {"stage": [1, 2], "accuracy": [30.0, 50.0]}]
    ax = figures.curves({"mad": rows, "abm": rows[:1]}, "accuracy", y_label="accuracy (%)")
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("stage", "accuracy (%)")
    assert legend(ax) == ["mad, 2 seeds", "abm, 1 seed"]
    assert told_apart(ax)
    assert [line.get_ydata().tolist() for line in ax.lines] == [[20, 35], [10, 20]]
    band = {tuple(point) for point in ax.collections[0].get_paths()[0].vertices}
    assert {(1, 10), (1, 30), (2, 20), (2, 50)} <= band


@pytest.mark.parametrize("zero", [False, True])
def test_intervals(zero):
    rows = {"first": (1.0, 0.5), "second": (-2.0, 0.25), "one seed": (3.0, float("nan"))}
    ax = figures.intervals(rows, x_label="difference (points)", zero=zero)
    assert ax.get_xlabel() == "difference (points)"
    assert [tick.get_text() for tick in ax.get_yticklabels()] == list(rows)
    assert list(ax.get_yticks()) == [0, -1, -2] and ax.get_ylim()[0] < -2 < 0 < ax.get_ylim()[1]
    for row, (bars, (mean, half)) in enumerate(zip(ax.containers, rows.values(), strict=True)):
        point, _, (bar,) = bars
        assert point.get_xydata().tolist() == [[mean, -row]]
        if not math.isnan(half):
            assert bar.get_segments()[0].tolist() == [[mean - half, -row], [mean + half, -row]]
    at_zero = [line for line in ax.lines if list(line.get_xdata()) == [0, 0]]
    assert len(at_zero) == zero


@pytest.mark.parametrize("channels", [1, 3])
def test_images(channels):
    """The rows by their names, each image from black to white."""
    x = torch.randn(20, channels, 8, 8, generator=torch.Generator().manual_seed(0))
    figures.images({"real": x, "made": 100 * x[:5]}, columns=6)
    axes = plt.gcf().axes
    assert [ax.texts[0].get_text() for ax in axes] == ["real", "made"]
    for ax, n in zip(axes, (6, 5), strict=True):
        [image] = ax.get_images()
        shown = image.get_array()
        assert shown.shape == (8 + 2 * 2, n * 10 + 2, 3)
        for i in range(n):
            part = shown[2:10, 2 + 10 * i : 10 + 10 * i]
            assert (part.min(), part.max()) == pytest.approx((0, 1), abs=1e-4)


def test_game_diagram():
    ax = figures.game_diagram()
    words = " ".join(text.get_text() for text in ax.texts)
    assert [word for word in ("noise", "generator", "EMA generator", "teacher", "student") if word not in words] == []
    assert sum(isinstance(patch, FancyArrowPatch) for patch in ax.patches) == 9


# --- text ------------------------------------------------------------------------------------------------------------


def cells(html: str, tag: str) -> list[str]:
    return re.findall(f"<{tag}[^>]*>(.*?)</{tag}>", html)


@pytest.mark.parametrize("columns", [1, 2, 3])
def test_table(columns):
    """Markdown that a parser takes for a table with all its cells: the first column left, the others right."""
    head = ["method", "accuracy (%)", "*n*"][:columns]
    rows = [["MAD", 87.5, 3][:columns], ["ABM", "80.1 ± 0.2", 5][:columns]]
    html = MarkdownIt("commonmark").enable("table").render(figures.table(head, rows).text)
    assert html.count("<table>") == 1 and html.startswith("<table>") and html.rstrip().endswith("</table>")
    assert cells(html, "th") == ["method", "accuracy (%)", "<em>n</em>"][:columns]
    assert cells(html, "td") == [str(value) for row in rows for value in row]
    assert html.count('style="text-align:right"') == 3 * (columns - 1)
    html = MarkdownIt("commonmark").enable("table").render(figures.table(head, rows, texts=columns).text)
    assert html.count("text-align") == 0 and len(cells(html, "td")) == 2 * columns


def test_source():
    """Of functions, classes and methods; a method without its indentation."""
    shown = figures.source(mad.kl, Game.noise).text
    fence, code = shown.split("\n", 1)
    assert fence == "```python" and code.endswith("\n```")
    names = [part.name for part in ast.parse(code.removesuffix("```")).body]
    assert names == ["kl", "noise"]
    assert inspect.getsource(mad.kl) in code
    assert "class Game(Method):" in figures.source(Game).text
