"""``python -m dfkd_lib.run``: what it leaves and refuses, and how it ends early."""

import dataclasses
import json
import os
import random
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from chapters import ROOT
from safetensors.torch import load_file
from torch.utils.flop_counter import FlopCounterMode

from dfkd_lib import run
from dfkd_lib.data import DATASETS, NETWORKS, Dataset, Images
from dfkd_lib.errors import UserError
from dfkd_lib.methods import METHODS, readable
from dfkd_lib.models import build
from dfkd_lib.models.network import as_named
from dfkd_lib.recipes import PAPERS, RECIPES, recipe_for
from dfkd_lib.train import TestSet, evaluate, train

PLACE = ["--device", "cpu", "--precision", "float32"]
TINY = "generator_width=2 z_dim=6 batch=8 student_batch=8 student_steps=2".split()
RUN = ["--seed", "1", *PLACE, "--set", *TINY, "stages=7", "stages_per_epoch=3"]
LONG = ["--seed", "1", *PLACE, "--set", *TINY, "stages=100", "stages_per_epoch=40"]


def main(folder, *more, arguments=RUN):
    return run.main([*arguments, "--output-dir", str(folder), *more])


def told(record):
    """A record without what equal runs need not share."""
    own = ("seconds", "resumed", "commit", "tree")
    history = {n: v for n, v in record["history"].items() if n not in own}
    rest = {n: v for n, v in record.items() if n not in own}
    return rest | {"history": history}


def left(folder):
    """The record and the student's bytes; nothing else is there but the lock."""
    names = sorted(path.suffix for path in folder.iterdir())
    assert names == [".json", ".lock", ".safetensors"]
    (record,), (student,) = folder.glob("*.json"), folder.glob("*.safetensors")
    return told(json.loads(record.read_text())), student.read_bytes()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """What a run leaves that nobody interrupts."""
    folder = tmp_path_factory.mktemp("whole")
    assert main(folder) == 0
    return folder


# --- a run ----------------------------------------------------------------------------


def test_a_run_leaves_its_record_and_its_student(whole, digits, teacher):
    record, _ = left(whole)
    assert (record["method"], record["seed"], record["device"]) == ("mad", 1, "cpu")
    assert record["teacher_hash"] == teacher.hash and record["precision"] == "float32"
    given = dict(setting.split("=") for setting in RUN[RUN.index("--set") + 1 :])
    assert record["changes"] == {name: int(value) for name, value in given.items()}
    assert record["samples"] == 7 * 2 * 2 * 8 and record["flop"] > 0
    assert record["history"]["stage"] == [3, 6, 7]
    assert record["sources"]["batch"] == "given"
    [path] = whole.glob("*.safetensors")
    assert path.stem == record["key"]
    student = build(record["student"], 10)
    student.load_state_dict(load_file(path))
    scores = evaluate(student, TestSet.of(digits, teacher.network, "cpu"))
    assert scores.accuracy == record["accuracy_last"]
    assert scores.kl == pytest.approx(record["kl_last"], rel=1e-4)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--method", "abm", *RUN],
        ["--method", "dfad", "--probe", *RUN],
        ["--method", "random", "--budget", "short", *PLACE],
        ["--method", "kd_ori", "--pair", "lenet5-lenet5", "--budget", "2", *PLACE],
    ],
    ids=["settings", "probe", "short", "pair"],
)
def test_the_recorded_command_repeats_the_numbers(arguments, tmp_path, capsys):
    made = []
    for name in ("first", "again"):
        assert main(tmp_path / name, "--record-only", arguments=arguments) == 0
        [path] = (tmp_path / name).glob("*.json")
        made.append(json.loads(path.read_text()))
        assert not list((tmp_path / name).glob("*.safetensors"))
        program, *arguments = shlex.split(made[0]["command"])
        assert (program, arguments[:2]) == ("python", ["-m", "dfkd_lib.run"])
        arguments = arguments[2:]
    assert told(made[0]) == told(made[1])
    assert ("probe" in made[0]) == ("--probe" in arguments)
    out = capsys.readouterr().out.splitlines()
    assert f"record: {path}" in out[-1] and "accuracy" in out[-1]
    if "abm" in arguments:  # without a terminal, a line at every test
        lines = [line for line in out if line.startswith("abm, seed 1: stage ")]
        assert [line.split(" ")[4] for line in lines] == ["3", "6", "3", "6"]
        assert all("loss " in line and "images/s" in line for line in lines)


# These pass the same networks as KD-ORI and MAD do, as often.
TWINS = {"kd_rel", "kd_unr", "kd_collected", "random", "abm", "dafl"}


@pytest.mark.parametrize("method", [name for name in METHODS if name not in TWINS])
def test_a_runs_flop_are_those_of_its_stages(method):
    """In the record's history, and as they are predicted for a budget in FLOP."""
    random = np.random.default_rng(0)
    x, y = random.integers(0, 255, (40, 32, 32, 1), np.uint8), np.arange(40) % 10
    data = Dataset("mnist", x, y, x, y, (0.5,), (0.2,))
    small = {"batch": 8, "student_batch": 8, "stages": 6, "generator_width": 4}
    small |= {"z_dim": 8, "memory": 16, "synthetic": 2, "inversion_steps": 3}
    small |= {"student_steps": 6, "generator_steps": 2, "stages_per_epoch": 6}
    small |= {"reuse": 3} if method == "mad" else {"warmup": 1}
    # one stage of the student, the last
    small |= {"gan_share": 5 / 6, "student_steps": 99} if method == "degan" else {}
    recipe = recipe_for("mnist", method, "lenet5", "lenet5_half")
    small = {name: v for name, v in small.items() if name in recipe.values()}
    recipe = recipe.replace(**small)
    settings, images = recipe.settings, Images.of(data, "cpu")
    given = recipe, build(recipe.teacher, 10), data
    states, total = [run.begin(*given, images=images) for _ in range(2)], 0
    for states[0].stage in range(1, 7):
        with as_named(), FlopCounterMode(display=False) as counter:
            settings.stage(states[0])
        total += counter.get_total_flops()
    test = TestSet.of(data, states[1].teacher, "cpu")
    near = 0.1 if method == "spaceshipnet" else 0.02
    assert train(settings, states[1], test).flop == pytest.approx(total, rel=near)
    predicted = run.schedule_flop(recipe, like=data)
    # FT's first stage also trains the paraphraser; CMI compares more and more images;
    # SpaceshipNet's stages differ; KD³ also judges all collected images
    if method not in ("ft", "cmi", "spaceshipnet", "kd3"):
        assert predicted == pytest.approx(total, rel=0.02)


@pytest.mark.slow
@pytest.mark.parametrize("page, method", [("02_arvi", "arvi"), ("04_hidfd", "hidfd")])
def test_the_flop_in_a_chapters_prose_are_those_of_its_papers_schedule(page, method):
    """Counting them takes too long for the chapter itself."""
    lines = (ROOT / "book" / f"{page}.py").read_text().splitlines()
    [line] = [line for line in lines if "run.schedule_flop`" in line]
    [told] = re.findall(r"(\d+) PFLOP", line)
    counted = run.schedule_flop(recipe_for("cifar100", method)) / 1e15
    assert float(told) == round(counted)


def test_list_and_help_name_everything(capsys):
    assert run.main(["list"]) == 0
    out = capsys.readouterr().out
    for name in (*METHODS, *DATASETS, *NETWORKS, *PAPERS):
        assert name in out
    for kind in METHODS.values():
        assert all(name in out for name in readable(kind))
    for entry in RECIPES:
        assert f"{entry.teacher}-{entry.student}" in out
    with pytest.raises(SystemExit):
        run.main(["--help"])
    out = capsys.readouterr().out
    for name in (*METHODS, *DATASETS, *PAPERS, "--resume", "NAME=VALUE", "list"):
        assert name in out


# --- what is wrong, before any work ---------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("--method madd", "method 'madd' mean 'mad' abm dfad"),
        ("--dataset cifar100", "cifar100.npz DFKD_DATA DFKD_OFFLINE"),
        ("--pair lenet5", "pair 'lenet5' TEACHER-STUDENT auto"),
        ("--pair=-lenet5", "pair '-lenet5' TEACHER-STUDENT auto"),
        ("--pair lenet5-lenet", "student 'lenet' mean 'lenet5' lenet5_half"),
        ("--pair lenet5-wrn16_2", "student wrn16_2 1×32×32 lenet5"),
        ("--pair none.pt:lenet5-lenet5", "teacher none.pt"),
        ("--checkpoint-every 0", "checkpoint-every 0 1"),
        ("--checkpoint-every x", "checkpoint-every 'x' --help"),
        ("--probe --resume", "probe --resume"),
        ("--probe --method kd_ori", "probe generator"),
        ("--probe --budget 1", "probe two stages"),
        ("--method kd_rel", "digits mnist usps DFKD_DATA"),
        ("--method hidfd --set collected_from=nowhere", "collected_from 'nowhere'"),
        ("runs", "action 'runs' run list"),
        ("--seed -1", "seed -1 0"),
        ("--budget long", "budget 'long' auto full short"),
        ("--compile yes", "compile 'yes' auto off on"),
        ("--method abm --set momentum=0.9", "setting of abm 'momentum' batch"),
    ],
)
def test_one_clear_line_with_status_2_and_nothing_written(
    arguments, words, tmp_path, capsys
):
    given = ["--device", "cpu", "--output-dir", str(tmp_path / "out")]
    assert run.main([*given, *arguments.split()]) == 2
    printed = capsys.readouterr()
    [line] = printed.err.splitlines()
    assert line.startswith("error: ")
    assert [word for word in words.split() if word not in line] == []
    assert printed.out == "" and not list(tmp_path.rglob("*.*"))


def test_what_other_settings_cure_is_one_line_and_our_mistakes_are_none(
    monkeypatch, capsys
):
    errors = [MemoryError(), RuntimeError("CPUAllocator: can't allocate memory")]
    errors += [ValueError("Expected more than 1 value per channel"), RuntimeError()]
    monkeypatch.setattr(run, "load_dataset", Mock(side_effect=errors))
    for words in (*2 * ["memory: too little"], "batch: BatchNorm"):
        assert run.main(PLACE) == 2
        [line] = capsys.readouterr().err.splitlines()
        assert line.startswith(f"error: {words}") and "student_batch" in line
    with pytest.raises(RuntimeError):
        run.main(PLACE)


def test_a_loss_that_is_not_finite_is_one_line(tmp_path, capsys):
    """Its last checkpoint is from before."""
    assert main(tmp_path, "--checkpoint-every", "1", "--set", "student_lr=1e20") == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("error: not finite at stage ") and "lower student_lr" in line
    assert not list(tmp_path.glob("*.json"))


def test_a_recipe_or_a_teacher_of_something_else_is_refused(digits, teacher):
    other = dataclasses.replace(teacher, accuracy=teacher.accuracy - 3)
    for change, given, words in (
        ({"dataset": "digits_half"}, teacher, "recipe's dataset: 'digits_half'"),
        ({"teacher": "lenet5_half"}, teacher, "recipe's teacher: 'lenet5_half'"),
        ({"student": "wrn16_2"}, teacher, "student: wrn16_2"),
        ({}, other, "by its record .*trained on other images"),
    ):
        recipe = dataclasses.replace(recipe_for("digits"), **change)
        with pytest.raises(UserError, match=words):
            run.run(recipe, digits, given)


def test_the_recorded_commit_is_that_of_the_start(digits, teacher, monkeypatch):
    now = ["before"]
    monkeypatch.setattr("dfkd_lib.records.commit", lambda: now[0])
    recipe = recipe_for("digits").replace(stages=1, batch=8, student_batch=8)
    moves = lambda state: now.__setitem__(0, "after")  # noqa: E731
    done = run.run(recipe, digits, teacher, observe=moves)
    assert (done.record["commit"], *now) == ("before", "after")


# --- ended early, and resumed ---------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_with_its_status_and_resume_continues(
    number, whole, tmp_path, capsys, monkeypatch
):
    def stop(state):
        if state.stage == 4:
            os.kill(os.getpid(), number)

    train, usual = run.train, signal.getsignal(number)
    with monkeypatch.context() as patch:
        options = {"observe": stop}
        patch.setattr(run, "train", lambda *a, **o: train(*a, **o | options))
        assert main(tmp_path) == 128 + number
    assert signal.getsignal(number) == usual
    name = signal.Signals(number).name
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(f"stopped by {name} after stage 4; its checkpoint is wri")
    assert "--resume" in line and len(list(tmp_path.glob("*.ckpt"))) == 1

    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    assert main(tmp_path) == 2  # unasked, a checkpoint is not used nor overwritten
    assert "--resume" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before

    assert main(tmp_path, "--resume") == 0
    assert "resumed after stage 4 of 7" in capsys.readouterr().out
    assert left(tmp_path) == left(whole)


def test_a_finished_run_is_not_made_again(whole, tmp_path, capsys):
    shutil.copytree(whole, tmp_path / "copy")
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "copy").iterdir()}
    for more in ([], ["--record-only"]):
        assert main(tmp_path / "copy", "--resume", *more) == 0
        [line] = capsys.readouterr().out.splitlines()
        assert "this run is finished; record: " in line
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "copy").iterdir()} == before
    assert main(tmp_path / "copy", "--resume", "--seed", "2") == 0  # another run
    assert len(list((tmp_path / "copy").glob("*.json"))) == 2


def test_killed_at_random_moments_it_ends_as_if_nothing_had_been(tmp_path):
    """kill −9, twice; each time it continues from its last checkpoint."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "dfkd_lib.run", *LONG, "--checkpoint-every", "1"]
    folder, moments = tmp_path / "killed", random.Random(0)
    for _ in range(2):
        process = subprocess.Popen(
            [*command, "--output-dir", str(folder), "--resume"],
            cwd=ROOT, env=environment, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        before = max([p.stat().st_mtime_ns for p in folder.glob("*.ckpt")], default=0)
        end = time.monotonic() + 120
        while time.monotonic() < end and process.poll() is None:
            now = [p.stat().st_mtime_ns for p in folder.glob("*.ckpt")]
            if max(now, default=0) > before:  # it trains
                break
            time.sleep(0.01)
        time.sleep(moments.uniform(0, 0.15))
        process.kill()
        assert process.wait() == -signal.SIGKILL, "it was over: more stages are needed"
    assert main(folder, "--resume", arguments=LONG) == 0
    assert main(tmp_path / "whole", arguments=LONG) == 0
    assert left(folder) == left(tmp_path / "whole")


# --- two processes, as torchrun starts them -------------------------------------------

WORKER = """
import sys, torch
from dfkd_lib import run
from dfkd_lib.data import load_dataset
from dfkd_lib.recipes import recipe_for
from dfkd_lib.teachers import load_teacher
from dfkd_lib.train import joined, rank
torch.set_num_threads(1)
with joined():
    moons = load_dataset("moons")
    recipe = recipe_for("moons").replace(stages=30, stages_per_epoch=10, batch=512,
                                         student_batch=512, student_steps=3)
    done = run.run(recipe, moons, load_teacher(moons, "mlp"), seed=1)
    parts = {n: p.state_dict() for n, p in done.state.parts().items() if n in
             ("student", "generator", "ema", "student_optimizer")}
    random = done.state.random.get_state()
    made = {"parts": parts, "history": done.history.asdict(), "random": random}
    torch.save(made, f"{sys.argv[1]}/{sys.argv[2]}-{rank()}.pt")
"""


def workers(*command):
    """Two processes that find each other; their outputs."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    shared = {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "MASTER_PORT": port}
    shared |= {"MASTER_ADDR": "127.0.0.1", "WORLD_SIZE": "2"}
    processes = [
        subprocess.Popen(
            [sys.executable, *command], cwd=ROOT, text=True,
            env=os.environ | shared | {"RANK": rank, "LOCAL_RANK": rank},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )
        for rank in "01"
    ]  # fmt: skip
    try:
        found = [process.communicate(timeout=300) for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [(p.returncode, *texts) for p, texts in zip(processes, found, strict=True)]


def flat(state):
    return torch.cat([v.flatten() for v in state.values()])


def test_two_processes_are_one_run(tmp_path, monkeypatch):
    """Equal weights on both, and losses as one process has them on as many images."""
    monkeypatch.setattr(sys, "argv", ["-c", str(tmp_path), "1"])
    exec(WORKER, {})
    for status, _, err in workers("-c", WORKER, str(tmp_path), "2"):
        assert status == 0, err
    names = ("1-0", "2-0", "2-1")
    alone, first, second = (torch.load(tmp_path / f"{name}.pt") for name in names)
    for part in ("student", "generator", "ema"):
        one, other = (flat(made["parts"][part]) for made in (first, second))
        assert torch.equal(one, other)
    assert not torch.equal(first["random"], second["random"])  # noise of its own
    histories = [made["history"] for made in (alone, first, second)]
    assert histories[0]["samples"] == histories[1]["samples"]
    for name in ("student_loss", "generator_loss"):
        assert histories[1][name] == histories[2][name]
        assert histories[1][name] == pytest.approx(histories[0][name], rel=0.2)
    assert histories[1]["flop"] == pytest.approx(histories[0]["flop"], rel=0.01)


def test_two_processes_write_once_and_refuse_an_odd_batch(
    tmp_path, monkeypatch, capsys
):
    command = ["-m", "dfkd_lib.run", *RUN, "--output-dir", str(tmp_path / "out")]
    (status, out, err), (other, silent, _) = workers(*command)
    assert (status, other, silent) == (0, 0, ""), err
    record, _ = left(tmp_path / "out")
    assert record["ranks"] == 2 and record["command"].startswith("torchrun --nproc-per")
    monkeypatch.setattr(run, "world", lambda: 2)
    assert main(tmp_path / "odd", arguments=["--set", "batch=9"]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "batch: 9 cannot be divided among 2 processes" in line
    assert not (tmp_path / "odd").exists()
