"""What a run ran on: its hardware and its versions, for the records."""

import platform
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
