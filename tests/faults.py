"""What the tests of interrupted runs share: a short run, what it leaves, and ways to end it early."""

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from patches import patches

from dfkd_lib import run

# Seven stages, tested every third, a checkpoint behind every second: also in the middle of an epoch.
SHORT = {
    "generator_width": 2, "z_dim": 6, "batch": 8, "student_batch": 8, "generator_steps": 2, "student_steps": 2,
    "stages": 7, "stages_per_epoch": 3, "memory": 24, "inversion_steps": 2, "collected_ratio": 0.1, "synthetic": 20,
}  # fmt: skip
EVERY = 2
PLACE = ["--device", "cpu", "--precision", "float32"]


def words(**changes: Any) -> list[str]:
    """The short run's settings for the command line; for a method of MAD's family."""
    settings = {
        name: value
        for name, value in SHORT.items()
        if name not in ("memory", "inversion_steps", "collected_ratio", "synthetic")
    } | changes
    return [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]


class Crash(Exception):
    """What ends a run without warning, in this process."""


def ended_at(stage: int, how: str) -> Callable[[int, Any], None]:
    """An observer that ends the run in the middle of a stage: "crash", "SIGTERM" or "SIGINT"."""

    def observe(now: int, method: Any) -> None:
        if now == stage and how == "crash":
            raise Crash
        if now == stage:
            assert threading.current_thread() is threading.main_thread()  # else the signal would end the test's process
            os.kill(os.getpid(), getattr(signal, how))

    return observe


def observed(patch: pytest.MonkeyPatch, observe: Callable[[int, Any], None]) -> None:
    """Make every run of this process call the observer."""
    train = run.train
    patch.setattr(run, "train", lambda *args, **options: train(*args, **options | {"observe": observe}))


def same(one: Any, other: Any) -> bool:
    """Whether two states are equal, to the bit."""
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


def told(record: dict[str, Any]) -> dict[str, Any]:
    """A record without what equal runs need not share: time, the commit at the end, where they were continued."""
    history = {name: row for name, row in record["history"].items() if name not in ("seconds", "resumed")}
    return {name: value for name, value in record.items() if name not in ("seconds", "commit")} | {"history": history}


def related_images(folder: Path) -> Path:
    """A folder for $DFKD_DATA, with a data set that is related to digits: so-called USPS."""
    folder.mkdir()
    np.savez(folder / "usps.npz", **patches())
    return folder
