"""One input, tried in a process of its own that is forked from this one, and what came of it.

A forked process has torch imported already, so a trial takes milliseconds; and whatever it does, to memory, signals or
the interpreter, is done to itself. A trial works in an empty folder, whose files are compared before and after.
"""

import contextlib
import hashlib
import json
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dfkd_lib.errors import UserError

SECONDS = 60  # a trial that takes longer hangs; a refusal comes within a few milliseconds
MEMORY = 12 * 2**30  # bytes of address space: what wants more fails as on a machine that has no more
PROOF = "executed"  # a file that hostile content makes where it is executed

REFUSED, RIGHT = "refused", "right"  # the outcomes that are as they should be
# And those that are not: in order, more than one line or one that does not name what is wrong; a bad input that was
# accepted; a good one that was refused, or gave a wrong result; a file that is gone, changed or left behind.
WRONG = ("traceback", "unclear", "accepted", "mistaken", "lost", "executed", "hung", "died")


@dataclass(frozen=True)
class Case:
    """An input to one public entry.

    `call` is handed the trial's folder, and behaves as the caller sees it: a function returns or raises, a command
    returns its exit status, and is then also judged by what it printed.
    """

    entry: str
    what: str  # what is given, in words
    call: Callable[[Path], object]
    prepare: Callable[[Path], object] = lambda folder: None  # files to be there before
    good: bool | None = False  # whether it is valid, by the rules as the documentation tells them; None: it may be
    names: tuple[str, ...] = ()  # what a refusal must name
    right: Callable[[Any, Path], bool] = lambda value, folder: True  # of a good one's value, and what it left
    removes: tuple[str, ...] = ()  # files that may be gone where it was accepted


@dataclass(frozen=True)
class Outcome:
    """What came of a case; `told` is its message, or what is wrong with it."""

    case: Case
    kind: str
    told: str = ""
    seconds: float = field(default=0.0, compare=False)

    @property
    def well(self) -> bool:
        return self.kind in (REFUSED, RIGHT)


class Status(int):
    """The exit status of a command."""


def command(main: Callable[[list[str]], int], *arguments: str) -> Status:
    """A command line's exit status, as the shell would see it."""
    try:
        return Status(main(list(arguments)) or 0)
    except SystemExit as end:
        return Status(end.code or 0)


def tried(case: Case) -> Outcome:
    """Try a case, in a folder that is removed behind it."""
    place = Path(tempfile.mkdtemp(prefix="trial."))
    try:
        folder = place / "here"
        folder.mkdir()
        case.prepare(folder)
        before = content(folder)
        started = time.perf_counter()
        ended = _forked(case, place, folder)
        kind, told = _judged(case, ended, place, before, content(folder))
        return Outcome(case, kind, told, time.perf_counter() - started)
    finally:
        shutil.rmtree(place, ignore_errors=True)


def content(folder: Path) -> dict[str, str]:
    """The files in a folder and below, each with a hash of what it holds; links as links."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            found[name] = f"link to {os.readlink(path)}"
        elif path.is_file():
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def _forked(case: Case, place: Path, folder: Path) -> int:
    """Run the case in a child; returns the child's wait status, or -1 where it had to be ended."""
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if not child:
        try:
            _in_child(case, place, folder)
        finally:
            os._exit(0)
    end = time.perf_counter() + SECONDS
    pause = 0.001
    while time.perf_counter() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return status
        time.sleep(pause)
        pause = min(2 * pause, 0.02)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return -1


def _in_child(case: Case, place: Path, folder: Path) -> None:
    for number, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(place / name, os.O_WRONLY | os.O_CREAT, 0o600), number)
    sys.stdout, sys.stderr = (os.fdopen(number, "w", closefd=False) for number in (1, 2))  # pytest has others here
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.chdir(folder):
        try:
            value = case.call(folder)
            kind = "status" if isinstance(value, Status) else "value"
            right = kind == "value" and bool(case.right(value, folder))
            if kind == "status" and value == 0:
                right = bool(case.right(value, folder))
            answer = {"kind": kind, "told": int(value) if kind == "status" else "", "right": right}
        except UserError as error:
            answer = {"kind": "UserError", "told": str(error)}
        except BaseException as error:
            where = [f"{Path(f.filename).name}:{f.lineno}" for f in traceback.extract_tb(error.__traceback__)]
            answer = {"kind": "traceback", "told": f"{type(error).__name__}: {error} [{' '.join(where[-5:])}]"}
    sys.stdout.flush()
    sys.stderr.flush()
    (place / "answer").write_text(json.dumps(answer))


def _judged(case: Case, status: int, place: Path, before: dict[str, str], after: dict[str, str]) -> tuple[str, str]:
    """The outcome's kind, and what to tell of it. The worst is told first."""
    if PROOF in after:
        return "executed", "what a file holds was executed"
    answered = not status and (place / "answer").exists()
    answer = json.loads((place / "answer").read_text()) if answered else {"kind": "", "told": ""}
    kind, told = answer["kind"], answer["told"]
    accepted = kind == "value" or (kind == "status" and told == 0)
    free = case.removes if accepted else ()
    if lost := [name for name, made in before.items() if name not in free and after.get(name) != made]:
        return "lost", f"gone or changed: {', '.join(lost)}"
    if status == -1:
        return "hung", f"no end within {SECONDS} seconds"
    if not answered:
        return "died", f"wait status {status}; {_last_line(place / 'err')}"
    if kind == "traceback":
        return "traceback", told
    if accepted:
        if case.good is False:
            return "accepted", "a bad input was accepted"
        return (RIGHT, "") if answer["right"] else ("mistaken", "accepted, with a wrong result")
    lines = told.splitlines() if kind == "UserError" else (place / "err").read_text().splitlines()
    line = lines[0].removeprefix("error: ") if lines else ""
    if any(text.startswith("Traceback") for text in lines):
        return "traceback", lines[-1]
    if len(lines) != 1 or not line.strip() or (kind == "status" and (told != 2 or not lines[0].startswith("error: "))):
        return "unclear", f"status {told}, {len(lines)} lines: {' | '.join(lines)[:300]}"
    if unnamed := [name for name in case.names if name not in line]:
        return "unclear", f"does not name {', '.join(unnamed)}: {line}"
    if new := [name for name in after.keys() - before.keys() if not _is_lock(place / "here" / name)]:
        return "lost", f"a refused input left {', '.join(sorted(new))}"
    return ("mistaken", f"a good input was refused: {line}") if case.good else (REFUSED, line)


def _is_lock(path: Path) -> bool:
    """An empty file to lock is all that a refusal may leave."""
    return path.suffix == ".lock" and path.stat().st_size == 0


def _last_line(path: Path) -> str:
    lines = path.read_text().splitlines() if path.exists() else []
    return lines[-1] if lines else ""


@contextlib.contextmanager
def surroundings(**variables: str) -> Iterator[None]:
    """Nothing of whoever runs this: no data, teachers or records of theirs, and no network."""
    own = {"DFKD_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": "", "HOME": "/nonexistent"} | variables
    before = dict(os.environ)
    for name in ("DFKD_DATA", "DFKD_RESULTS", "DFKD_CACHE"):
        os.environ.pop(name, None)
    os.environ.update(own)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
