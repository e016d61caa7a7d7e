"""The one loop: history, breaks, signals, checkpoints. Its method here is a toy's.

`test_run.py` has what a run prints, and both signals to the end.
"""

import errno
import os
import signal
import threading
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from refused import Hostile, refused
from torch import nn

from dfkd_lib import losses as formulas
from dfkd_lib import train as loop
from dfkd_lib.errors import UserError
from dfkd_lib.methods import Losses, State, Task, learning_rate_factor
from dfkd_lib.train import (
    Interrupted,
    Keep,
    Scores,
    TestSet,
    compile_networks,
    evaluate,
    hold,
    kept_memory,
    train,
)


@dataclass(frozen=True)
class Toy:
    """Two steps of a linear student with dropout; a generator's loss is a number."""

    stages: int = 7
    stages_per_epoch: int = 3
    student_lr: float = 0.1
    student_momentum: float = 0.9
    student_weight_decay: float = 0.0
    student_optimizer: str = "sgd"
    schedule: str = "cosine"
    milestones: tuple[float, ...] = (0.5,)
    # (stage, player, step, term) -> what to multiply the term by
    breaks: dict = field(default_factory=dict)

    def start(self, seed=0):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            student = nn.Sequential(nn.Linear(3, 2), nn.Dropout(0.5))
            s = State(nn.Linear(3, 2), student, Task(2, (3, 1, 1)), seed)
        s.optimize_student(self)
        return s

    def stage(self, s):
        losses = Losses()
        numbers = {"a": torch.tensor(float(s.stage)), "b": torch.tensor(0.5)}
        losses.add("generator", self.broken(s, "generator", 1, numbers))
        s.watched()
        for step in (1, 2):
            x = torch.randn(8, 3, generator=s.random)
            terms = {"KL": formulas.kl(s.teacher(x), s.student(x))}
            loss = losses.add("student", self.broken(s, "student", step, terms))
            s.student_optimizer.zero_grad()
            loss.backward()
            s.student_optimizer.step()
            s.samples += len(x)
        return losses

    def broken(self, s, player, step, terms):
        key = s.stage, player, step
        return {n: v * self.breaks.get((*key, n), 1) for n, v in terms.items()}


class Sum:
    """In place of test images: the sum of the student's weights."""

    def scores(self, state):
        return Scores(state.student[0].weight.sum().item(), 50.0, 0.25)


def result(toy=None, state=None, **options):
    """All that a run leaves, but its time."""
    toy = toy or Toy()
    state = state or toy.start()
    history = train(toy, state, Sum(), **options).asdict()
    resumed = history.pop("resumed")
    assert len(history.pop("seconds")) == len(history["stage"])
    weights = {n: v.tolist() for n, v in state.student.state_dict().items()}
    return (history, weights, state.random.get_state().tolist()), resumed


# --- history --------------------------------------------------------------------------


def test_history_has_a_row_a_test_and_means_of_losses():
    (history, *_), _ = result()
    assert history["stage"] == [3, 6, 7]
    assert history["samples"] == [3 * 16, 6 * 16, 7 * 16]
    assert history["generator_loss"] == [2.5, 5.5, 7.5]  # of stages 1-3, 4-6 and 7
    assert history["agreement"] == [50.0] * 3 and history["kl"] == [0.25] * 3
    assert len(set(history["accuracy"])) == 3 and history["processors"]


def test_until_may_end_a_run_after_a_test(tmp_path):
    keep = Keep(tmp_path / "run.ckpt", {}, 100)
    options = {"until": lambda history: history.samples[-1] > 50, "keep": keep}
    (history, *_), _ = result(**options)
    assert history["stage"] == [3, 6]
    (again, *_), resumed = result(**options | {"keep": replace(keep, resume=True)})
    assert resumed == [6] and again["stage"] == [3, 6]  # it had ended


def test_seconds_are_of_training_alone(monkeypatch):
    """A clock that only steps (1), the observer and the tests (an hour each) move."""
    clock, toy = [0.0], Toy()

    def lasting(seconds, function):
        def slow(*arguments):
            clock[0] += seconds
            return function(*arguments)

        return slow

    now = SimpleNamespace(perf_counter=lambda: clock[0])
    monkeypatch.setattr("dfkd_lib.train.time", now)
    monkeypatch.setattr(Toy, "stage", lasting(1, Toy.stage))
    test = SimpleNamespace(scores=lasting(3600, Sum().scores))
    watch = lasting(3600, lambda state: None)
    assert train(toy, toy.start(), test, observe=watch).seconds == [3, 6, 7]


def test_an_observer_sees_every_stage_and_changes_nothing():
    seen = []
    watched = result(observe=lambda state: seen.append(state.stage))
    assert seen == list(range(1, 8)) and watched == result()


def test_a_run_has_its_own_randomness():
    """Dropout is the seed's, whatever the global state is, which is left alone."""
    torch.manual_seed(1)
    first = result()
    torch.manual_seed(2)
    before = torch.get_rng_state()
    assert result() == first
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("stages", [1, 2, 9])
def test_flop_are_the_hand_count_and_grow_with_stages(stages):
    """A step: T and S forward, S's weights backward, each 2 · 8 · 3 · 2."""
    (history, *_), _ = result(Toy(stages=stages), observe=lambda s: s.teacher(x))
    assert history["flop"] == stages * 2 * 3 * (2 * 8 * 3 * 2)


x = torch.zeros(4, 3)  # what the observer looks at is no work of the run


@pytest.mark.parametrize(
    "schedule, factors", [("constant", "1 1 1 1"), ("cosine", "1 .854 .5 .146"),
                          ("step", "1 1 .1 .01")]
)  # fmt: skip
def test_the_optimiser_follows_the_schedule(schedule, factors):
    toy = Toy(stages=4, schedule=schedule, milestones=(0.5, 0.75))
    seen, wanted = [], [0.1 * float(factor) for factor in factors.split()]
    result(toy, observe=lambda s: seen.append(s.student_schedule.get_last_lr()[0]))
    assert seen == pytest.approx(wanted, rel=0.01)
    assert learning_rate_factor("cosine", (), 1) == pytest.approx(0)


# --- breaks ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "where", "words"),
    [
        ("inf", (4, "generator", 1, "b"), "stage 4, generator step 1: b"),
        ("nan", (2, "student", 2, "KL"), "stage 2, student step 2: KL"),
    ],
)
def test_a_loss_that_is_not_finite_is_named(where, words, value):
    """The first one, though what follows is broken too."""
    with pytest.raises(FloatingPointError) as caught:
        result(Toy(breaks={where: float(value)}))
    assert str(caught.value).startswith(f"not finite at {words}; the last checkpoint")
    assert "lower student_lr or generator_lr" in str(caught.value)


def test_a_weight_that_is_not_finite_is_named():
    def broken(state):
        if state.stage == 7:  # an update that no loss has seen
            state.student[0].bias.register_hook(lambda g: g * float("inf"))

    with pytest.raises(FloatingPointError, match="stage 7"):
        result(Toy(stages_per_epoch=7), observe=broken)


@pytest.mark.parametrize(("every", "kept"), [(1, 4), (2, 4), (5, None)])
def test_checkpoints_are_from_before_a_break(tmp_path, every, kept):
    keep = Keep(tmp_path / "run.ckpt", {}, every)
    with pytest.raises(FloatingPointError, match="stage 5, student step 1"):
        result(Toy(breaks={(5, "student", 1, "KL"): float("nan")}), keep=keep)
    assert keep.path.exists() == bool(kept)
    if kept:  # the same run, without the break
        made, resumed = result(keep=replace(keep, resume=True))
        assert resumed == [kept] and made == result()[0]


# --- signals and checkpoints ----------------------------------------------------------


def raising(number, at=4):
    """An observer that sends this process a signal in the middle of a stage."""

    def observe(state):
        if state.stage == at:
            assert threading.current_thread() is threading.main_thread()
            os.kill(os.getpid(), number)

    return observe


def test_a_signal_in_the_last_stage_is_too_late(tmp_path):
    keep = Keep(tmp_path / "run.ckpt", {}, 100)
    assert result(observe=raising(signal.SIGTERM, 7), keep=keep) == result()


@pytest.fixture
def kept(tmp_path):
    """The checkpoint of a run that was stopped after its fourth stage."""
    keep = Keep(tmp_path / "run.ckpt", {"run": "x", "stages": 7}, 1)
    with pytest.raises(Interrupted):
        result(observe=raising(signal.SIGTERM), keep=keep)
    return replace(keep, resume=True)


@pytest.mark.parametrize(
    "damage", ["cut", "empty", "text", "hostile", "foreign", "old"]
)
def test_a_damaged_or_foreign_checkpoint_is_one_line(kept, damage, tmp_path):
    whole = kept.path.read_bytes()
    saved = torch.load(kept.path, weights_only=True)
    {
        "cut": lambda: kept.path.write_bytes(whole[: len(whole) // 2]),
        "empty": lambda: kept.path.write_bytes(b""),
        "text": lambda: kept.path.write_text("a line\n"),
        "hostile": lambda: torch.save(Hostile(tmp_path / "proof"), kept.path),
        "foreign": lambda: torch.save({"weights": torch.zeros(3)}, kept.path),
        "old": lambda: torch.save(saved | {"state": {"stage": 4}}, kept.path),
    }[damage]()
    there = kept.path.read_bytes()
    line = refused(result, keep=kept)
    assert line.startswith(f"resume: {kept.path} is ")
    assert "delete" in line and "another output folder" in line
    assert kept.path.read_bytes() == there and not (tmp_path / "proof").exists()


def test_another_runs_checkpoint_is_told_and_ones_own_resumed(kept, capsys):
    for other, words in (
        ({"run": "y"}, "run is 'x', here it is 'y'"),
        ({"stages": 9}, "stages is 7, here it is 9"),
    ):
        with pytest.raises(UserError, match=f"another run's: its {words}"):
            result(keep=replace(kept, identity=kept.identity | other))
    with pytest.raises(UserError, match="another version's"):
        result(keep=replace(kept, identity=kept.identity | {"momentum": 0.5}))
    result(keep=kept, title="toy")
    assert "toy: resumed after stage 4 of 7" in capsys.readouterr().out


def test_a_run_that_is_resumed_elsewhere_lists_both_processors(kept, monkeypatch):
    monkeypatch.setattr(loop, "hardware", lambda device: "Another CPU")
    (history, *_), resumed = result(keep=kept)
    assert resumed == [4] and len(history["processors"]) == 2
    assert history["processors"][1] == "Another CPU"


def test_a_full_disk_keeps_the_last_checkpoint(tmp_path, monkeypatch, capsys):
    """The run goes on, and says so; a signal then says that nothing was written."""
    keep, fsync = Keep(tmp_path / "run.ckpt", {}, 1), os.fsync

    def full(handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def fills(state):
        if state.stage in (3, 6):
            monkeypatch.setattr(os, "fsync", full if state.stage == 3 else fsync)

    assert result(observe=fills, keep=keep) == result()
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3  # after stages 3, 4 and 5
    for line in lines:
        assert line.startswith(f"checkpoint: cannot write {keep.path} (No space left")
        assert line.endswith("the run goes on, and the last checkpoint stays")
    assert [path.name for path in tmp_path.iterdir()] == ["run.ckpt"]

    stop = raising(signal.SIGTERM, 5)
    with pytest.raises(Interrupted, match="checkpoint could not be written"):
        result(observe=lambda s: (fills(s), stop(s)), keep=keep)
    monkeypatch.setattr(os, "fsync", fsync)
    made, resumed = result(keep=replace(keep, resume=True))
    assert resumed == [2] and made == result()[0]


def test_a_folder_holds_a_run_once(tmp_path):
    (tmp_path / ".x.ckpt.leftover").touch()  # of a process that was killed
    (tmp_path / ".y.ckpt.leftover").touch()
    with hold(tmp_path, "x", resume=False):
        with hold(tmp_path, "y", resume=False):
            assert not list(tmp_path.glob(".*.leftover"))
        with pytest.raises(UserError, match="another process runs x"):
            with hold(tmp_path, "x", resume=True):
                pytest.fail("it was held twice")
    (tmp_path / "x.ckpt").touch()
    with hold(tmp_path, "x", resume=True):
        pass
    with pytest.raises(UserError, match="continue it with --resume"):
        with hold(tmp_path, "x", resume=False):
            pytest.fail("a checkpoint would be overwritten")


# --- tests of a student, speed --------------------------------------------------------


def test_scores_tell_the_label_from_the_teachers_answer():
    """Four images: S agrees with T on three, and with the label on two."""
    eye, answers = 4.0 * torch.eye(3), [0, 1, 2, 0]
    student = nn.Sequential(nn.Flatten(), nn.Linear(4, 3, bias=False)).train()
    student[1].weight.data = eye[answers].T.contiguous()
    images, teacher = torch.eye(4).reshape(4, 1, 2, 2), eye[[0, 1, 2, 1]]
    scores = evaluate(student, TestSet(images, torch.tensor([0, 1, 1, 2]), teacher))
    assert (scores.accuracy, scores.agreement) == (50, 75)
    wanted = formulas.kl(teacher[3:], eye[:1]).item() / 4
    assert scores.kl == pytest.approx(wanted, rel=1e-5) and student.training


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="it is glibc's")
def test_freed_memory_stays_and_then_goes_back():
    def resident():
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGESIZE")

    with kept_memory():
        torch.empty(2**28, dtype=torch.uint8).fill_(1)
        held = resident()
    assert resident() < held - 2**27


def test_networks_that_cannot_be_compiled_run_as_they_did(monkeypatch):
    toy, state = Toy(), Toy().start()

    def refused(self, s):
        s.student[0].weight.data.zero_()
        raise RuntimeError("no compiler here")

    with monkeypatch.context() as patch:
        patch.setattr(Toy, "stage", refused)
        assert compile_networks(toy, state) == ("none", "default: no compiler here")
    assert result(toy, state) == result()


@pytest.mark.parametrize("number", [0, 1])
def test_the_line_of_several_processes_is_that_of_rank_0(monkeypatch, number):
    """torchrun ends the other processes when rank 0, which waits for none, has ended."""
    waited = []
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(loop.torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(loop.dist, "init_process_group", lambda kind: None)
    monkeypatch.setattr(loop, "rank", lambda: number)
    monkeypatch.setattr(loop.time, "sleep", waited.append)
    with pytest.raises(UserError, match="batch"), loop.joined():
        raise UserError("batch: 128 cannot be divided")
    assert bool(waited) == bool(number)
