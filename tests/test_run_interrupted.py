"""The command, ended early in every way there is, and continued with --resume: the same student, and nothing else left.

Runs in this process, but for those whose end is that of a process.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from chapters import ROOT
from faults import EVERY, PLACE, Crash, ended_at, observed, told, words

from dfkd_lib import run

MAD = ["--method", "mad", "--seed", "1", *PLACE]
RUN = [*MAD, *words(), "--checkpoint-every", str(EVERY)]
# Some seconds of work, most of it writing checkpoints.
LONG = [*MAD, *words(stages=250, stages_per_epoch=40), "--checkpoint-every", "1"]


def main(folder: Path, *more: str, arguments: list[str] = RUN) -> int:
    return run.main([*arguments, "--output-dir", str(folder), *more])


def start(folder: Path, *more: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "dfkd_lib.run", *LONG, "--output-dir", str(folder), *more]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def student(folder: Path) -> bytes:
    [path] = folder.glob("*.safetensors")
    return path.read_bytes()


def record(folder: Path) -> dict:
    [path] = folder.glob("*.json")
    return told(json.loads(path.read_text()))


def kinds(folder: Path) -> set[str]:
    """The files, by what is behind the run's name, which all share."""
    [lock] = folder.glob(".*.lock")
    name = lock.name.removeprefix(".").removesuffix(".lock")
    assert all(name in path.name for path in folder.iterdir())
    return {path.name.replace(name, "") for path in folder.iterdir()}


DONE = {"..lock", ".json", ".safetensors"}
KEPT = {"..lock", ".ckpt", ".ckpt.previous"}


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """What the run leaves that nobody interrupts."""
    folder = tmp_path_factory.mktemp("whole")
    assert main(folder) == 0
    assert kinds(folder) == DONE
    return folder


@pytest.fixture
def stopped(tmp_path, monkeypatch):
    """A run that crashed in its fifth stage; its last checkpoint is behind the fourth."""
    with monkeypatch.context() as patch, pytest.raises(Crash):
        observed(patch, ended_at(5, "crash"))
        main(tmp_path)
    assert kinds(tmp_path) == KEPT
    return tmp_path


def lines(capsys) -> tuple[list[str], list[str]]:
    printed = capsys.readouterr()
    return printed.out.splitlines(), printed.err.splitlines()


# --- resume ----------------------------------------------------------------------------------------------------------


def test_it_continues_where_it_was(stopped, whole, capsys):
    lines(capsys)
    assert main(stopped, "--resume") == 0
    out, err = lines(capsys)
    assert err == [] and out[1] == "mad, seed 1: continuing behind stage 4 of 7" and len(out) == 3
    assert student(stopped) == student(whole) and record(stopped) == record(whole)
    assert kinds(stopped) == DONE


def test_without_a_checkpoint_it_begins(tmp_path, whole, capsys):
    assert main(tmp_path, "--resume") == 0
    assert "continuing" not in capsys.readouterr().out
    assert student(tmp_path) == student(whole) and kinds(tmp_path) == DONE


def test_a_finished_run_is_not_made_again(whole, tmp_path, capsys, monkeypatch):
    shutil.copytree(whole, tmp_path / "copy")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "copy").iterdir()}
    with monkeypatch.context() as patch:
        patch.setattr(run, "run", lambda *args, **options: pytest.fail("the run began"))
        for more in ([], ["--record-only"]):
            assert main(tmp_path / "copy", "--resume", *more) == 0
            out, err = lines(capsys)
            assert err == [] and len(out) == 1 and "is finished" in out[0]
            assert str(next((tmp_path / "copy").glob("*.json"))) in out[0]
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "copy").iterdir()} == before
    # Another seed, and another recipe, are other runs.
    assert main(tmp_path / "copy", "--resume", "--seed", "2") == 0
    assert main(tmp_path / "copy", "--resume", "--set", "momentum=0.5") == 0
    assert len(list((tmp_path / "copy").glob("*.json"))) == 3


def test_settings_that_the_method_does_not_read_are_no_other_run(tmp_path, capsys):
    """`short` changes some; the name is that of the record all the same."""
    short = ["--method", "random", "--budget", "short", *PLACE]
    assert main(tmp_path, arguments=short) == 0
    assert main(tmp_path, "--resume", arguments=short) == 0
    assert "is finished" in capsys.readouterr().out
    assert len(list(tmp_path.glob("*.json"))) == 1


def test_what_the_method_does_not_read_may_have_changed_since(whole, tmp_path):
    """A later library has another default for it."""
    shutil.copytree(whole, tmp_path / "copy")
    path = next((tmp_path / "copy").glob("*.json"))
    made = json.loads(path.read_text())
    for name, status in (("lambda_attention", 0), ("student_lr", 2)):
        made["parameters"][name] = 123.0
        path.write_text(json.dumps(made))
        assert main(tmp_path / "copy", "--resume") == status


def test_a_record_without_its_student_is_not_the_end(whole, tmp_path):
    shutil.copytree(whole, tmp_path / "copy")
    next((tmp_path / "copy").glob("*.safetensors")).unlink()
    assert main(tmp_path / "copy", "--resume") == 0
    assert student(tmp_path / "copy") == student(whole)


def test_another_runs_record_is_told(whole, tmp_path, capsys):
    shutil.copytree(whole, tmp_path / "copy")
    assert main(tmp_path / "copy", "--resume", "--precision", "bfloat16") == 2
    out, [line] = lines(capsys)
    assert out == [] and "precision is 'float32', here 'bfloat16'" in line and "leave out --resume" in line


def test_a_checkpoint_is_no_finished_run(stopped, whole):
    """Also beside an older record: it is the newer."""
    for path in whole.glob("*.json"):
        shutil.copy(path, stopped)
    assert main(stopped, "--resume") == 0
    assert student(stopped) == student(whole) and kinds(stopped) == DONE


def test_unasked_a_checkpoint_is_neither_used_nor_overwritten(stopped, capsys):
    before = {path: path.read_bytes() for path in stopped.iterdir()}
    lines(capsys)
    assert main(stopped) == 2
    _, [line] = lines(capsys)
    assert line.startswith("error: output_dir: ") and ".ckpt" in line and "--resume" in line
    assert {path: path.read_bytes() for path in stopped.iterdir()} == before


def test_a_broken_checkpoint_is_replaced_by_the_one_before(stopped, whole, capsys):
    path = next(stopped.glob("*.ckpt"))
    path.write_bytes(path.read_bytes()[:-1])
    lines(capsys)
    assert main(stopped, "--resume") == 0
    out, [line] = lines(capsys)
    assert "damaged or cut short" in line and "continuing behind stage 2 of 7" in out[1]
    assert student(stopped) == student(whole) and kinds(stopped) == DONE


def test_if_all_are_broken_nothing_is_done(stopped, capsys):
    for path in stopped.glob("*.ckpt*"):
        path.write_bytes(path.read_bytes()[:-1])
    before = {path: path.read_bytes() for path in stopped.iterdir()}
    lines(capsys)
    assert main(stopped, "--resume") == 2
    _, [line] = lines(capsys)
    assert line.startswith("error: resume: ") and line.count("damaged or cut short") == 2
    assert {path: path.read_bytes() for path in stopped.iterdir()} == before


# --- two at once -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("more", [[], ["--resume"]])
def test_the_same_twice_at_once_is_refused(tmp_path, whole, capsys, monkeypatch, more):
    """The second is told, in one line; the first does not notice. Another run may be made beside it."""
    seen = []

    def meanwhile(stage, method):
        if stage == 5 and not seen:
            seen.append(lines(capsys))
            seen.append((main(tmp_path, *more), lines(capsys)))
            seen.append(main(tmp_path, "--seed", "2"))

    with monkeypatch.context() as patch:
        observed(patch, meanwhile)
        assert main(tmp_path) == 0
    _, (status, (_, [line])), other = seen
    assert (status, other) == (2, 0)
    assert line.startswith("error: output_dir: another process is running mad-digits-") and str(tmp_path) in line
    [path] = tmp_path.glob("*-s1.safetensors")
    assert path.read_bytes() == student(whole)
    assert not list(tmp_path.glob("*.ckpt*"))


# --- signals and kills -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_signal_ends_it_with_a_checkpoint(tmp_path, whole, capsys, monkeypatch, name):
    with monkeypatch.context() as patch:
        observed(patch, ended_at(3, name))
        assert main(tmp_path) == 128 + getattr(signal, name)
    _, [line] = lines(capsys)
    assert line == (
        f"stopped by {name} behind stage 3; its checkpoint is written; continue with the same command and --resume"
    )
    assert kinds(tmp_path) == KEPT
    assert main(tmp_path, "--resume") == 0
    assert student(tmp_path) == student(whole) and record(tmp_path) == record(whole) and kinds(tmp_path) == DONE


def test_an_interrupt_outside_the_loop_is_one_line_too(tmp_path, capsys, monkeypatch):
    def interrupted(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "load_dataset", interrupted)
    assert main(tmp_path) == 130
    assert lines(capsys) == ([], ["stopped by SIGINT"])


@pytest.fixture(scope="module")
def long_whole(tmp_path_factory) -> tuple[Path, float, float]:
    """The longer run as a process; when it began to work, and when it ended, in seconds from its start."""
    folder = tmp_path_factory.mktemp("long")
    started = time.perf_counter()
    process = start(folder)
    process.stdout.readline()
    began = time.perf_counter() - started
    assert process.communicate(timeout=600)[1] == ""
    assert process.returncode == 0 and kinds(folder) == DONE
    return folder, began, time.perf_counter() - started


@pytest.mark.slow
@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_signal_to_the_process(tmp_path, long_whole, name):
    process = start(tmp_path)
    while not list(tmp_path.glob("*.ckpt")):
        time.sleep(0.01)
    process.send_signal(getattr(signal, name))
    _, err = process.communicate(timeout=600)
    assert process.returncode == 128 + getattr(signal, name)
    [line] = err.splitlines()
    assert line.startswith(f"stopped by {name} behind stage ") and line.endswith("and --resume")
    assert kinds(tmp_path) == KEPT
    assert main(tmp_path, "--resume", arguments=LONG) == 0
    assert student(tmp_path) == student(long_whole[0]) and kinds(tmp_path) == DONE


@pytest.mark.slow
def test_killed_at_any_moment_it_ends_with_the_same_student(tmp_path, long_whole, capsys):
    """kill -9 at six moments: two while it starts, the others over all the time that it works and writes.

    `python -m reliability.ended` takes a hundred.
    """
    expected, began, ended = long_whole
    chance, resumed = random.Random(0), 0
    for number in range(6):
        folder = tmp_path / str(number)
        process = start(folder)
        if number < 2:
            time.sleep(chance.uniform(0, began))
        else:
            process.stdout.readline()
            time.sleep(chance.uniform(0, 1.05 * (ended - began)))
        process.kill()
        _, err = process.communicate(timeout=600)
        assert err == "" and process.returncode in (0, -signal.SIGKILL)
        if not folder.exists():
            continue
        begun = {path.name for path in folder.iterdir()}
        assert not any(name.endswith(".json") for name in begun) or any(name.endswith(".safetensors") for name in begun)
        # The first two are continued by processes too.
        if number < 3:
            process = start(folder, "--resume")
            out, err = process.communicate(timeout=600)
            assert err == "" and process.returncode == 0
        else:
            lines(capsys)
            assert main(folder, "--resume", arguments=LONG) == 0
            out = capsys.readouterr().out
        resumed += "continuing behind stage" in out
        assert student(folder) == student(expected), number
        assert record(folder) == record(expected)
        assert kinds(folder) == DONE
    assert resumed >= 2  # else the moments were not what they should be
