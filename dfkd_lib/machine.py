"""The machine a run is on: its hardware and its versions, for the records; and how it keeps memory."""

import contextlib
import ctypes
import platform
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import torch


def hardware(device: str) -> str:
    """The processor's or the GPU's name."""
    if device == "cuda":
        return torch.cuda.get_device_name()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def versions() -> dict[str, str]:
    """Of Python and of the packages that decide a run's numbers."""
    found = {name: version(name) for name in ("torch", "torchvision", "numpy", "dfkd_lib")}
    return found | {"python": platform.python_version()}


@contextlib.contextmanager
def kept_memory(wanted: bool = True) -> Iterator[None]:
    """Memory that is freed stays with this process, for whoever asks next; behind the block it is given back.

    By default the C library returns a large block to the system at once. The next one comes from there page by page,
    each cleared first: with batches of hundreds of images that is a third of a training step. For glibc; elsewhere, or
    if not `wanted`, nothing happens.

    It is set for the whole process, works for what the main thread asks for, and is not to be nested. What the process
    had set of glibc's malloc before is lost.
    """
    try:
        libc = ctypes.CDLL("libc.so.6") if wanted else None
    except OSError:
        libc = None
    if libc is None:
        yield
        return
    libc.mallopt(_MMAP_MAX, 0)
    libc.mallopt(_TRIM_THRESHOLD, -1)
    try:
        yield
    finally:
        # What glibc's own rule comes to in a process that has freed large blocks; it cannot be asked what it was.
        libc.mallopt(_MMAP_MAX, 65536)
        libc.mallopt(_MMAP_THRESHOLD, 32 * 2**20)
        libc.mallopt(_TRIM_THRESHOLD, 64 * 2**20)
        libc.malloc_trim(0)


_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -3, -4  # of glibc's malloc.h
