"""Runs that end early: killed at random moments, on disks that fill up, two at once. All give the same student.

``python -m reliability.ended``; `make nightly` runs it. Runs are forked from this process, which has torch imported:
a hundred kills take minutes. It ends with 1 if anything was lost.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from dfkd_lib import run
from reliability import record
from reliability.asked import TINY, tiny, words_of
from reliability.trained import digits, weights
from reliability.trial import surroundings

KILLS, LEVELS = 100, 20
# Half a second of work or two, much of it writing: 20 checkpoints, five tests.
RUN = [*words_of(tiny(**{"--budget": "40"}), TINY), "--checkpoint-every=2", "--set=stages_per_epoch=8"]
LEFT = {".json", ".safetensors", ".lock"}


def start(folder: Path, *more: str) -> int:
    """Begin the run in a child; returns its number."""
    sys.stdout.flush()
    child = os.fork()
    if child:
        return child
    status = 70
    try:
        with (folder / ".printed").open("w") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        out = folder / "out"
        status = run.main([*(w.replace("--output-dir=out", f"--output-dir={out}") for w in RUN), *more])
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def ended(child: int) -> int:
    """A child's exit status; below zero, the signal that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def made(folder: Path) -> dict[str, Any]:
    """What a finished run has left: the student, the record without its times and places, the kinds of files."""
    [student], [path] = (list((folder / "out").glob(f"*.{ending}")) for ending in ("safetensors", "json"))
    told = json.loads(path.read_text())
    history = {name: column for name, column in told["history"].items() if name not in ("seconds", "resumed")}
    told = {name: value for name, value in told.items() if name not in ("seconds", "history")}
    left = {file.suffix for file in (folder / "out").iterdir()}
    return {"student": student.read_bytes(), "record": told, "history": history, "left": left}


def printed(folder: Path) -> list[str]:
    """What the last run in a folder printed."""
    return (folder / ".printed").read_text().splitlines()


@contextmanager
def folders() -> Iterator[Path]:
    """An empty folder, with a place for the output, removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="ended.") as place:
        (Path(place) / "out").mkdir()
        yield Path(place)


def killed(kills: int, chance: random.Random, whole: dict[str, Any], seconds: float) -> dict[str, Any]:
    """kill -9 at so many moments, spread over a run's time; each time resumed, and perhaps killed again."""
    done, runs, bad, moments = 0, 0, [], {"before a checkpoint": 0, "behind one": 0, "behind the record": 0}
    while done < kills:
        with folders() as folder:
            resumed: list[str] = []
            while done < kills:
                child = start(folder, *resumed)
                time.sleep(chance.uniform(0, 1.05 * seconds))
                os.kill(child, signal.SIGKILL)
                status = ended(child)
                if status != -signal.SIGKILL:
                    break  # it had ended
                done += 1
                resumed = ["--resume"]
                left = [path.suffix for path in (folder / "out").iterdir()]
                where = "behind the record" if ".json" in left else "behind one" if ".ckpt" in left else ""
                moments[where or "before a checkpoint"] += 1
            status = ended(start(folder, "--resume"))
            runs += 1
            if status or made(folder) != whole:
                bad.append(f"run {runs}: status {status}: {' | '.join(printed(folder)[-3:])}")
    return {"kills": done, "runs": runs, "moments": moments, "lost": bad}


def filled(levels: int, chance: random.Random, whole: dict[str, Any]) -> dict[str, Any]:
    """Disks of so many sizes, from nothing to enough; then made larger, and the run resumed."""
    bad, statuses = [], {0: 0, 2: 0}
    for _ in range(levels):
        with folders() as folder:
            disk = folder / "out"
            size = chance.randrange(4096, 400_000)
            if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", disk]).returncode:
                return {"levels": 0, "lost": [], "note": "no file system could be mounted"}
            try:
                status = ended(start(folder))
                lines = [line for line in printed(folder) if line.startswith(("error: ", "Traceback"))]
                fine = status == 0 or (status == 2 and len(lines) == 1 and "No space left" in lines[0])
                statuses[status] = statuses.get(status, 0) + 1
                subprocess.run(["mount", "-o", "remount,size=16m", disk], check=True)
                again = ended(start(folder, "--resume"))
                if not fine or again or made(folder) != whole:
                    bad.append(f"{size} bytes: status {status}, then {again}: {' | '.join(printed(folder)[-3:])}")
            finally:
                subprocess.run(["umount", disk], check=True)
    return {"levels": levels, "statuses": statuses, "lost": bad}


def twice(rounds: int, chance: random.Random, whole: dict[str, Any]) -> dict[str, Any]:
    """The same run twice at once, the second a moment later: it is refused in one line, or finds the first finished."""
    bad, refused = [], 0
    for number in range(rounds):
        with folders() as folder, folders() as beside:
            (beside / "out").rmdir()
            (beside / "out").symlink_to(folder / "out")
            first = start(folder)
            time.sleep(chance.uniform(0, 0.3))
            second = start(beside, "--resume")
            statuses = sorted((ended(first), ended(second)))
            lines = [line for f in (folder, beside) for line in printed(f) if line.startswith("error: ")]
            refused += statuses == [0, 2]
            fine = statuses == [0, 0] or (statuses == [0, 2] and len(lines) == 1 and "another process" in lines[0])
            if not fine or made(folder) != whole:
                bad.append(f"round {number}: statuses {statuses}: {' | '.join(lines)}")
    return {"rounds": rounds, "refused": refused, "lost": bad}


def main(argv: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m reliability.ended", description=__doc__)
    parser.add_argument("--kills", type=int, default=KILLS)
    parser.add_argument("--levels", type=int, default=LEVELS, help="of disks that fill up; also rounds of two at once")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", action="store_true", help="write the record")
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    chance = random.Random(args.seed)
    with surroundings(), folders() as cache:
        os.environ["DFKD_CACHE"] = str(cache)
        digits(), weights()
        for _ in range(2):  # the first imports what later ones need
            with folders() as folder:
                started = time.perf_counter()
                if status := run.main([*(w.replace("=out", f"={folder / 'out'}") for w in RUN)]):
                    return status
                seconds, whole = time.perf_counter() - started, made(folder)
        if whole["left"] != LEFT:
            raise RuntimeError(f"the run that nobody ends leaves {whole['left']}")
        found = {
            "killed": killed(args.kills, chance, whole, seconds),
            "full disk": filled(args.levels, chance, whole),
            "two at once": twice(args.levels, chance, whole),
        }
    print(json.dumps(found, indent=1))
    if args.keep:
        words = f"python -m reliability.ended --kills {args.kills} --levels {args.levels} --seed {args.seed} --keep"
        print(f"record: {record.write('ended', words, found)}")
    return int(any(part["lost"] for part in found.values()))


if __name__ == "__main__":
    sys.exit(main())
