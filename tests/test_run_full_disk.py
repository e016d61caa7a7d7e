"""A disk that fills up, or that cannot be written at all: the run is not lost, and one line says what happened."""

import errno
import json
import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from faults import PLACE, ended_at, observed, told, words

from dfkd_lib import checkpoint, files, run

RUN = ["--method", "mad", "--seed", "1", *PLACE, *words(), "--checkpoint-every", "1"]


@dataclass
class Disk:
    """A folder whose disk can be full."""

    folder: Path
    fill: Callable[[], None]
    empty: Callable[[], None]


def mounted(path: Path, *options: str) -> None:
    """A small file system of its own; skips where that is not allowed."""
    path.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", ",".join(options), "tmpfs", path], capture_output=True)
    if done.returncode:
        pytest.skip(f"no file system can be mounted here: {done.stderr.decode().strip()}")


@pytest.fixture(params=["a small file system", "errors in this process"])
def disk(request, tmp_path, monkeypatch):
    """Both: the first is how it is, the second is there without the right to mount."""
    folder, filler = tmp_path / "disk", tmp_path / "disk" / "filler"
    if request.param == "errors in this process":
        folder.mkdir()
        full, fsync = [], os.fsync

        def failing(handle):
            if full:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            fsync(handle)

        monkeypatch.setattr(os, "fsync", failing)
        yield Disk(folder, lambda: full.append(1), full.clear)
        return
    mounted(folder, "size=16m")

    def fill():
        with filler.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space left"):
            while True:
                file.write(bytes(4096))

    try:
        yield Disk(folder, fill, filler.unlink)
    finally:
        subprocess.run(["umount", folder], check=True)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    assert run.main([*RUN, "--output-dir", str(folder)]) == 0
    return folder


def ended_like(folder: Path, other: Path) -> bool:
    """The same student, the same record, and no checkpoint."""
    (one,), (two,) = (sorted(place.glob("*.json")) for place in (folder, other))
    same_student = one.with_suffix(".safetensors").read_bytes() == two.with_suffix(".safetensors").read_bytes()
    left = {path.name for path in folder.iterdir()} - {"filler"} == {path.name for path in other.iterdir()}
    return same_student and left and told(json.loads(one.read_text())) == told(json.loads(two.read_text()))


def acting(actions: dict[int, Callable[[], None]]) -> Callable[[int, object], None]:
    return lambda stage, method: actions.get(stage, lambda: None)()


def test_it_goes_on_without_checkpoints(disk, whole, capsys, monkeypatch):
    """Full from the third stage to the sixth: each attempt is one line, and the last checkpoint is as it was."""
    command, seen = [*RUN, "--output-dir", str(disk.folder)], {}

    def look():
        [path] = disk.folder.glob("*.ckpt")
        seen.update({p.name: p.read_bytes() for p in (path, checkpoint.previous(path))})

    def still():
        for name, content in seen.items():
            assert (disk.folder / name).read_bytes() == content
        disk.empty()

    with monkeypatch.context() as patch:
        observed(patch, acting({3: lambda: (look(), disk.fill()), 6: still}))
        assert run.main(command) == 0
    lines = capsys.readouterr().err.splitlines()
    assert len(seen) == 2 and len(lines) == 3
    assert all(line.startswith("checkpoint: cannot write ") and "No space left on device" in line for line in lines)
    assert all("the run goes on, the last one stays" in line for line in lines)
    assert ended_like(disk.folder, whole)


def test_a_record_that_cannot_be_written_is_made_later(disk, whole, capsys, monkeypatch):
    """The run ends with one line more, which says how; it continues from the last checkpoint that there is."""
    command = [*RUN, "--output-dir", str(disk.folder)]
    with monkeypatch.context() as patch:
        observed(patch, acting({5: disk.fill}))
        assert run.main(command) == 2
    *lines, last = capsys.readouterr().err.splitlines()
    assert len(lines) == 3
    assert last.startswith(f"error: output_dir: cannot write to {disk.folder} (No space left on device)")
    assert "--resume" in last
    assert not list(disk.folder.glob("*.json")) and not list(disk.folder.glob("*.safetensors"))
    assert not list(disk.folder.glob(".*.ckpt.*"))  # nothing half-written

    assert run.main([*command, "--resume"]) == 2  # still full: known before it begins
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: output_dir: cannot write to {disk.folder}")
    disk.empty()
    assert run.main([*command, "--resume"]) == 0
    assert "continuing behind stage 4 of 7" in capsys.readouterr().out
    assert ended_like(disk.folder, whole)


def test_a_signal_on_a_full_disk_says_that_nothing_was_written(disk, whole, capsys, monkeypatch):
    command = [*RUN, "--output-dir", str(disk.folder)]
    stop = ended_at(5, "SIGTERM")
    with monkeypatch.context() as patch:
        observed(patch, lambda stage, method: (disk.fill() if stage == 5 else None, stop(stage, method)))
        assert run.main(command) == 143
    first, last = capsys.readouterr().err.splitlines()
    assert first.startswith("checkpoint: cannot write ")
    assert last.startswith("stopped by SIGTERM behind stage 5; its checkpoint could not be written;")
    disk.empty()
    assert run.main([*command, "--resume"]) == 0
    assert ended_like(disk.folder, whole)


@pytest.fixture
def read_only(tmp_path):
    """A folder that cannot be written; permissions do not bind root, a file system does."""
    folder = tmp_path / "disk"
    if os.geteuid():
        folder.mkdir(mode=0o555)
        yield folder
        return
    mounted(folder, "ro")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


@pytest.mark.parametrize("more", [[], ["--resume"]])
def test_a_read_only_folder_is_told_before_the_run(read_only, capsys, monkeypatch, more):
    monkeypatch.setattr(run, "run", lambda *args, **options: pytest.fail("the run began"))
    assert run.main([*RUN, "--output-dir", str(read_only), *more]) == 2
    printed = capsys.readouterr()
    [line] = printed.err.splitlines()
    assert printed.out == "" and line.startswith(f"error: output_dir: cannot write to {read_only} (")


def test_a_folder_that_becomes_read_only_is_a_user_error(read_only):
    """For whoever calls the library: no lock can be made there."""
    with pytest.raises(files.UserError, match="cannot be locked"), files.locked(read_only / ".run.lock", "busy"):
        pytest.fail("it was locked")
