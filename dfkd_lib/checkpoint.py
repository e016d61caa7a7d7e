"""Checkpoints: a run's whole state in one file, checked when read, with the one before it kept beside.

The file is a line with a SHA-256 hash, and behind it what `torch.save` makes of tensors, numbers and text. It is read
with ``weights_only=True``: nothing in it can run.
"""

import contextlib
import hashlib
import io
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from .errors import UserError
from .files import locked, remove_leftovers, write_atomically

_MAGIC = b"dfkd_lib checkpoint 1 "


def previous(path: Path) -> Path:
    """Where the checkpoint before the last one is."""
    return path.with_name(path.name + ".previous")


def save(path: Path, identity: dict[str, Any], state: dict[str, Any]) -> None:
    """Write a checkpoint, whole or not at all. `identity` says which run it belongs to.

    Raises
    ------
    OSError
        if it cannot be written; the files that were there stay as they are.
    """
    stream = io.BytesIO()
    torch.save({"identity": identity, "state": state}, stream)
    payload = stream.getvalue()
    header = _MAGIC + hashlib.sha256(payload).hexdigest().encode() + b"\n"
    # Whole under a third name first: a full disk then leaves both others, and at any moment one of the three is whole.
    write_atomically(_new(path), header + payload)
    if path.exists():
        os.replace(path, previous(path))
    os.replace(_new(path), path)


def exists(path: Path) -> bool:
    """Whether a run has left a checkpoint."""
    return path.exists() or previous(path).exists()


def load(path: Path, identity: dict[str, Any]) -> dict[str, Any] | None:
    """The state in a checkpoint, or, where that is damaged or of another run, in the one before; None without any.

    Says on stderr what was refused.

    Raises
    ------
    UserError
        if there are checkpoints and none of them can be used.
    """
    refused = []
    for candidate in (path, previous(path)):
        if not candidate.exists():
            continue
        try:
            state = _read(candidate, identity)
        except ValueError as error:
            refused.append(f"{candidate} {error}")
            continue
        for line in refused:
            print(f"resume: {line}; continuing from the one before it", file=sys.stderr)
        return state
    if refused:
        raise UserError(f"resume: {'; '.join(refused)}; delete it to begin anew, or give another output folder")
    return None


def remove(path: Path) -> None:
    """Delete a run's checkpoints; the last one last."""
    for file in (_new(path), previous(path), path):
        file.unlink(missing_ok=True)


@contextlib.contextmanager
def place(folder: Path, name: str, path: Path, resume: bool) -> Iterator[None]:
    """Hold a run's place in a folder, swept of what killed processes had begun to write.

    Raises
    ------
    UserError
        if another process holds it, or a checkpoint is there and is not to be continued from.
    """
    busy = f"output_dir: another process is running {name} in {folder}; give another folder"
    with locked(folder / f".{name}.lock", busy):
        for ending in ("ckpt", "safetensors", "pt2", "onnx", "json"):
            remove_leftovers(folder / f"{name}.{ending}")
        if not resume and exists(path):
            raise UserError(
                f"output_dir: {path} is the checkpoint of such a run; continue it with --resume (in Python "
                "resume=True), or delete it"
            )
        yield


def difference(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    """In what a run's identity is not the one that is wanted, in words; empty where it is."""
    for name, value in wanted.items():
        there = found.get(name)
        if isinstance(there, dict) and isinstance(value, dict):
            names = [n for n in value if there.get(n) != value[n]]
            there, value = ({n: side.get(n) for n in names} for side in (there, value))
        if there != value:
            return f"{name} is {there!r}, here {value!r}"
    return ""


def _new(path: Path) -> Path:
    return path.with_name(path.name + ".new")


def _read(path: Path, identity: dict[str, Any]) -> dict[str, Any]:
    """A checkpoint's state; a ValueError says, behind the file's name, why it cannot be used."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ValueError(f"cannot be read ({error.strerror})") from error
    header, _, payload = data.partition(b"\n")
    if not header.startswith(_MAGIC):
        raise ValueError("is no checkpoint of this library")
    if hashlib.sha256(payload).hexdigest().encode() != header.removeprefix(_MAGIC):
        raise ValueError("is damaged or cut short")
    # The hash vouches for the transfer, not for who wrote the file: still nothing but tensors and plain values is read.
    try:
        made = torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)
        # One process used to say nothing of ranks.
        other, state = difference({"ranks": 1} | made["identity"], identity), made["state"]
    except Exception as error:  # unpickling foreign bytes fails in its own ways
        raise ValueError(f"holds something else than a run's state ({type(error).__name__})") from error
    if other:
        raise ValueError(f"is of another run ({other})")
    return state
