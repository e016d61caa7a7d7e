"""The records in the repository hold."""

import json
import math

import pytest
from chapters import ROOT
from commands import recipe_of, understood

from dfkd_lib import results, run
from dfkd_lib.teachers import SHIPPED

COMMITTED = sorted((ROOT / "results").glob("**/*.json"))


def numbers(value) -> list[float]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return [number for part in value for number in numbers(part)]
    return [value] if isinstance(value, int | float) else []


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_committed_record(path):
    """Complete, finite, named after what it holds, of the teacher that ships, and to be had again by its command."""
    record = json.loads(path.read_text())
    assert set(results.REQUIRED) <= set(record)
    assert results.lacking(record) == []  # of its provenance
    recipe = run.as_run(record["method"], recipe_of(record))  # what a method does not read may have changed since
    assert path.stem == results.run_name(record["method"], recipe, record["seed"])
    assert all(map(math.isfinite, numbers(record)))
    shipped = json.loads((SHIPPED / f"{record['dataset']}-{record['teacher']}.json").read_text())
    assert record["teacher_hash"] == shipped["hash"]
    assert record["teacher_accuracy"] == pytest.approx(shipped["accuracy"])
    assert record["history"]["stage"][-1] == record["parameters"]["stages"]
    assert 0 <= record["accuracy_last"] <= record["accuracy_best"] <= 100
    assert understood(record["command"])[:3] == (record["method"], recipe, record["seed"])
