"""The list of experiments and the committed records belong together."""

import shlex

import pytest
from chapters import ROOT

from dfkd_lib import results
from tools import nightly


def test_every_run_of_the_list_has_its_record():
    assert nightly.missing(list(nightly.EXPERIMENTS)) == []


def test_a_missing_record_is_a_command_to_run(monkeypatch, tmp_path):
    monkeypatch.setattr(nightly, "ROOT", tmp_path)
    lines = nightly.missing(["main"])
    assert len(lines) == 4 * 5
    assert all(f"--output-dir {tmp_path / 'results' / 'main'}" in line for line in lines)


@pytest.mark.parametrize("experiment", nightly.ON_GPU)
def test_what_wants_a_gpu_is_a_command_to_run(monkeypatch, tmp_path, experiment):
    """With one schedule for all three on MAD's pair: else their rows could not be compared."""
    monkeypatch.setattr(nightly, "ROOT", tmp_path)
    recipes = [nightly.recipe_of(experiment, *arm[:3]) for arm in nightly.ON_GPU[experiment]]
    lines = nightly.missing([experiment])
    assert len(lines) == 3 and all("--device cuda" in line and "--resume" in line for line in lines)
    steps = {recipe.stages * recipe.student_steps for recipe in recipes}
    assert steps == {"wrn_short": {90_000}, "wrn": {900_000}, "resnet": {125_000, 450_000}}[experiment]


def test_every_record_is_on_the_list():
    wanted = {
        (experiment, results.run_name(method, nightly.recipe_of(experiment, method, data, settings), seed))
        for experiment, arms in nightly.KNOWN.items()
        for method, data, settings, seeds in arms
        for seed in seeds
    }
    found = {(path.parent.name, path.stem) for path in (ROOT / "results").glob("**/*.json")}
    assert found - wanted == set()


def test_an_unknown_experiment_is_told_in_one_line(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["nightly.py", "weekly"])
    assert nightly.main() == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "weekly" in line and "controls" in line


@pytest.mark.parametrize(
    ("last", "status"), [("pass", 0), ("raise SystemExit(2)", 1), ("import os; os.kill(os.getpid(), 9)", 1)]
)
def test_a_run_that_failed_or_was_killed_is_told_by_the_status(monkeypatch, tmp_path, last, status):
    """And the others are made nevertheless."""
    codes = [last, *(f"open({str(tmp_path / name)!r}, 'w').close()" for name in "abc")]
    monkeypatch.setattr("sys.argv", ["nightly.py"])
    monkeypatch.setattr(nightly, "missing", lambda experiments: [shlex.join(["-c", code]) for code in codes])
    assert nightly.main() == status
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "c"]


@pytest.mark.parametrize("experiment", nightly.KNOWN)
def test_settings_are_settings(experiment):
    for method, data, settings, _ in nightly.KNOWN[experiment]:
        assert nightly.recipe_of(experiment, method, data, settings).dataset == data
