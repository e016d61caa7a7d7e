"""Every number of the scoreboard is a record's or a paper's, and what was not run can be run as it says."""

import copy
import json
import re
import shutil
from pathlib import Path

import nbformat
import pytest
from board_checks import complaints, plain, raw, tables
from chapters import ROOT
from commands import understood

from dfkd_lib import papers, results, scoreboard
from dfkd_lib.catalogue import DATASETS, NETWORKS
from dfkd_lib.data import _takes
from dfkd_lib.errors import UserError
from dfkd_lib.methods import METHODS
from dfkd_lib.papers import SYSTEMS

COMMITTED = ROOT / "results"
RUNNABLE = [system for system in SYSTEMS if not scoreboard.obstacle(system)]


@pytest.fixture(scope="module")
def notebook():
    return nbformat.read(ROOT / "book" / "06_scoreboard.ipynb", as_version=4)


@pytest.fixture(scope="module")
def records():
    return raw(COMMITTED)


@pytest.fixture(scope="module")
def arms():
    return scoreboard.arms(COMMITTED)


# --- the executed page ------------------------------------------------------------------------------------------------


def test_every_number_on_the_page_is_traced(notebook, records):
    assert complaints(notebook, records) == []


def mutations(notebook):
    """One cell with a digit for each column of each kind of table, its last digit turned into another."""
    done = set()
    for index, start, head, rows in tables(notebook):
        kind = tuple(re.sub(", on .*", "", cell) for cell in head)
        for r, row in enumerate(rows):
            for column, cell in enumerate(row):
                text = head[column] in ("data set", "command", "networks", "setting", "value", "source")
                if column and not text and re.search(r"\d", cell) and (kind, column) not in done:
                    done.add((kind, column))
                    yield index, start + 2 + r, column
    assert len(done) > 20


def test_one_wrong_digit_is_found(notebook, records):
    """Wherever it is: in a figure of ours or of a paper's, a seed, a commit, a path, or a command."""
    for index, line, column in mutations(notebook):
        wrong = copy.copy(notebook)
        wrong.cells = list(notebook.cells)
        wrong.cells[index] = copy.deepcopy(notebook.cells[index])
        [data] = [o["data"] for o in wrong.cells[index].outputs if "text/markdown" in o.get("data", {})]
        lines = data["text/markdown"].splitlines()
        cells = lines[line].split(" | ")
        *_, digit = re.finditer(r"\d", cells[column])
        changed = str((int(digit[0]) + 1) % 10)
        cells[column] = cells[column][: digit.start()] + changed + cells[column][digit.end() :]
        lines[line] = " | ".join(cells)
        data["text/markdown"] = "\n".join(lines)
        assert complaints(wrong, records), lines[line]


def test_a_changed_record_is_found(notebook, records):
    path = "results/mnist/mad-mnist-lenet5-lenet5_half-s1.json"
    changed = records[path] | {"accuracy_last": records[path]["accuracy_last"] + 0.1}
    assert complaints(notebook, records | {path: changed})
    assert complaints(notebook, {name: record for name, record in records.items() if name != path})


def test_a_table_that_nobody_checks_is_found(notebook, records):
    wrong = copy.deepcopy(notebook)
    output = nbformat.v4.new_output("display_data", data={"text/markdown": "| a | b |\n| --- | --- |\n| c | 1 |"})
    [cell, *_] = [cell for cell in wrong.cells if cell.cell_type == "code"]
    cell.outputs = [output]
    assert complaints(wrong, records) == ["nobody checks the table with ['a', 'b']"]


def test_every_method_that_was_run_has_its_row(notebook, records):
    rows = {
        (head[0].removeprefix("method, on "), row[0].split(",")[0].split(" (")[0])
        for _, _, head, found in tables(notebook)
        if "images" in head
        for row in found
    }
    run = {(r["dataset"], scoreboard.NAMES[r["method"]].split(",")[0]) for r in records.values()}
    assert rows == run


def test_dfads_own_run_is_told_as_it_was(notebook, records):
    [text] = [
        o.text for c in notebook.cells for o in c.get("outputs", []) if o.get("text", "").startswith("seed 0: last")
    ]
    r = records["results/paper/dfad-mnist-lenet5-lenet5_half-s0.json"]
    tail = r["history"]["accuracy"][len(r["history"]["accuracy"]) // 2 :]
    expected = [r["accuracy_last"], r["accuracy_best"], sum(tail) / len(tail), min(tail), max(tail)]
    assert re.findall(r"\d+\.\d+", text) == [f"{value:.2f}" for value in expected]


def test_every_command_on_the_page_is_a_systems(notebook):
    [rows] = [rows for _, _, head, rows in tables(notebook) if head[-1] == "command"]
    arms = scoreboard.arms(COMMITTED)
    wanted = {scoreboard.command(s) for s in RUNNABLE if not scoreboard.is_run(s, arms)}
    assert {row[-1].strip("`") for row in rows} == wanted and len(rows) == len(wanted)


# --- systems ----------------------------------------------------------------------------------------------------------


def test_what_can_be_run_is_understood_by_the_command_line():
    """And runs that system: its method, data set, networks and settings, at a paper's schedule or CIFAR's."""
    for line, system in {scoreboard.command(system): system for system in RUNNABLE}.items():
        method, recipe, seed = understood(line)[:3]
        assert (method, recipe.dataset, seed) == (system.method, system.dataset, 0)
        assert (recipe.teacher, recipe.student) == (system.teacher, system.student)
        assert {change: str(getattr(recipe, change.split("=")[0])) for change in system.changes} == {
            change: change.split("=")[1] for change in system.changes
        }
        assert recipe == scoreboard.recipe_of(system)


def test_a_baselines_schedule_is_no_other_familys():
    """HiDFD's stages are a GAN's: nobody else runs by them."""
    for system in RUNNABLE:
        paper = scoreboard.recipe_of(system).paper
        assert (paper == "hidfd") == (system.method in ("hidfd", "degan"))
        assert system.paper not in ("dfad", "arvi") or paper in (system.paper, "dfad")


def test_obstacles_are_real():
    for system in SYSTEMS:
        if system in RUNNABLE:
            side, channels = DATASETS[system.dataset].size, DATASETS[system.dataset].channels
            assert all(_takes(NETWORKS[name], side, side, channels) for name in (system.teacher, system.student))
            assert system.method in METHODS
    reasons = {s.dataset: scoreboard.obstacle(s) for s in SYSTEMS if s.name == "HiDFD, ρ = 0.1"}
    assert "collected" in reasons["ham10000"] and "collected" in reasons["imagenet"] and reasons["cifar10"] is None
    assert {scoreboard.obstacle(s) for s in SYSTEMS if s.dataset in papers.SEGMENTATION} == {scoreboard._SEGMENTATION}


# --- records ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path) -> Path:
    """Some of the committed records."""
    for name in ("mnist", "paper", "fast"):
        shutil.copytree(COMMITTED / name, tmp_path / "results" / name)
    return tmp_path / "results"


def plant(folder: Path, name: str, **changes) -> None:
    """A record like DFAD's at its own schedule, but for some of its keys."""
    made = json.loads((COMMITTED / "paper" / "dfad-mnist-lenet5-lenet5_half-s0.json").read_text())
    (folder / "paper").mkdir(exist_ok=True)
    (folder / "paper" / f"{name}.json").write_text(json.dumps(made | changes))


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"commit": "unknown"}, "commit"),
        ({"commit": 40 * "0" + "+changes"}, "a commit without changes"),
        ({"command": ""}, "command"),
        ({"hardware": None}, "hardware"),
        ({"versions": {}}, "versions"),
        ({"versions": {"torch": ""}}, "versions of torch"),
        ({"teacher_hash": ""}, "teacher_hash"),
        ({"threads": 0}, "threads"),
        ({"parameters": {}}, "parameters"),
    ],
)
def test_a_record_without_provenance_is_refused(folder, changes, word):
    plant(folder, "planted", **changes)
    with pytest.raises(UserError, match=f"planted.json .*{word}.*; make it again") as caught:
        scoreboard.arms(folder)
    assert len(str(caught.value).splitlines()) == 1


def test_the_speed_experiments_are_left_out(folder):
    assert {path.parent.name for arm in scoreboard.arms(folder) for path in arm.files} == {"mnist", "paper"}


def test_of_a_run_in_two_experiments_the_one_with_more_seeds_is_taken(folder):
    shutil.copytree(folder / "fast", folder / "again")  # five seeds, and mnist's three
    [arm] = [a for a in scoreboard.compared("mnist", scoreboard.arms(folder)) if (a.method, a.own) == ("dfad", False)]
    assert arm.seeds == [0, 1, 2, 3, 4] and arm.files[0].parent.name == "again"


def system(name: str) -> papers.System:
    return next(s for s in SYSTEMS if (s.paper, s.dataset, s.name) == ("dfad", "mnist", name))


def test_a_new_record_takes_the_place_of_not_run(folder):
    for path in (folder / "paper").glob("dafl-*.json"):
        path.unlink()
    assert not scoreboard.is_run(system("DAFL"), scoreboard.arms(folder))  # but at a short schedule
    parameters = json.loads((COMMITTED / "paper" / "dfad-mnist-lenet5-lenet5_half-s0.json").read_text())["parameters"]
    plant(folder, "new", method="dafl", accuracy_last=97.0, parameters=parameters)
    arms = scoreboard.arms(folder)
    assert scoreboard.is_run(system("DAFL"), arms)
    _, rows = scoreboard.system_table([system("DAFL")], arms)
    assert [row[-1] for row in rows] == ["DFAD's", "short"] and plain(rows[0][3]) == "99.33 → 97.00"
    assert scoreboard.missing_table([system("DAFL")], arms)[1] == []
    # AR+VI's recipe for MNIST is DFAD's under its own name: nobody need run the same twice.
    [theirs] = [s for s in SYSTEMS if (s.paper, s.dataset, s.method) == ("arvi", "mnist", "dafl")]
    assert scoreboard.recipe_of(theirs).paper == "arvi" and scoreboard.is_run(theirs, arms)


def test_a_changed_setting_is_another_system(folder):
    plant(folder, "other", changes={"student_lr": 0.5})
    [arm] = [arm for arm in scoreboard.arms(folder) if "student_lr=0.5" in arm.changes]
    assert arm.changes == ("student_lr=0.5",) and "student_lr=0.5" in scoreboard.label(arm)
    assert arm not in scoreboard.arms_of(system("Ours"), [arm])
    plant(folder, "shorter", method="dafl", changes={"stages": 3})
    [arm] = [arm for arm in scoreboard.arms(folder) if arm.changes == ("stages=3",)]
    assert arm.schedule == "short"


def test_no_record_at_all(folder, tmp_path):
    (tmp_path / "empty").mkdir()
    assert scoreboard.arms(tmp_path / "empty") == []
    head, rows = scoreboard.system_table([system("DAFL")], [])
    assert head[-1] == "ours" and rows[0][-1] == "not run"


def test_undecided_is_an_overlap_of_intervals(arms):
    here = {arm.method: arm for arm in scoreboard.compared("mnist", arms) if not arm.own}
    names = {arm.method for arm in scoreboard.undecided(here["mad"], here.values())}
    for method, arm in here.items():
        (a, x), (b, y) = here["mad"].mean("accuracy_last"), arm.mean("accuracy_last")
        assert (method in names) == (method != "mad" and abs(a - b) <= x + y)
    assert "abm" in names and "random" not in names


def test_a_loss_is_the_teachers_accuracy_minus_the_last(arms):
    for arm in arms:
        own = [r["teacher_accuracy"] - r["accuracy_last"] for r in arm.records]
        assert arm.lost == pytest.approx(sum(own) / len(own)) and arm.hours > 0
        assert results.lacking(arm.first) == []
