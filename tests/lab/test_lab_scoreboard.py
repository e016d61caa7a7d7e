"""The papers' figures as typed, and the rows that records make beside them."""

import math
from decimal import Decimal

import pytest
from scipy import stats

from dfkd_lib import records
from dfkd_lib.data import DATASETS, NETWORKS
from dfkd_lib.errors import UserError
from dfkd_lib.lab import scoreboard
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
        assert s.dataset in DATASETS and {s.teacher, s.student} <= {*NETWORKS}
        figures = [x for x in (s.figure, s.teacher_figure) if x is not None]
        assert all(1 <= x <= 100 for x in figures)


def test_differences_that_the_papers_print():
    whole, drops = figure("hidfd", "2", "cifar100", "HiDFD"), {"NKD": "11.62"}
    drops |= {"w/o L_blend": "2.75", "w/o L_blend, L_trans, L_reg": "6.68"}
    for name, drop in drops.items():
        assert whole - figure("hidfd", "2", "cifar100", name) == Decimal(drop)
    ours, theirs = (figure("arvi", "1", "cifar100", n) for n in ("Proposed", "DFAL"))
    assert ours - theirs == Decimal("9.35")
    mad, abm = (figure("mad", "2", "imagenet", n, "alexnet") for n in ("MAD", "ABM"))
    assert float(mad - abm) == pytest.approx(4.2, abs=0.1)


@pytest.fixture(scope="module")
def arms():
    return scoreboard.arms()


def test_each_system_has_records_or_a_command_or_an_obstacle(arms):
    """And a run on the ladder is no run of a system: other networks, other FLOP."""
    ladder = {arm for arm in arms if arm.schedule == "ladder"}
    small = {"wrn16_2-wrn16_1", "deeplab_small-deeplab_small_half"}
    assert {arm.first["pair"] for arm in ladder} == small
    found = {system: {*scoreboard.arms_of(system, arms)} for system in SYSTEMS}
    assert {bool(own) for own in found.values()} == {True, False}
    for system, own in found.items():
        assert not own & ladder
        if scoreboard.obstacle(system):
            assert not own
        else:
            command = records.command(scoreboard.recipe_of(system), 0)
            assert command.startswith("python -m dfkd_lib.run")


def test_the_rows_of_a_data_set_are_those_of_its_records(arms):
    rows = scoreboard.compared("mnist", arms)
    found = {arm.method: arm for arm in rows if arm.schedule == "short"}
    made = records.load_records("mnist", dataset="mnist", method="mad", changes={})
    assert found["mad"].seeds == sorted(r["seed"] for r in made)
    mean = sum(r["accuracy_last"] for r in made) / len(made)
    assert found["mad"].mean("accuracy_last")[0] == pytest.approx(mean)


def test_the_difference_to_a_paper_is_welchs(arms):
    dfad = next(s for s in SYSTEMS if (s.paper, s.method) == ("dfad", "dafl"))
    own, short = scoreboard.arms_of(dfad, arms)
    assert own.schedule == "DFAD's" and math.isnan(scoreboard.beside(dfad, own)[1])
    gap, half = scoreboard.beside(dfad, short)
    lost = [r["teacher_accuracy"] - r["accuracy_last"] for r in short.records]
    there = [float(dfad.spread) * x for x in (-(2**0.5), 0, 0, 0, 2**0.5)]
    there = [dfad.lost + x for x in there]  # five values of this mean and spread
    exact = stats.ttest_ind(lost, there, equal_var=False).confidence_interval()
    assert (gap - half, gap + half) == pytest.approx((exact.low, exact.high))
    unsure = dfad._replace(spread=None)
    assert math.isnan(scoreboard.beside(unsure, short)[1])


def test_a_record_without_provenance_is_refused(tmp_path, monkeypatch):
    made = records.load_records("mnist")[0] | {"commit": "unknown"}
    records.append("planted", made, tmp_path)
    monkeypatch.setenv("DFKD_RESULTS", str(tmp_path))
    with pytest.raises(UserError, match=r"planted.jsonl lacks commit; repeat its run"):
        scoreboard.arms()
