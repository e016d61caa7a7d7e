"""What runs leave and read again: checkpoints and records, each damaged or made wrong."""

import functools
import hashlib
import io
import json
import pickle
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import torch

from dfkd_lib import run
from dfkd_lib.results import REQUIRED, load_records
from reliability.asked import TINY, tiny, words_of
from reliability.data_sets import Hostile, in_place
from reliability.trained import State
from reliability.trial import Case, Status, command
from reliability.values import INF, NAN, ODD

# --- checkpoints -----------------------------------------------------------------------------------------------------

RUN = [*words_of(tiny(**{"--budget": "6"}), TINY), "--checkpoint-every=2", "--set=stages_per_epoch=2"]


class Stopped(Exception):
    """What ends a run without warning."""


@functools.cache
def stopped_run() -> tuple[Path, bytes]:
    """A folder with the checkpoints behind stages 2 and 4, and the student of the run that nobody stopped."""
    place = Path(tempfile.mkdtemp(prefix="checkpoints."))
    arguments = [w for w in RUN if not w.startswith("--output-dir")]
    if run.main([*arguments, f"--output-dir={place / 'whole'}"]):
        raise RuntimeError("the run that is to be stopped does not even work")
    [student] = (place / "whole").glob("*.safetensors")
    train = run.train

    def stopping(*args: Any, **options: Any) -> Any:
        def observe(stage: int, method: Any) -> None:
            if stage == 5:
                raise Stopped

        return train(*args, **options | {"observe": observe})

    run.train = stopping
    try:
        run.main([*arguments, f"--output-dir={place / 'out'}"])
    except Stopped:
        pass
    finally:
        run.train = train
    return place, student.read_bytes()


def forget_stopped_run() -> None:
    """Remove its files."""
    if stopped_run.cache_info().currsize:
        shutil.rmtree(stopped_run()[0])
        stopped_run.cache_clear()


def _hashed(made: Any) -> bytes:
    stream = io.BytesIO()
    torch.save(made, stream)
    return f"dfkd_lib checkpoint 1 {hashlib.sha256(stream.getvalue()).hexdigest()}\n".encode() + stream.getvalue()


def _inside(data: bytes) -> State:
    return torch.load(io.BytesIO(data.partition(b"\n")[2]), weights_only=True)


# What a run of one process reads of its checkpoint.
PARTS = ("history", "method", "randomness", "since", "spent", "stage", "sums")
NETWORKS = ("student", "student_optimizer", "generator", "generator_optimizer")

# What is changed in a checkpoint whose hash is right all the same: another version's, or made by hand.
INSIDE: dict[str, Callable[[State, Random], object]] = {
    "a part gone": lambda s, c: s.pop(c.choice(PARTS)),
    "a part odd": lambda s, c: s.update({c.choice(PARTS): c.choice(ODD[:20])}),
    "a network gone": lambda s, c: s["method"].pop(c.choice(sorted(s["method"]))),
    "a network odd": lambda s, c: s["method"].update({c.choice(NETWORKS): c.choice(ODD[:18])}),
    "nan in the student": lambda s, c: next(iter(s["method"]["student"].values())).fill_(NAN),
    "a weight of another shape": lambda s, c: s["method"]["student"].update({_first(s): torch.zeros(3)}),
    "a stage beyond the end": lambda s, c: s.update(stage=c.choice((6, 7, 10**9))),
    "a stage before the start": lambda s, c: s.update(stage=-c.choice((1, 4))),
    "half a stage": lambda s, c: s.update(stage=2.5),
    "a history of another length": lambda s, c: s["history"]["accuracy"].append(3.0),
    "no history": lambda s, c: s.update(history={}),
    "text in the history": lambda s, c: s["history"].update(accuracy=["high", "low"]),
    "losses of another shape": lambda s, c: s.update(sums=torch.zeros(5)),
    "a random state cut": lambda s, c: s["randomness"].update(cpu=s["randomness"]["cpu"][:-7]),
    "the noise's random state cut": lambda s, c: s["method"].update(random=s["method"]["random"][:5]),
    "no samples": lambda s, c: s["method"].update(samples=None),
}


def _first(state: State) -> str:
    return next(iter(state["method"]["student"]))


def checkpoints(chance: Random) -> Case:
    """`--resume` from checkpoints that are damaged, made by hand, or hostile: both, or the last alone."""
    place, student = stopped_run()
    [name] = (path.name for path in (place / "out").glob("*.ckpt"))
    both, seed = chance.random() < 0.6, chance.randrange(2**32)
    what = chance.choice(("damaged", "hostile", *("made by hand",) * 3))
    how = chance.choice(list(INSIDE))
    wholes = {n: (place / "out" / n).read_bytes() for n in (name, f"{name}.previous")}

    def other(path: Path, whole: bytes) -> None:
        own = Random(seed)
        if what == "damaged":
            # Its first bytes are as they are; the rest is not what was hashed.
            where = own.randrange(100, len(whole))
            path.write_bytes(own.choice((whole[:where], whole[:where] + b"\0" + whole[where:], b"", whole[::-1])))
        elif what == "hostile":
            evil = Hostile(path.parent.parent)
            made = _inside(whole) | own.choice(({"state": evil}, {"identity": evil}, {"more": evil}))
            path.write_bytes(own.choice((_hashed(made), pickle.dumps(evil))))
        else:
            made = _inside(whole)
            INSIDE[how](made["state"], own)
            path.write_bytes(_hashed(made))

    def prepare(folder: Path) -> None:
        (folder / "out").mkdir()
        for n, whole in wholes.items():
            if both or n == name:
                other(folder / "out" / n, whole)
            else:
                (folder / "out" / n).write_bytes(whole)

    def resume(folder: Path) -> Status:
        arguments = [w.replace("--output-dir=out", f"--output-dir={folder / 'out'}") for w in RUN]
        return command(run.main, *arguments, "--resume")

    def right(value: object, folder: Path) -> bool:
        return next((folder / "out").glob("*.safetensors")).read_bytes() == student

    said = how if what == "made by hand" else what
    # The last alone may be passed over, for the one before; what a hand made, only if it is seen at once.
    return Case(
        "checkpoints",
        f"{'both' if both else 'the last'}: {said}",
        resume,
        prepare,
        good=False if both else None,
        names=("resume",) if said != "nan in the student" else (),
        right=right,
        removes=(f"out/{name}", f"out/{name}.previous"),
    )


# --- records ---------------------------------------------------------------------------------------------------------


def records(chance: Random) -> Case:
    """`load_records` on a folder with a record that is none, or a wrong one."""
    made = json.loads(_a_record())
    key = chance.choice(REQUIRED)
    what = chance.choice(("a key gone", "another type", "damaged or something else", "another type", "not finite"))

    def read(folder: Path) -> Any:
        return load_records(folder)

    if what == "damaged or something else" and chance.random() < 0.1:
        return Case("records", "no record at all", read, good=True, right=lambda value, folder: value == [])
    if what == "damaged or something else":
        whole = lambda value, folder: value == [] or set(REQUIRED) <= set(value[0])  # noqa: E731
        return in_place("records", "r.json", read, chance, lambda path: path.write_text(json.dumps(made)), right=whole)
    if what == "a key gone":
        del made[key]
    elif what == "not finite":
        key = chance.choice(("accuracy_last", "accuracy_best", "agreement_last", "seconds"))
        made[key] = chance.choice((NAN, INF))
    else:
        usual = type(made[key])
        others = [v for v in (None, "text", 3, 2.5, True, [], {}, [1]) if type(v) is not usual]
        made[key] = chance.choice([v for v in others if not (usual is float and type(v) is int)])
    odd = f"{what}: {key}"
    return Case("records", odd, read, lambda f: (f / "r.json").write_text(json.dumps(made)), names=("r.json", key))


@functools.cache
def _a_record() -> str:
    [path] = (stopped_run()[0] / "whole").glob("*.json")
    return path.read_text()
