"""A run that was interrupted and continued is the run that was not: to the bit, on one processor."""

import io
import signal

import numpy as np
import pytest
import torch
from faults import EVERY, SHORT, Crash, ended_at, related_images, same, told
from patches import patches
from torch.nn import functional as F

from dfkd_lib import checkpoint, photographs, results, run
from dfkd_lib.errors import UserError
from dfkd_lib.methods import METHODS
from dfkd_lib.methods.dfad import DFAD
from dfkd_lib.recipes import Recipe
from dfkd_lib.training import Interrupted

VARIANTS = [
    *((method, {}) for method in METHODS),
    *(("mad", {"ema_statistics": statistics}) for statistics in ("averaged", "reestimated")),
    ("mad", {"conditional": True, "conditioning": "cat", "pretrain_steps": 2}),
    ("mad", {"conditional": True, "ema_statistics": "reestimated", "lambda_logit": 1.0}),
    ("mad", {"reuse": 2, "student_steps": 4}),
    ("dfkd_mem", {"reuse": 2}),
    ("dfad", {"student_optimizer": "adam", "schedule": "step", "milestones": (0.3, 0.6)}),
    ("arvi", {"mixup": "beta", "schedule": "constant"}),
    ("kd_ori", {"data_share": 0.1}),
]


@pytest.fixture
def play(digits, teacher, tmp_path, monkeypatch):
    """Run a method on digits: `play("mad", folder=tmp_path, reuse=2)`."""
    monkeypatch.setenv("DFKD_DATA", str(related_images(tmp_path / "data")))
    grids = [(photograph, side, 1, columns) for photograph, side, _, columns in photographs._grids()]
    monkeypatch.setattr(photographs, "_grids", lambda: grids)  # one row of pieces is enough

    def make(method="mad", *, folder=None, resume=False, observe=None, every=EVERY, seed=1, **changes):
        recipe = Recipe().replace(**SHORT | changes)
        return run.run(
            method, recipe, digits, teacher, seed=seed, folder=folder, every=every, resume=resume, observe=observe
        )

    return make


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


def inside(path):
    """What a checkpoint holds, without its hash."""
    return torch.load(io.BytesIO(path.read_bytes().partition(b"\n")[2]), weights_only=True)


def equal(one: run.Run, other: run.Run) -> bool:
    return same(one.method.state(), other.method.state()) and told(one.record) == told(other.record)


# --- to the bit ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "changes"), VARIANTS, ids=lambda value: str(value).strip("{}").replace("'", ""))
def test_a_continued_run_is_the_same_run(play, folder, method, changes):
    """Stopped behind stage 1, where nothing but the signal writes; killed in stage 5, so back to 4, in the middle of an
    epoch; stopped behind stage 6, at the end of one. Networks, optimisers, random states, history, record.
    """
    whole = play(method, **changes)
    with pytest.raises(Interrupted, match="SIGTERM behind stage 1;"):
        play(method, folder=folder, observe=ended_at(1, "SIGTERM"), **changes)
    with pytest.raises(Crash):
        play(method, folder=folder, resume=True, observe=ended_at(5, "crash"), **changes)
    with pytest.raises(Interrupted, match="SIGINT behind stage 6;"):
        play(method, folder=folder, resume=True, observe=ended_at(6, "SIGINT"), **changes)
    continued = play(method, folder=folder, resume=True, **changes)
    assert continued.history.resumed == [1, 4, 6]
    assert whole.history.resumed == []
    assert equal(whole, continued)
    assert not same(whole.method.state(), play(method, seed=2, **changes).method.state())  # the comparison can fail


@pytest.mark.parametrize("stage", range(1, 8))
def test_wherever_it_was_killed(play, folder, stage):
    """Also before the first checkpoint, from which it begins anew."""
    whole = play()
    with pytest.raises(Crash):
        play(folder=folder, observe=ended_at(stage, "crash"))
    continued = play(folder=folder, resume=True)
    last = (stage - 1) // EVERY * EVERY
    assert continued.history.resumed == ([last] if last else [])
    assert equal(whole, continued)


def test_dropout_draws_the_same(play, folder, monkeypatch):
    """From torch's global random state, which is the run's own while it runs, and nobody else's behind it."""

    class Dropping(DFAD):
        """DFAD, whose student forgets."""

        def student_loss(self, images):
            return super().student_loss([F.dropout(x, 0.3) for x in images])

    monkeypatch.setitem(METHODS, "dfad", Dropping)
    torch.manual_seed(1)
    before = torch.get_rng_state()
    whole = play("dfad")
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    with pytest.raises(Crash):
        play("dfad", folder=folder, observe=ended_at(4, "crash"))
    torch.manual_seed(3)
    continued = play("dfad", folder=folder, resume=True)
    assert continued.history.resumed == [2]
    assert equal(whole, continued)
    monkeypatch.setattr(F, "dropout", lambda x, p: x)
    assert not equal(whole, play("dfad"))


def test_keeping_checkpoints_changes_nothing(play, folder):
    assert equal(play(), play(folder=folder, every=1))


def test_a_run_that_was_killed_behind_its_last_stage(play, folder):
    """Before its record was written: it is made from the checkpoint, and nothing is trained."""
    done = play(folder=folder)
    assert checkpoint.exists(results.checkpoint_path(folder, done.name))
    again = play(folder=folder, resume=True, observe=lambda stage, method: pytest.fail("a stage was run"))
    assert again.history.resumed == [7]
    assert equal(done, again)


# --- what is kept, and when ------------------------------------------------------------------------------------------


def test_by_default_a_hundred_checkpoints_are_written(play, folder, monkeypatch):
    written = []
    monkeypatch.setattr(checkpoint, "save", lambda path, identity, state: written.append(state["stage"]))
    play("random", folder=folder, every=None, stages=250, stages_per_epoch=250, student_steps=1, student_batch=1)
    assert written == [*range(2, 251, 2)]


def test_nothing_is_kept_unasked(play, folder, monkeypatch):
    monkeypatch.chdir(folder)
    play("random")
    assert list(folder.iterdir()) == []


def test_a_saved_run_leaves_its_record_and_its_student(play, folder):
    done = play(folder=folder)
    results.save_run(folder, done.name, done.record, done.method.student)
    names = {path.name for path in folder.iterdir()}
    assert names == {f"{done.name}.json", f"{done.name}.safetensors", f".{done.name}.lock"}


def test_a_checkpoint_is_not_overwritten_unasked(play, folder):
    with pytest.raises(Crash):
        play(folder=folder, observe=ended_at(5, "crash"))
    before = {path: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(UserError, match="is the checkpoint of such a run; continue it with --resume .*, or delete it"):
        play(folder=folder)
    assert {path: path.read_bytes() for path in folder.iterdir()} == before
    assert play(folder=folder, seed=2).history.resumed == []  # another run may be made beside it


def test_one_that_lies_under_its_second_name_only_counts(play, folder):
    with pytest.raises(Crash):
        play(folder=folder, observe=ended_at(5, "crash"))
    [path] = folder.glob("*.ckpt")
    path.unlink()
    with pytest.raises(UserError, match="is the checkpoint of such a run"):
        play(folder=folder)
    assert play(folder=folder, resume=True).history.resumed == [2]


def test_leftovers_of_a_killed_process_are_swept(play, folder):
    done = play(folder=folder)
    results.save_run(folder, done.name, done.record)
    kept = set(folder.iterdir())
    for ending in ("ckpt", "ckpt.new", "safetensors", "json"):
        (folder / f".{done.name}.{ending}.a1b2c3d4").write_text("half")
    others = folder / ".another.json.a1b2c3d4"
    others.write_text("not ours")
    play(folder=folder)
    checkpoint.remove(results.checkpoint_path(folder, done.name))
    assert set(folder.iterdir()) == kept | {others}


@pytest.mark.parametrize("change", [{"device": "cuda"}, {"precision": "bfloat16"}, {"teacher": "0" * 64}])
def test_another_runs_checkpoint_is_refused(play, folder, change):
    """Under the same name: made on another device, in another precision, from another teacher."""
    with pytest.raises(Crash):
        play(folder=folder, observe=ended_at(3, "crash"))
    [path] = folder.glob("*.ckpt")
    made = inside(path)
    checkpoint.save(path, made["identity"] | change, made["state"])
    checkpoint.previous(path).unlink()
    with pytest.raises(UserError, match=f"is of another run .{next(iter(change))} is"):
        play(folder=folder, resume=True)


def test_other_images_are_another_run(play, folder, tmp_path):
    """What a student with data has learned from is part of what it is."""
    with pytest.raises(Crash):
        play("kd_rel", folder=folder, observe=ended_at(3, "crash"))
    np.savez(tmp_path / "data" / "mnist.npz", **{name: 255 - x if x.ndim == 4 else x for name, x in patches().items()})
    with pytest.raises(UserError, match="is of another run .images is"):
        play("kd_rel", folder=folder, resume=True)


def test_a_state_that_does_not_fit_is_refused(play, folder):
    """Of a library in which the method had other parts."""
    with pytest.raises(Crash):
        play(folder=folder, observe=ended_at(3, "crash"))
    [path] = folder.glob("*.ckpt")
    made = inside(path)
    del made["state"]["method"]["ema"]
    checkpoint.save(path, made["identity"], made["state"])
    with pytest.raises(UserError, match="is another version's; delete it to begin anew"):
        play(folder=folder, resume=True)


def test_signals_are_handled_as_before_behind_a_run(play, folder):
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    with pytest.raises(Interrupted) as caught:
        play(folder=folder, observe=ended_at(2, "SIGINT"))
    assert caught.value.number == signal.SIGINT
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before


def test_a_signal_in_the_last_stage_comes_too_late(play, folder):
    assert equal(play(folder=folder, observe=ended_at(7, "SIGTERM")), play())
