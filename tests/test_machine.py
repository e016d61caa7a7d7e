"""The machine a run is on, and how memory is kept on it."""

import ctypes
import resource
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from method_checks import play

from dfkd_lib import training
from dfkd_lib.evaluation import Scores
from dfkd_lib.machine import hardware, kept_memory, versions


def glibc() -> bool:
    try:
        return bool(ctypes.CDLL("libc.so.6"))
    except OSError:
        return False


needs_glibc = pytest.mark.skipif(not glibc(), reason="how memory is kept is glibc's; there is none here")


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def new_pages(mebibytes: int = 64) -> int:
    """How many pages a block has from the system where one as large was freed before, again and again: what lies
    between blocks at first, moves.
    """
    blocks = []
    for _ in range(20):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        torch.empty(mebibytes * 2**20, dtype=torch.uint8).fill_(1)
        blocks.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
    return blocks[-1]


@needs_glibc
def test_freed_memory_is_there_for_the_next_who_asks():
    with kept_memory():
        assert new_pages() < 100


@needs_glibc
@pytest.mark.parametrize("before", [False, True])
def test_elsewhere_it_goes_back_to_the_system(before):
    """Also behind a block that kept it, with what that had kept."""
    if before:
        with kept_memory():
            torch.empty(2**28, dtype=torch.uint8).fill_(1)
            held = resident()
        assert resident() < held - 2**27
    with kept_memory(False):
        # A huge page may stand for many.
        assert new_pages() >= 64 * 2**20 // 2**21


@needs_glibc
def test_an_error_in_the_block_is_the_callers_and_ends_it():
    with pytest.raises(ZeroDivisionError), kept_memory():
        _ = 1 / 0
    assert new_pages() >= 64 * 2**20 // 2**21


def test_without_glibc_nothing_happens(monkeypatch):
    def missing(_: str) -> None:
        raise OSError("no such library")

    monkeypatch.setattr(ctypes, "CDLL", missing)
    with kept_memory():
        pass


@pytest.mark.parametrize(("precision", "kept"), [("float32", True), ("plain", False)])
def test_the_loop_keeps_memory_but_for_the_public_one(monkeypatch, precision, kept):
    asked = []
    monkeypatch.setattr(training, "kept_memory", lambda wanted: asked.append(wanted) or kept_memory(wanted))
    method = play("dfad", precision=precision)
    training.train(method, SimpleNamespace(scores=lambda _: Scores(1.0, 1.0, 1.0)), progress=False)
    assert asked == [kept]


def test_names_are_there():
    assert hardware("cpu") and versions()["torch"] == torch.__version__.partition("+")[0]
