"""Checkpoints: read back as they were, and refused in one line when they are anything else."""

import errno
import hashlib
import io
import os
import pickle
import random
from pathlib import Path

import pytest
import torch
from hostile import Hostile

from dfkd_lib import checkpoint
from dfkd_lib.checkpoint import load, previous, remove, save
from dfkd_lib.errors import UserError

IDENTITY = {"run": "mad-s0", "device": "cpu", "parameters": {"stages": 9, "milestones": (0.5,), "reuse": 1}}


def state(stage: int) -> dict:
    parts = {"weights": torch.full((5,), float(stage)), "momentum": {0: {"step": torch.tensor(stage)}}}
    return {"stage": stage, "method": parts, "random": torch.arange(9, dtype=torch.uint8), "pair": (0.5, None)}


@pytest.fixture
def path(tmp_path) -> Path:
    """A run that has left its third checkpoint, and the second beside it."""
    path = tmp_path / "kept" / "run.ckpt"
    for stage in (1, 2, 3):
        save(path, IDENTITY, state(stage))
    return path


def stage_in(path: Path) -> int:
    return load(path, IDENTITY)["stage"]


def content(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()}


def refusal(path: Path) -> str:
    """The one line for checkpoints of which none can be used. All stay where they are."""
    before = content(path.parent)
    with pytest.raises(UserError) as caught:
        load(path, IDENTITY)
    assert content(path.parent) == before
    [line] = str(caught.value).splitlines()
    return line


# --- whole -----------------------------------------------------------------------------------------------------------


def test_a_state_comes_back_as_it_was(path):
    made, found = state(3), load(path, IDENTITY)
    assert found["method"]["weights"].dtype == torch.float32 and found["random"].dtype == torch.uint8
    assert torch.equal(found["method"]["weights"], made["method"]["weights"])
    assert torch.equal(found["method"]["momentum"][0]["step"], torch.tensor(3))
    assert torch.equal(found["random"], made["random"])
    assert found["pair"] == (0.5, None)


def test_the_last_two_are_kept_and_nothing_else(path):
    assert set(content(path.parent)) == {"run.ckpt", "run.ckpt.previous"}
    assert stage_in(path) == 3 and stage_in(previous(path)) == 2


def test_there_may_be_none(tmp_path, capsys):
    assert load(tmp_path / "run.ckpt", IDENTITY) is None
    assert not checkpoint.exists(tmp_path / "run.ckpt")
    assert capsys.readouterr() == ("", "")


def test_removed_are_all_of_one_run_and_none_of_another(path):
    others = [path.with_name("other.ckpt"), path.with_name("run.json")]
    for other in others:
        other.write_text("stays")
    path.with_name("run.ckpt.new").write_text("of a process that was killed")
    remove(path)
    assert sorted(path.parent.iterdir()) == others
    remove(path)


# --- broken ----------------------------------------------------------------------------------------------------------


def test_cut_anywhere_it_is_refused_and_the_one_before_is_used(path, capsys):
    whole = path.read_bytes()
    for cut in range(len(whole)):
        path.write_bytes(whole[:cut])
        assert stage_in(path) == 2, cut
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == len(whole) and all(str(path) in line for line in lines)
    previous(path).unlink()
    for cut in range(0, len(whole), 97):
        path.write_bytes(whole[:cut])
        assert "run.ckpt" in refusal(path)


def test_with_any_byte_changed_it_is_refused_and_the_one_before_is_used(path):
    whole, chance = path.read_bytes(), random.Random(0)
    for position in range(len(whole)):
        broken = bytearray(whole)
        broken[position] ^= chance.randrange(1, 256)
        path.write_bytes(broken)
        assert stage_in(path) == 2, position


def hashed(made: object) -> bytes:
    """A file that is whole by its hash, whatever it holds."""
    stream = io.BytesIO()
    torch.save(made, stream)
    digest = hashlib.sha256(stream.getvalue()).hexdigest()
    return f"dfkd_lib checkpoint 1 {digest}\n".encode() + stream.getvalue()


def identified(**changes: object) -> bytes:
    return hashed({"identity": IDENTITY | changes, "state": state(9)})


LONGER = {"parameters": IDENTITY["parameters"] | {"stages": 12345}}
# What may lie in a checkpoint's place, and words of what is said of it.
OTHERS = {
    "empty": (lambda proof: b"", "no checkpoint"),
    "text": (lambda proof: ("Grüße\n" * 50).encode(), "no checkpoint"),
    "zeros": (lambda proof: bytes(5000), "no checkpoint"),
    "a pickle": (lambda proof: pickle.dumps(Hostile(proof)), "no checkpoint"),
    "a hashed pickle": (lambda proof: hashed({"identity": IDENTITY, "state": Hostile(proof)}), "something else"),
    "a hashed list": (lambda proof: hashed([1, 2]), "something else"),
    "no identity": (lambda proof: hashed({"identity": 3, "state": {}}), "something else"),
    "no state": (lambda proof: hashed({"identity": IDENTITY}), "something else"),
    "another run's": (lambda proof: identified(run="abm-s0"), "run is 'abm-s0', here 'mad-s0'"),
    "another device's": (lambda proof: identified(device="cuda"), "device is 'cuda', here 'cpu'"),
    "another recipe's": (
        lambda proof: identified(**LONGER),
        "parameters is {'stages': 12345}, here {'stages': 9}",
    ),
    "an older library's": (lambda proof: hashed({"identity": {"run": "mad-s0"}, "state": {}}), "device is None"),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_something_else_is_refused(kind, path, tmp_path, capsys):
    """In one line that says why; nothing in it runs. The one before is used; without that, or if it is no better, none.

    And what was refused is not deleted.
    """
    make, words = OTHERS[kind]
    path.write_bytes(make(tmp_path / "proof"))
    before = content(path.parent)
    assert stage_in(path) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert str(path) in line and words in line and "the one before" in line
    assert content(path.parent) == before

    previous(path).write_bytes(b"nor this")
    assert words in refusal(path) and f"{previous(path)} is no checkpoint" in refusal(path)
    previous(path).unlink()
    assert words in refusal(path)
    assert not (tmp_path / "proof").exists()


def test_a_folder_in_its_place(path):
    path.unlink()
    previous(path).unlink()
    path.mkdir()
    assert "cannot be read" in refusal(path)


def test_what_is_not_asked_for_does_not_matter(path):
    more = IDENTITY | {"parameters": IDENTITY["parameters"] | {"of a later version": 1}, "more": 2}
    path.write_bytes(identified(**more))
    assert stage_in(path) == 9


def test_one_that_is_right_is_used_silently(path, capsys):
    path.write_bytes(identified())
    assert stage_in(path) == 9
    assert capsys.readouterr().err == ""


# --- not written -----------------------------------------------------------------------------------------------------


def test_a_full_disk_leaves_both(path, monkeypatch):
    before = content(path.parent)

    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        save(path, IDENTITY, state(4))
    assert content(path.parent) == before


@pytest.mark.parametrize("moment", range(1, 4))
def test_killed_while_it_is_replaced(path, monkeypatch, moment):
    """At each rename: the last or the one before is there and whole; the next one is kept as usual."""
    rename, seen = os.replace, []

    class Killed(BaseException):
        pass

    def replace(source, target):
        seen.append(target)
        if len(seen) == moment:
            raise Killed
        rename(source, target)

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(os, "replace", replace)
        save(path, IDENTITY, state(4))
    assert checkpoint.exists(path) and stage_in(path) == 3
    save(path, IDENTITY, state(5))
    assert stage_in(path) == 5 and stage_in(previous(path)) == 3
    assert set(content(path.parent)) == {"run.ckpt", "run.ckpt.previous"}
