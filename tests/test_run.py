"""`python -m dfkd_lib.run`: what it writes, and that whatever is wrong is told in one line before any work."""

import dataclasses
import io
import json
import re
import subprocess
import sys

import pytest
import torch
from chapters import ROOT
from faults import related_images, told
from safetensors.torch import load_file

from dfkd_lib import evaluation, files, results, run
from dfkd_lib.errors import UserError
from dfkd_lib.methods import METHODS
from dfkd_lib.methods.with_data import images_for
from dfkd_lib.models import build
from dfkd_lib.recipe import CHOICES
from dfkd_lib.recipes import Recipe, recipe_for

QUICK = "--budget 2 --device cpu --precision float32 --set batch=16 --set student_batch=16".split()


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    monkeypatch.setenv("DFKD_OFFLINE", "1")


def refused(capsys, tmp_path, *arguments: str) -> str:
    """The one line on stderr, of a run that ends with status 2 and writes nothing."""
    before = set(tmp_path.rglob("*"))
    status = run.main(["--device", "cpu", "--output-dir", str(tmp_path / "out"), *arguments])
    printed = capsys.readouterr()
    assert status == 2
    assert printed.out == ""
    assert set(tmp_path.rglob("*")) == before
    [line] = printed.err.splitlines()
    return line


# --- a run -----------------------------------------------------------------------------------------------------------


def test_a_run_leaves_its_record_and_its_student(capsys, tmp_path, digits, teacher):
    arguments = ["--method", "mad", "--seed", "3", "--output-dir", str(tmp_path), *QUICK]
    assert run.main(arguments) == 0
    lock_file, record_file, student_file = sorted(tmp_path.iterdir())
    assert lock_file.name == f".{record_file.stem}.lock" and lock_file.stat().st_size == 0
    assert student_file.suffix == ".safetensors" and record_file.stem == student_file.stem

    [record] = results.load_records(tmp_path)
    assert record["method"] == "mad" and record["seed"] == 3 and record["teacher_hash"] == teacher.hash
    assert record["changes"] == {"batch": 16, "student_batch": 16, "stages": 2}
    assert record["samples"] == 2 * 5 * 2 * 16
    assert record["device"] == "cpu" and record["precision"] == "float32"
    assert "probe" not in record

    student = build(record["student"], 10)
    student.load_state_dict(load_file(student_file))
    scores = evaluation.evaluate(student, evaluation.TestSet.of(digits, teacher.network, "cpu"))
    assert scores.accuracy == record["accuracy_last"]
    assert scores.agreement == record["agreement_last"]
    assert scores.kl == pytest.approx(record["kl_last"], rel=1e-4)

    first, last = capsys.readouterr().out.splitlines()
    assert first.startswith("mad on digits: NOT THE FULL SCHEDULE: 10 student steps")
    assert last.startswith(f"accuracy {record['accuracy_last']:.2f} % (teacher 99.11 %)") and str(record_file) in last


@pytest.mark.parametrize("more", [[], ["--probe"]])
def test_the_recorded_command_gives_the_same_numbers(tmp_path, more):
    run.main(["--method", "abm", "--record-only", "--output-dir", str(tmp_path / "first"), *QUICK, *more])
    [first] = results.load_records(tmp_path / "first")
    words = first["command"].split()
    assert words[-1:] == more or not more and "--probe" not in words
    assert ("probe" in first) == bool(more)
    run.main([*words[3:], "--record-only", "--output-dir", str(tmp_path / "again")])
    [again] = results.load_records(tmp_path / "again")
    assert told(again) == told(first)


def test_a_probed_run_records_what_was_seen(tmp_path):
    arguments = ["--method", "dfad", "--probe", "--record-only", "--output-dir", str(tmp_path), *QUICK]
    assert run.main([*arguments, "--budget", "24", "--set", "student_steps=1"]) == 0
    [path] = tmp_path.iterdir()  # and no lock: it keeps no checkpoint
    probe = json.loads(path.read_text())["probe"]
    assert len(probe["autocorrelation"]) == 21 and len(probe["power"]) == len(probe["frequency"])


def test_a_short_run_can_be_probed(tmp_path):
    arguments = ["--method", "dfad", "--probe", "--record-only", "--output-dir", str(tmp_path), *QUICK]
    assert run.main(arguments) == 0


SMALL = Recipe(
    stages=2,
    batch=8,
    student_batch=8,
    student_steps=1,
    generator_width=2,
    z_dim=6,
    stages_per_epoch=1,
    collected_ratio=0.1,
)


@pytest.mark.parametrize("method", METHODS)
def test_settings_that_a_method_does_not_read_become_the_defaults(digits, teacher, method, tmp_path, monkeypatch):
    monkeypatch.setenv("DFKD_DATA", str(related_images(tmp_path / "data")))
    other = {"momentum": 0.5, "lambda0": 2.0, "lambda1": 3.0, "conditional": True, "lambda_nll": 0.1, "lambda_bn": 0.1}
    if method == "kd_unr":
        monkeypatch.setattr(run, "images_for", lambda kind, *args, **options: images_for("original", *args, **options))
    done = run.run(method, SMALL.replace(**other), digits, teacher)
    asked = SMALL.replace(**other).values()
    kept = Recipe(**{name: value for name, value in asked.items() if name not in METHODS[method].unused()})
    assert done.method.recipe == Recipe(**done.record["parameters"]) == kept
    assert done.record["changes"] == results.changes(kept)
    assert kept.stages == 2 and (kept.momentum == 0.5) == (method == "mad")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"dataset": "digits_half"}, ["dataset", "'digits_half'", "digits"]),
        ({"teacher": "lenet5_half"}, ["teacher", "'lenet5_half'", "lenet5"]),
        ({"student": "wrn16_2"}, ["student", "wrn16_2", "1×32×32"]),
    ],
)
def test_a_recipe_for_something_else_is_refused(digits, teacher, change, words):
    with pytest.raises(UserError) as caught:
        run.run("mad", SMALL.replace(**change), digits, teacher)
    assert len(str(caught.value).splitlines()) == 1
    assert [word for word in words if word not in str(caught.value)] == []


def test_a_teacher_of_other_images_of_the_same_name_is_refused(digits, teacher):
    """Its record, which the cache keeps by name, tells another accuracy than these test images do."""
    other = dataclasses.replace(teacher, accuracy=teacher.accuracy - 2)
    with pytest.raises(UserError, match=f"by its record {other.accuracy:.2f} %: it was trained on other images"):
        run.run("mad", SMALL, digits, other)


def test_the_recorded_commit_is_that_of_the_start(digits, teacher, monkeypatch):
    """The checkout moves on while the run goes on."""
    now = ["before"]
    monkeypatch.setattr(results, "commit", lambda: now[0])
    done = run.run("abm", SMALL, digits, teacher, observe=lambda stage, game: now.__setitem__(0, "after"))
    assert (done.record["commit"], results.commit()) == ("before", "after")


def test_a_relative_folder_lies_in_the_checkout(tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    monkeypatch.setattr(files, "project_folder", lambda: tmp_path / "checkout")
    assert files.output_folder("output") == tmp_path / "checkout" / "output"
    assert files.output_folder(str(tmp_path)) == tmp_path
    monkeypatch.setattr(files, "project_folder", lambda: None)
    assert files.output_folder("output") == tmp_path / "elsewhere" / "output"


def test_one_stage_cannot_be_probed(capsys, tmp_path):
    assert "two stages" in refused(capsys, tmp_path, "--probe", "--budget", "1")


@pytest.mark.parametrize("method", ["random", "deepinversion", "kd_ori"])
def test_a_method_without_generator_cannot_be_probed(capsys, tmp_path, method):
    assert "no generator to measure" in refused(capsys, tmp_path, "--probe", "--method", method)


# --- what is wrong ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("--method madd", "method 'madd' mean 'mad' abm dfad mad"),
        ("--dataset digit", "dataset 'digit' digits digits_half cifar100 DFKD_DATA"),
        ("--dataset cifar1000", "dataset 'cifar1000' mean 'cifar100' digits"),
        ("--dataset cifar100", "cifar100.npz DFKD_DATA DFKD_OFFLINE"),
        ("--dataset tiny_imagenet", "tiny_imagenet.npz DFKD_DATA tiny-imagenet-200.zip"),
        ("--recipe mda", "recipe 'mda' mean 'mad' arvi dfad ours"),
        ("--recipe mad", "recipe mad digits ours"),
        ("--recipe mad --dataset mnist", "recipe mad mnist arvi dfad ours"),
        ("--pair lenet5", "pair 'lenet5' TEACHER-STUDENT auto"),
        ("--pair=-lenet5", "pair '-lenet5' TEACHER-STUDENT auto"),
        ("--pair lenet5-", "student '' lenet5_half"),
        ("--pair lenet5-lenet", "student 'lenet' mean 'lenet5' lenet5_half"),
        ("--pair lenet-lenet5", "teacher 'lenet' lenet5_half"),
        ("--pair lenet5-wrn16_2", "student wrn16_2 3×32×32 1×32×32 lenet5 lenet5_half"),
        ("--pair wrn16_2-lenet5", "teacher wrn16_2 3×32×32 1×32×32 lenet5 lenet5_half"),
        ("--pair none.pt:lenet5-lenet5", "teacher none.pt"),
        ("--checkpoint-every 0", "checkpoint-every 0 1"),
        ("--checkpoint-every x", "checkpoint-every 'x' --help"),
        ("--probe --resume", "probe checkpoints --resume"),
        ("--probe --method kd_ori", "probe kd_ori generator"),
        ("--method kd_rel", "source digits mnist usps DFKD_DATA"),
        ("--method hidfd --set collected_from=nowhere", "collected_from 'nowhere' usps DFKD_DATA"),
        ("--method hidfd --set collected_from=a/b", "collected_from 'a/b' auto"),
        ("runs", "action 'runs' run list"),
        ("--seed -1", "seed -1 0"),
        ("--budget 0", "budget 0 auto full short"),
        ("--budget long", "budget 'long' auto full short"),
        ("--device tpu", "device 'tpu' auto cpu cuda"),
        ("--precision float16", "precision 'float16' bfloat16 float32"),
        ("--output-dir=", "output_dir ''"),
        ("--set momentun=0.5", "setting 'momentun' mean 'momentum' batch z_dim"),
        ("--set momentum", "'momentum' NAME=VALUE"),
        ("--set momentum=.5 --set momentum=.6", "momentum twice"),
        ("--set momentum=2", "momentum 2 0 1"),
        ("--set momentum=nan", "momentum 'nan' 0 1"),
        ("--set generator_lr=-1", "generator_lr -1 0"),
        ("--set lambda1=inf", "lambda1 'inf'"),
        ("--set lambda1=1e999", "lambda1 inf"),
        ("--set batch=0", "batch 0 1"),
        ("--set batch=1.5", "batch 1.5 whole"),
        ("--set batch=True", "batch True whole"),
        ("--set stages=0", "stages 0 1"),
        ("--set reuse=0", "reuse 0 1"),
        ("--set reuse=2", "reuse 2 5 divisor"),
        ("--set reuse=5 --set student_steps=12", "reuse 5 12 divisor"),
        ("--set conditional=1", "conditional '1' True False"),
        ("--set milestones=0.5", "milestones '0.5' tuple"),
        ("--set milestones=(0.5,'x')", "milestones 'x'"),
        ("--set schedule=linear", "schedule 'linear' constant cosine step"),
        ("--set student_optimizer=lion", "student_optimizer 'lion' adam sgd"),
        ("--set ema_statistics=none", "ema_statistics 'none' averaged batch reestimated"),
        ("--set generator=gan", "generator 'gan' generator_a mad_cifar"),
        ("--set student=lenet5", "setting 'student'"),
        ("--set dataset=cifar10", "setting 'dataset'"),
        ("--set sources=me", "setting 'sources'"),
    ],
)
def test_one_clear_line(capsys, tmp_path, arguments, words):
    line = refused(capsys, tmp_path, *arguments.split())
    assert line.startswith("error: ")
    assert [word for word in words.split() if word not in line] == []


def unusual(name: str) -> str:
    """Another value of the setting than digits' recipe has."""
    usual = getattr(recipe_for("digits"), name)
    if name in CHOICES:
        return next(choice for choice in CHOICES[name] if choice != usual)
    if name in ("reuse", "milestones", "collected_from"):
        return {"reuse": "5", "milestones": "(0.1,)", "collected_from": "usps"}[name]
    return str(not usual if isinstance(usual, bool) else usual + 1 if isinstance(usual, int) else usual / 2 + 0.1)


@pytest.mark.parametrize("method", METHODS)
def test_one_clear_line_for_a_setting_that_the_method_does_not_read(capsys, tmp_path, method):
    for name in METHODS[method].unused():
        line = refused(capsys, tmp_path, "--method", method, "--set", f"{name}={unusual(name)}")
        assert line == f"error: setting {name}: {method} does not use it"


@pytest.mark.parametrize("setting", ["stu\ndent=auto", "momentum={[]}", "momentum=1" + 400 * "0"])
def test_one_clear_line_for_odd_settings(capsys, tmp_path, setting):
    assert repr(setting.split("=")[0]).strip("'") in refused(capsys, tmp_path, "--set", setting)


@pytest.mark.parametrize("arguments", ["--seed abc", "--sed 1", "run extra", "--set", "--resume=yes"])
def test_one_clear_line_for_what_argparse_refuses(capsys, tmp_path, arguments):
    line = refused(capsys, tmp_path, *arguments.split())
    assert line.startswith("error: ") and line.endswith("; --help lists what is allowed")


def test_a_folder_that_cannot_be_written_is_told_before_the_run(capsys, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setattr(run, "run", lambda *args, **options: pytest.fail("the run began"))
    assert "output_dir" in refused(capsys, tmp_path, "--output-dir", str(tmp_path / "file" / "out"))


def test_a_run_that_diverges_says_so_in_one_line(capsys, tmp_path):
    """Its last checkpoint is from before, and finite; and it is not continued from by mistake."""
    arguments = ["--output-dir", str(tmp_path), *QUICK, "--budget", "9", "--set", "student_lr=1e20"]
    assert run.main([*arguments, "--checkpoint-every", "1", "--set", "student_steps=1"]) == 2
    [line] = capsys.readouterr().err.splitlines()
    where = re.match(r"error: the (student|generator)'s loss is not finite at stage (\d), \1 step 1, term \S+; ", line)
    [path] = tmp_path.glob("*.ckpt")
    assert str(path) in line and "lower student_lr" in line
    made = torch.load(io.BytesIO(path.read_bytes().partition(b"\n")[2]), weights_only=True)
    assert made["state"]["stage"] == int(where[2]) - 1
    assert all(torch.isfinite(value).all() for value in made["state"]["method"]["student"].values())
    assert not list(tmp_path.glob("*.json"))


def test_as_a_command(tmp_path):
    command = [sys.executable, "-m", "dfkd_lib.run", "--method", "madd", "--output-dir", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    allowed = ", ".join(sorted(METHODS))
    assert done.stderr == f"error: method: 'madd' is not known (did you mean 'mad'?); allowed: {allowed}\n"
