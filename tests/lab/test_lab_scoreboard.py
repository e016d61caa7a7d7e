"""The papers' figures as typed, and the rows that records make beside them."""

from decimal import Decimal

import pytest

from dfkd_lib import records
from dfkd_lib.data import DATASETS, NETWORKS
from dfkd_lib.errors import UserError
from dfkd_lib.lab import papers, scoreboard
from dfkd_lib.lab.papers import SYSTEMS
from dfkd_lib.methods import METHODS


def figure(paper, table, dataset, name, student="resnet18_8x"):
    key = (paper, table, dataset, name, student)
    found = [s for s in SYSTEMS if (*s[:3], s.name, s.student) == key]
    return found[0].figure


def test_every_cell_is_there_and_uses_the_librarys_names():
    assert len(SYSTEMS) == 24 + 12 + 20 + 36 + 18 + 14 * 15 + 2 * 16 + 8 * 2
    for s in SYSTEMS:
        assert s.method is None or s.method in METHODS
        assert s.dataset in papers.SEGMENTATION or s.dataset in DATASETS
        assert s.dataset in papers.SEGMENTATION or {s.teacher, s.student} <= {*NETWORKS}
        figures = [x for x in (s.figure, s.teacher_figure) if x is not None]
        assert all(1 <= x <= 100 for x in figures)


def test_differences_that_the_papers_print():
    drops = {
        "w/o L_blend": "2.75",
        "w/o L_blend, L_trans, L_reg": "6.68",
        "NKD": "11.62",
    }
    for name, drop in drops.items():
        whole = figure("hidfd", "2", "cifar100", "HiDFD")
        assert whole - figure("hidfd", "2", "cifar100", name) == Decimal(drop)
    ours, theirs = (figure("arvi", "1", "cifar100", n) for n in ("Proposed", "DFAL"))
    assert ours - theirs == Decimal("9.35")
    mad, abm = (figure("mad", "2", "imagenet", n, "alexnet") for n in ("MAD", "ABM"))
    assert float(mad - abm) == pytest.approx(4.2, abs=0.1)


def test_each_system_is_run_or_has_a_command_or_an_obstacle():
    arms = scoreboard.arms()
    assert {scoreboard.is_run(system, arms) for system in SYSTEMS} == {True, False}
    for system in SYSTEMS:
        if not scoreboard.obstacle(system):
            command = records.command(scoreboard.recipe_of(system), 0)
            assert command.startswith("python -m dfkd_lib.run")


def test_the_rows_of_a_data_set_are_those_of_its_records():
    arms = scoreboard.arms()
    found = {
        arm.method: arm for arm in scoreboard.compared("mnist", arms) if not arm.own
    }
    made = records.load_records("mnist", dataset="mnist", method="mad", changes={})
    assert found["mad"].seeds == sorted(r["seed"] for r in made)
    mean = sum(r["accuracy_last"] for r in made) / len(made)
    assert found["mad"].mean("accuracy_last")[0] == pytest.approx(mean)


def test_a_record_without_provenance_is_refused(tmp_path, monkeypatch):
    made = records.load_records("mnist")[0] | {"commit": "unknown"}
    records.append("planted", made, tmp_path)
    monkeypatch.setenv("DFKD_RESULTS", str(tmp_path))
    with pytest.raises(UserError, match=r"planted.jsonl lacks commit; repeat its run"):
        scoreboard.arms()
