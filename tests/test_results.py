"""Records: what stands in one, how it is written and read, and that those in the repository hold."""

import errno
import json
import math
import os
import shlex
from pathlib import Path

import pytest
import torch
from chapters import RECORD_KEYS, ROOT
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from dfkd_lib import results, run, theory
from dfkd_lib.errors import UserError
from dfkd_lib.methods import METHODS
from dfkd_lib.models import build
from dfkd_lib.recipes import CHOICES, Recipe, recipe_for
from dfkd_lib.teachers import SHIPPED
from dfkd_lib.training import History

SHA = "0123456789abcdef0123456789abcdef01234567"
COMMITTED = sorted((ROOT / "results").glob("**/*.json"))

changed = st.fixed_dictionaries(
    {},
    optional={
        "student": st.sampled_from(["lenet5", "lenet5_half"]),
        "stages": st.integers(1, 10**6),
        "batch": st.integers(1, 512),
        "reuse": st.integers(1, 50),
        "momentum": st.floats(0, 1),
        "lambda1": st.floats(0, 1e6),
        "generator_lr": st.floats(1e-9, 1),
        "conditional": st.booleans(),
        "schedule": st.sampled_from(CHOICES["schedule"]),
        "ema_statistics": st.sampled_from(CHOICES["ema_statistics"]),
    },
).map(lambda made: made | ({"student_steps": 5 * made["reuse"]} if "reuse" in made else {}))  # reuse divides it


@pytest.fixture
def made(teacher) -> dict:
    history = History()
    for stage, accuracy in ((1, 40.0), (2, 60.0), (3, 50.0)):
        row = {"generator_loss": -1.0, "student_loss": 1.0, "agreement": 2 * stage, "kl": 1 / stage}
        history.append(stage=stage, samples=10 * stage, seconds=float(stage), accuracy=accuracy, **row)
    return results.record("mad", Recipe(), 3, teacher, history, device="cpu", precision="float32", sha=SHA)


def recipe_of(record: dict) -> Recipe:
    """The recipe, from a record's JSON: which knows no tuples."""
    return Recipe(**{k: tuple(v) if isinstance(v, list) else v for k, v in record["parameters"].items()})


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


@given(changed)
def test_changes_are_what_differs(changes):
    recipe = recipe_for("digits_half").replace(**changes)
    assert recipe_for("digits_half").replace(**results.changes(recipe)) == recipe
    assert set(results.changes(recipe)) <= set(changes)


@given(changed, changed)
def test_different_settings_have_different_names(one, other):
    one, other = (recipe_for("digits").replace(**changes) for changes in (one, other))
    names = results.run_name("mad", one, 0), results.run_name("mad", other, 0)
    assert (names[0] == names[1]) == (one == other)
    assert "/" not in names[0]


def test_a_name_tells_method_data_pair_and_seed():
    names = {
        results.run_name(method, recipe_for(dataset, student=student), seed)
        for method in ("abm", "mad")
        for dataset in ("digits", "digits_half")
        for student in ("lenet5", "lenet5_half")
        for seed in (0, 1)
    }
    assert len(names) == 16
    assert "mad-digits-lenet5-lenet5_half-s0" in names


class Reached(Exception):
    """main has understood its arguments, and would start to train."""


def understood(command: str) -> tuple:
    """Method, recipe and options that a record's command line would run. Needs neither data nor a teacher."""

    def reached(method, recipe, dataset, teacher, *, seed, device, precision, observe):
        raise Reached(method, recipe, seed, device, precision)

    program, *arguments = shlex.split(command)
    assert (program, arguments[:2]) == ("python", ["-m", "dfkd_lib.run"])
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Reached) as caught:
        patch.setattr(run, "run", reached)
        for name in ("load_dataset", "check_fits", "load_teacher"):
            patch.setattr(run, name, lambda *arguments: None)
        run.main(arguments[2:])
    return caught.value.args


@pytest.mark.parametrize("method", METHODS)
@given(changes=changed)
def test_the_command_repeats_the_run(method, changes):
    read = {name: value for name, value in changes.items() if name not in METHODS[method].unused}
    recipe = recipe_for("digits").replace(**read)
    command = results.command(method, recipe, 7, "cpu", "float32")
    assert understood(command) == (method, recipe, 7, "cpu", "float32")


def test_the_command_repeats_a_run_with_milestones():
    recipe = recipe_for("digits").replace(schedule="step", milestones=(0.5, 0.75))
    assert understood(results.command("mad", recipe, 0, "cpu", "float32"))[1] == recipe


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


def test_records_have_no_place_without_a_checkout(monkeypatch):
    assert results.records_folder() == ROOT / "results"
    monkeypatch.setattr(results, "project_folder", lambda: None)
    with pytest.raises(UserError, match="DFKD_RESULTS"):
        results.records_folder()


# --- the repository's ------------------------------------------------------------------------------------------------


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
    assert path.stem == results.run_name(record["method"], recipe_of(record), record["seed"])
    assert all(map(math.isfinite, numbers(record)))
    shipped = json.loads((SHIPPED / f"{record['dataset']}-{record['teacher']}.json").read_text())
    assert record["teacher_hash"] == shipped["hash"]
    assert record["teacher_accuracy"] == pytest.approx(shipped["accuracy"])
    assert record["history"]["stage"][-1] == record["parameters"]["stages"]
    assert 0 <= record["accuracy_last"] <= record["accuracy_best"] <= 100
    assert understood(record["command"])[:3] == (record["method"], recipe_of(record), record["seed"])
