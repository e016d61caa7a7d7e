"""How tests start a run of several processes: as torchrun does, by variables, but without a second import of torch."""

import os
import socket
import subprocess
import sys
from pathlib import Path

from chapters import ROOT

Ended = tuple[int, list[str], list[str]]  # exit code; lines of stdout and of stderr


def start(count: int, *command: str, **environment: str) -> list[subprocess.Popen]:
    """`python COMMAND…` in so many processes that are to find each other."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    common = {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": "", "WORLD_SIZE": str(count)}
    common |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    return [
        subprocess.Popen(
            [sys.executable, *command],
            cwd=ROOT,
            env=os.environ | common | {"RANK": str(rank), "LOCAL_RANK": str(rank)} | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(count)
    ]


def ended(processes: list[subprocess.Popen], timeout: float = 300) -> list[Ended]:
    """Wait for all; nobody is left behind."""
    try:
        found = [process.communicate(timeout=timeout) for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [(p.returncode, out.splitlines(), err.splitlines()) for p, (out, err) in zip(processes, found, strict=True)]


def worker(scenario: str, folder: Path, count: int = 2, **environment: str) -> list[Ended]:
    """Run `ranks_worker.py`, which leaves what each rank has found in the folder."""
    return ended(start(count, "tests/ranks_worker.py", scenario, str(folder), **environment))
