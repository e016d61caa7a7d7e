"""What a run is made on: device, precision, hardware, versions, commit."""

import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from ..errors import UserError, one_of
from ..files import project_folder


def resolve_device(name: str, value: Any) -> str:
    """'cpu' or 'cuda'; 'auto' is the GPU if there is one."""
    found = torch.cuda.is_available()
    if one_of(name, value, ("auto", "cpu", "cuda")) == "cuda" and not found:
        raise UserError(f"{name}: torch finds no GPU here; allowed: auto, cpu")
    return "cuda" if found and value != "cpu" else "cpu"


def resolve_precision(value: str, device: str) -> str:
    """'auto' is bfloat16 where the processor has instructions for it, else float32."""
    if one_of("precision", value, ("auto", "bfloat16", "float32")) != "auto":
        return value
    if device == "cuda":
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        mkldnn = torch.backends.mkldnn.is_available()
        fast = mkldnn and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return "bfloat16" if fast else "float32"


def hardware(device: str) -> str:
    """The processor's or the GPU's name."""
    if device == "cuda":
        return torch.cuda.get_device_name()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(x.split(":", 1)[1].strip() for x in lines if "model name" in x)
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def versions() -> dict[str, str]:
    """Of Python and of the packages that decide a run's numbers."""
    names = ("torch", "torchvision", "numpy", "dfkd_lib")
    return {n: version(n) for n in names} | {"python": platform.python_version()}


def commit() -> str:
    """The checkout's commit; "+changes" if the library has uncommitted ones.

    "unknown" outside a checkout of this project, also inside another repository.
    """
    changed = bool(_git("status", "--porcelain", "dfkd_lib"))
    return _git("rev-parse", "HEAD") + "+changes" * changed or "unknown"


def tree() -> str:
    """The hash of the library's files in the checkout's commit, or "unknown"."""
    return _git("rev-parse", "HEAD:dfkd_lib") or "unknown"


def _git(*words: str) -> str:
    """The answer of git in the project's checkout; empty where there is none."""
    folder = project_folder()
    if not folder or not (folder / ".git").exists():
        return ""
    options = {"text": True, "stderr": subprocess.DEVNULL}
    try:
        return subprocess.check_output(["git", "-C", folder, *words], **options).strip()
    except (OSError, subprocess.CalledProcessError):
        return ""
