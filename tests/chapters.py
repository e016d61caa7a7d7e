"""Where the chapters are, and how a test runs one as a reader would."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat

ROOT = Path(__file__).resolve().parents[1]
CHAPTERS = sorted((ROOT / "book").rglob("*.py"))


def fresh_checkout(target: Path) -> Path:
    """Copy what git would hand to somebody else; the installed packages come along as .venv."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():  # listed, but perhaps deleted since
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
    (target / ".venv").symlink_to(sys.prefix)
    return target


def shell(command: str, cwd: Path, library: Path = ROOT, timeout: float = 1200):
    """Run a line as a reader types it; stdout and stderr come back together, in order."""
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(library),  # the installed dfkd_lib is another checkout's
        "OMP_NUM_THREADS": "1",
        "CUDA_VISIBLE_DEVICES": "",
        "DFKD_OFFLINE": "1",  # a missing data set is an error here, not a download
    }
    environment.pop("DFKD_DATA", None)
    return subprocess.run(
        ["bash", "-c", command],
        cwd=cwd,
        env=environment,
        timeout=timeout,
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def assert_ran_clean(path: Path) -> None:
    """The notebook ran to its end and no cell raised."""
    code = [c for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code"]
    assert all(cell.execution_count for cell in code)
    assert not [
        out for cell in code for out in cell.outputs if out.output_type == "error"
    ]
