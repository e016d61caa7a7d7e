"""The command on two ranks, ended early in every way: one line, and a checkpoint from which it goes on."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import several
from chapters import ROOT
from faults import PLACE, words

from dfkd_lib import files

pytestmark = pytest.mark.slow  # processes that import torch

MAD = ["-m", "dfkd_lib.run", "--method", "mad", "--seed", "1", *PLACE]
RUN = [*MAD, *words(stages=80, stages_per_epoch=20), "--checkpoint-every", "2"]
ENDS = "continue with the same command and --resume"


def start(folder: Path, *more: str) -> list[subprocess.Popen]:
    return several.start(2, *RUN, "--output-dir", str(folder), *more)


def kept(folder: Path) -> None:
    """Wait for two checkpoints."""
    until = time.monotonic() + 120
    while not list(folder.glob("*.ckpt.previous")):
        assert time.monotonic() < until
        time.sleep(0.05)


def student(folder: Path) -> bytes:
    assert {path.suffix for path in folder.iterdir()} == {".lock", ".json", ".safetensors"}
    [path] = folder.glob("*.safetensors")
    return path.read_bytes()


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> bytes:
    """The student of the run that nobody interrupts. Rank 0 speaks, rank 1 is silent."""
    folder = tmp_path_factory.mktemp("whole")
    (code, out, err), silent = several.ended(start(folder))
    assert (code, len(out), err) == (0, 2, []) and silent == (0, [], [])
    return student(folder)


@pytest.mark.parametrize("killed", [0, 1])
def test_a_killed_rank_ends_the_run(tmp_path, whole, killed):
    """The other says so, once; what it leaves is continued, to the same student."""
    processes = start(tmp_path)
    kept(tmp_path)
    processes[killed].kill()
    code, _, [line] = several.ended(processes)[1 - killed]
    [path] = tmp_path.glob("*.ckpt")
    assert code == 1
    assert line == f"error: rank {killed} does not answer: it ended, or hangs; the last checkpoint is {path}; {ENDS}"
    (code, out, err), silent = several.ended(start(tmp_path, "--resume"))
    assert (code, err) == (0, []) and "continuing behind stage" in out[1] and silent == (0, [], [])
    assert student(tmp_path) == whole


def test_a_rank_that_hangs_ends_the_run(tmp_path):
    """Here after two seconds of patience."""
    code = "import sys; from datetime import timedelta; from dfkd_lib import ranks, run; "
    code += "ranks.PATIENCE = timedelta(seconds=2); sys.exit(run.main(sys.argv[1:]))"
    processes = several.start(2, "-c", code, *RUN[2:], "--output-dir", str(tmp_path))
    kept(tmp_path)
    processes[1].send_signal(signal.SIGSTOP)
    try:
        _, err = processes[0].communicate(timeout=120)
    finally:
        processes[1].kill()
    several.ended(processes[1:])
    assert processes[0].returncode == 1
    assert err.startswith("error: rank 1 does not answer: it ended, or hangs; the last checkpoint is ")


def test_a_signal_to_one_rank_stops_both(tmp_path):
    processes = start(tmp_path)
    kept(tmp_path)
    processes[1].send_signal(signal.SIGTERM)
    (code, _, [line]), silent = several.ended(processes)
    assert (code, silent) == (128 + signal.SIGTERM, (128 + signal.SIGTERM, [], []))
    assert line.startswith("stopped by SIGTERM behind stage ") and line.endswith(f"; its checkpoint is written; {ENDS}")


def test_a_refusal_is_told_once(tmp_path):
    code, out, err = 2, [], ["error: batch: 7 cannot be shared equally by 2 ranks; give --set batch=6"]
    assert several.ended(several.start(2, *MAD, "--set", "batch=7")) == [(code, out, err), (code, out, [])]


def test_a_refusal_that_rank_0_alone_meets_is_everybodys(tmp_path):
    """Another process, this one, holds the folder."""
    name = "mad-digits-lenet5-lenet5_half-batch=8-s1"
    short = [*MAD, "--budget", "full", "--set", "batch=8", "--output-dir", str(tmp_path)]
    with files.locked(tmp_path / f".{name}.lock", ""):
        (code, _, [line]), silent = several.ended(several.start(2, *short))
    assert line.startswith(f"error: output_dir: another process is running {name} in ")
    assert (code, silent) == (2, (2, [], []))


def test_torchrun(tmp_path, whole):
    """As the README has it; a rank is killed there, and the command is given again."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += [*RUN, "--output-dir", str(tmp_path)]
    options = {"cwd": ROOT, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    options["env"] = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    process = subprocess.Popen(command, **options)
    kept(tmp_path)
    [victim] = [pid for pid in _children(process.pid) if b"RANK=1" in _environment(pid)]
    os.kill(victim, signal.SIGKILL)
    _, err = process.communicate(timeout=120)
    [line] = [line for line in err.splitlines() if line.startswith("error: ")]
    assert process.returncode == 1 and line.startswith("error: rank 1 does not answer") and line.endswith(ENDS)
    done = subprocess.run([*command, "--resume"], timeout=120, **options)
    assert done.returncode == 0 and done.stdout.count("continuing behind stage") == 1
    assert student(tmp_path) == whole


def _children(parent: int) -> list[int]:
    stats = {int(p.parent.name): p.read_text().rpartition(")")[2].split() for p in Path("/proc").glob("[0-9]*/stat")}
    return [pid for pid, stat in stats.items() if int(stat[1]) == parent]


def _environment(pid: int) -> list[bytes]:
    return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
