"""Every picture can be drawn without a warning and shows what it is given."""

import ast
import inspect

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from markdown_it import MarkdownIt

from dfkd_lib.lab import pictures
from dfkd_lib.losses import kl
from dfkd_lib.methods import MAD, State
from dfkd_lib.records import append, load_records

pytestmark = pytest.mark.usefixtures("drawn")
HISTORIES = [
    {"stage": [1, 2], "samples": [10, 20], "accuracy": [1.0, 3.0]},
    {"stage": [1, 2], "samples": [10, 20], "accuracy": [3.0, 5.0]},
]


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


@pytest.mark.parametrize("points", [5, 100])
def test_lines_differ_without_colours(points):
    x = np.linspace(1, 10, points)
    ys = {"a": x**2, "b": list(x)}
    ax = pictures.lines(x, ys, x_label="time (s)", y_label="%", y_scale="log")
    found = ax.get_xlabel(), ax.get_yscale(), legend(ax)
    assert found == ("time (s)", "log", ["a", "b"])
    looks = {(line.get_linestyle(), line.get_marker()) for line in ax.lines}
    assert len(looks) == 2
    np.testing.assert_array_equal(ax.lines[0].get_xydata(), np.stack([x, x**2], 1))
    other = plt.figure().add_subplot()
    same = pictures.lines(x, {"a": x}, x_label="x", y_label="y", ax=other)
    assert same is other and other.get_legend() is None


@pytest.mark.parametrize("spread", [True, False])
def test_curves_are_means_over_seeds_and_their_range(spread):
    groups = {"mad": HISTORIES, "abm": HISTORIES[:1]}
    options = {"x": "samples", "x_label": "images", "x_scale": "log"}
    ax = pictures.curves(groups, "accuracy", y_label="%", spread=spread, **options)
    assert legend(ax) == ["mad, 2 seeds", "abm, 1 seed"]
    assert ax.lines[0].get_xydata().tolist() == [[10, 2], [20, 4]]
    assert len(ax.collections) == 2 * spread
    if spread:
        band = {tuple(v) for v in ax.collections[0].get_paths()[0].vertices}
        assert band >= {(10, 1), (10, 3), (20, 3), (20, 5)}


def test_the_others_can_be_drawn():
    pictures.intervals({"one seed": (3.0, float("nan"))}, x_label="x", zero=True)
    pictures.means_over([10, 100], {"a": [(1, 0.5), (2, 0.5)]}, x_label="", y_label="")
    pictures.images({"real": torch.randn(20, 1, 8, 8), "made": torch.zeros(5, 3, 8, 8)})


@pytest.mark.parametrize("paper", ["dfad", "arvi", "mad", "hidfd", "bank"])
def test_no_box_of_a_diagram_covers_another_or_leaves_it(paper):
    ax = pictures.game_diagram(paper)
    ax.figure.canvas.draw()
    boxed = [text for text in ax.texts if text.get_bbox_patch()]
    boxes = [text.get_bbox_patch().get_window_extent() for text in boxed]
    notes = [text.get_window_extent() for text in ax.texts if text not in boxed]
    every = boxes + notes
    assert not any(a.overlaps(b) for i, a in enumerate(every) for b in every[:i])
    (x0, y0), (x1, y1) = ax.figure.bbox.min, ax.figure.bbox.max
    assert all(x0 <= b.x0 and b.x1 <= x1 and y0 <= b.y0 and b.y1 <= y1 for b in every)


def test_tables_and_source():
    rows = [["MAD", 87.5], ["ABM", "80.1 ± 0.2"]]
    text = pictures.table(["method", "accuracy (%)"], rows).text
    html = MarkdownIt("commonmark").enable("table").render(text)
    assert html.count("<td") == 4 and html.count("text-align:right") == 3
    code = pictures.source(kl, State.noise, MAD).text
    tree = ast.parse(code.removeprefix("```python\n").removesuffix("```"))
    assert [part.name for part in tree.body] == ["kl", "noise", "MAD"]
    assert inspect.getsource(kl) in code


def test_the_ladder_groups_records_by_method_and_budget(monkeypatch, tmp_path):
    """Interval, path and number of seeds; trials that chose a rate are left out."""
    [made] = load_records("laptop")
    cheap = {"dataset": "moons", "method": "abm", "teacher_accuracy": 90.0}
    history = made["history"] | {"stage": [1, 2], "accuracy": [10.0, 50.0]}
    for stages, seed, accuracy, flop in (
        (9, 0, 70.0, 8e14), (9, 1, 74.0, 8e14), (2, 0, 50.0, 2e14), (2, 9, 99.0, 2e14),
    ):  # fmt: skip
        more = {"seed": seed, "accuracy_last": accuracy, "flop": flop}
        more |= {"changes": {"stages": stages}, "key": f"{stages}-{seed}"}
        more["parameters"] = made["parameters"] | {"dataset": "moons", "stages": stages}
        append("any", made | cheap | more | {"history": history}, tmp_path)
    monkeypatch.setenv("DFKD_RESULTS", str(tmp_path))
    found = pictures.rungs("moons")
    assert [[r["lost"] for r in b] for b in found["ABM"]] == [[40.0], [20.0, 16.0]]
    ax = pictures.ladder("moons", "ABM", {"the paper": (600.0, 2.0)})
    assert legend(ax) == ["ABM, n = 1 and 2"]
    drawn = ax.lines[:1] + ax.lines[-2:]
    mean, path, paper = (line.get_xydata().tolist() for line in drawn)
    assert mean == [[0.2, 40.0], [0.8, 18.0]] and paper == [[600.0, 2.0]]
    assert path == [[0.4, 80.0], [0.8, 40.0]]
