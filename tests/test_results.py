"""Records: what stands in one, how it is written and read, and that those in the repository hold."""

import errno
import json
import os
from pathlib import Path

import pytest
import torch
from chapters import RECORD_KEYS, ROOT
from commands import recipe_of
from safetensors.torch import load_file

from dfkd_lib import checkpoint, results, theory
from dfkd_lib.errors import UserError
from dfkd_lib.models import build
from dfkd_lib.recipes import Recipe
from dfkd_lib.training import History

SHA = "0123456789abcdef0123456789abcdef01234567"
COMMITTED = sorted((ROOT / "results").glob("**/*.json"))


@pytest.fixture
def made(teacher) -> dict:
    history = History()
    for stage, accuracy in ((1, 40.0), (2, 60.0), (3, 50.0)):
        row = {"generator_loss": -1.0, "student_loss": 1.0, "agreement": 2 * stage, "kl": 1 / stage}
        history.append(stage=stage, samples=10 * stage, seconds=float(stage), accuracy=accuracy, **row)
    return results.record("mad", Recipe(), 3, teacher, history, device="cpu", precision="float32", sha=SHA)


# --- what stands in a record -----------------------------------------------------------------------------------------


def test_a_record_holds_what_a_run_needs_to_be_judged(made, teacher):
    assert set(results.REQUIRED) <= set(made)
    assert RECORD_KEYS <= set(results.REQUIRED)
    assert made["accuracy_last"] == 50 and made["accuracy_best"] == 60
    assert made["agreement_last"] == 6 and made["kl_last"] == 1 / 3
    assert made["samples"] == 30 and made["seconds"] == 3
    assert made["teacher_accuracy"] == teacher.accuracy and made["teacher_hash"] == teacher.hash
    assert torch.__version__.startswith(made["versions"]["torch"])
    assert made["changes"] == {} and made["seed"] == 3


def test_a_record_survives_json(made):
    read = json.loads(json.dumps(made))
    assert recipe_of(read) == Recipe()
    del made["parameters"], read["parameters"]
    assert read == made


def test_a_record_knows_its_commit(made, monkeypatch):
    assert made["commit"] == SHA
    assert len(results.commit().removesuffix("+changes")) == 40
    monkeypatch.setattr(results, "project_folder", lambda: None)
    assert results.commit() == "unknown"


# --- writing ---------------------------------------------------------------------------------------------------------


def test_a_run_is_saved_and_read_back(made, tmp_path):
    torch.manual_seed(0)
    student = build("lenet5_half", 10).to(memory_format=torch.channels_last)
    path = results.save_run(tmp_path / "new" / "folder", "name", made, student)
    assert path == tmp_path / "new" / "folder" / "name.json"
    [record] = results.load_records(tmp_path)
    assert recipe_of(record) == Recipe()
    weights = load_file(path.with_suffix(".safetensors"))
    assert all(torch.equal(value, weights[name]) for name, value in student.state_dict().items())
    assert path.stat().st_mode & 0o777 == 0o644


def test_a_run_may_be_saved_without_its_student(made, tmp_path):
    results.save_run(tmp_path, "name", made)
    assert [path.name for path in tmp_path.iterdir()] == ["name.json"]


@pytest.mark.parametrize("failing", ["name.safetensors", "name.json"])
def test_a_full_disk_leaves_no_half_files(made, tmp_path, monkeypatch, failing):
    """And no earlier record in ruins."""
    (tmp_path / failing).write_text("earlier")
    replace = os.replace

    def full(source, target):
        if Path(target).name == failing:
            raise OSError(errno.ENOSPC, "No space left on device")
        replace(source, target)

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(UserError) as caught:
        results.save_run(tmp_path, "name", made, build("lenet5_half", 10))
    assert len(str(caught.value).splitlines()) == 1
    assert str(tmp_path) in str(caught.value) and "No space left" in str(caught.value)
    assert (tmp_path / failing).read_text() == "earlier"
    assert {path.name for path in tmp_path.iterdir()} <= {"name.safetensors", failing}


def test_a_folder_that_cannot_be_made(made, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match="output_dir: cannot write to"):
        results.save_run(tmp_path / "file" / "folder", "name", made)


def test_the_checkpoint_goes_when_the_record_is_written(made, tmp_path, monkeypatch):
    """And not before."""
    kept = results.checkpoint_path(tmp_path, "name")
    for stage in (1, 2):
        checkpoint.save(kept, {}, {"stage": stage})
    before = set(tmp_path.iterdir())
    with monkeypatch.context() as patch, pytest.raises(UserError, match="continue with --resume"):
        patch.setattr(os, "fsync", lambda *args: (_ for _ in ()).throw(OSError(errno.ENOSPC, "No space left")))
        results.save_run(tmp_path, "name", made)
    assert set(tmp_path.iterdir()) == before and len(before) == 2
    results.save_run(tmp_path, "name", made)
    assert [path.name for path in tmp_path.iterdir()] == ["name.json"]


# --- finished ---------------------------------------------------------------------------------------------------------


def test_a_finished_run_is_told_by_its_record(made, tmp_path):
    identity = {"device": "cpu", "parameters": results.read_by("mad", Recipe())}
    assert results.finished(tmp_path, "name", **identity) is None
    results.save_run(tmp_path, "name", made)
    assert results.finished(tmp_path, "name", **identity) == tmp_path / "name.json"
    assert results.finished(tmp_path, "other", **identity) is None


@pytest.mark.parametrize(
    ("identity", "words"),
    [
        ({"precision": "bfloat16"}, "precision is 'float32', here 'bfloat16'"),
        ({"teacher_hash": "00"}, "teacher_hash is "),
        (
            {"parameters": results.read_by("mad", Recipe(batch=3, milestones=(0.5,)))},
            "parameters is {'batch': 128, 'milestones': [0.3333333333333333, 0.6666666666666666]}, "
            "here {'batch': 3, 'milestones': [0.5]}",
        ),
    ],
)
def test_another_runs_record_is_no_end(made, tmp_path, identity, words):
    results.save_run(tmp_path, "name", made)
    with pytest.raises(UserError) as caught:
        results.finished(tmp_path, "name", **identity)
    [line] = str(caught.value).splitlines()
    assert words in line and "name.json is the record of another run" in line and "without" not in line
    (tmp_path / "name.json").write_text("{")
    with pytest.raises(UserError, match="is not JSON"):
        results.finished(tmp_path, "name", **identity)


# --- reading ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(made, tmp_path) -> Path:
    for method in ("mad", "abm"):
        for seed in (1, 0):
            results.save_run(tmp_path / method, f"s{seed}", made | {"method": method, "seed": seed})
    results.save_run(tmp_path / "mad", "s2", made | {"method": "mad", "seed": 2, "changes": {"batch": 64}})
    return tmp_path


def test_records_are_found_by_what_they_hold(folder, monkeypatch):
    assert len(results.load_records(folder)) == 5
    assert [r["seed"] for r in results.load_records(folder, method="mad")] == [0, 1, 2]
    assert [r["seed"] for r in results.load_records(folder, method="mad", changes={})] == [0, 1]
    assert results.load_records(folder, method="dfad") == []
    monkeypatch.setenv("DFKD_RESULTS", str(folder / "abm"))
    assert {r["method"] for r in results.load_records()} == {"abm"}


def test_an_arm_is_a_method_and_what_was_changed(folder, monkeypatch):
    monkeypatch.setenv("DFKD_RESULTS", str(folder))
    assert [r["seed"] for r in results.arm("mad", "mad", "digits")] == [0, 1]
    assert [r["seed"] for r in results.arm("mad", "mad", "digits", batch=64)] == [2]
    assert {r["method"] for r in results.arm("abm", "abm", "digits")} == {"abm"}
    for method, data, changes in (("mad", "digits", {"batch": 32}), ("mad", "digits_half", {}), ("abm", "digits", {})):
        with pytest.raises(UserError, match=f"none of {method} on {data}"):
            results.arm("mad", method, data, **changes)
    with pytest.raises(UserError, match="no folder .*weekly"):
        results.arm("weekly", "mad", "digits")


def test_intervals_over_seeds():
    records = [{"seed": seed, "kl_last": value} for seed, value in enumerate([1.0, 2.0, 6.0])]
    assert results.mean_interval(records, "kl_last") == theory.mean_interval([1.0, 2.0, 6.0])


def test_differences_are_paired_by_seed():
    """In whatever order the records come; a seed that only one arm has is left out."""
    a = [{"seed": seed, "accuracy_last": value} for seed, value in ((2, 90.0), (0, 70.0), (1, 85.0), (5, 1.0))]
    b = [{"seed": seed, "accuracy_last": value} for seed, value in ((7, 99.0), (0, 60.0), (1, 84.0), (2, 86.0))]
    mean, half = results.paired(a, b, "accuracy_last")
    assert (mean, half) == pytest.approx(theory.mean_interval([10.0, 1.0, 4.0]))
    assert results.paired(b, a, "accuracy_last") == pytest.approx((-mean, half))


@pytest.mark.parametrize("key", results.REQUIRED)
def test_a_record_without_its_provenance_is_refused(folder, made, key):
    del made[key]
    (folder / "poor.json").write_text(json.dumps(made))
    with pytest.raises(UserError) as caught:
        results.load_records(folder, method="abm")
    assert "poor.json" in str(caught.value) and key in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", '{"method": "mad"}', "[]", pytest.param("3")])
def test_a_file_that_is_no_record_is_refused(folder, text):
    (folder / "broken.json").write_text(text)
    with pytest.raises(UserError) as caught:
        results.load_records(folder)
    assert "broken.json" in str(caught.value) and len(str(caught.value).splitlines()) == 1


def test_records_are_the_checkouts_or_those_that_came_installed(monkeypatch):
    assert results.records_folder() == ROOT / "results"
    monkeypatch.setattr(results, "project_folder", lambda: None)
    assert results.records_folder() == ROOT / "dfkd_lib" / "records"  # test_package.py looks into a wheel
