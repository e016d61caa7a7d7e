"""What runs leave and read again: teachers' weights, checkpoints and records, each damaged or made wrong."""

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
from safetensors.torch import save as to_safetensors

from dfkd_lib import run
from dfkd_lib.data import Dataset, load_dataset
from dfkd_lib.foreign import load_foreign
from dfkd_lib.models import build
from dfkd_lib.results import REQUIRED, load_records
from dfkd_lib.teachers import load_teacher
from reliability.asked import TINY, tiny, words_of
from reliability.data_sets import Hostile, in_place
from reliability.trial import Case, Status, command
from reliability.values import INF, NAN, ODD

State = dict[str, Any]


@functools.cache
def digits() -> Dataset:
    """The embedded data; loaded once, before trials fork."""
    return load_dataset("digits")


@functools.cache
def weights() -> State:
    """The shipped teacher's."""
    return dict(load_teacher(digits(), "lenet5").network.state_dict())


def _answers(network: torch.nn.Module) -> torch.Tensor:
    with torch.no_grad():
        return network(torch.from_numpy(digits().normalise(digits().x_test[:32])))


# --- teachers --------------------------------------------------------------------------------------------------------

# What is done to one of the weights; the second is whether it is then still a network's.
TENSORS: dict[str, tuple[Callable[[torch.Tensor], Any], bool]] = {
    **{
        f"as {kind}": (lambda t, kind=kind: t.to(getattr(torch, kind)), kind in ("float16", "bfloat16", "float64"))
        for kind in ("float16", "bfloat16", "float64", "int8", "int32", "int64", "bool", "complex64")
    },
    **{
        f"with {value}": (lambda t, value=value: t.flatten().index_fill(0, torch.tensor(0), value).view_as(t), False)
        for value in (NAN, INF, -INF)
    },
    "transposed": (lambda t: t.transpose(0, -1).repeat(2, *[1] * (t.ndim - 1)), False),
    "flat": (lambda t: t.flatten().repeat(2), False),
    "without numbers": (lambda t: t[:0], False),
    "a number": (lambda t: torch.tensor(1.0), False),
    "on meta": (lambda t: t.to("meta"), False),
    "sparse": (lambda t: t.to_sparse(), False),
    "text": (lambda t: "weights", False),
    "None": (lambda t: None, False),
    "a list": (lambda t: t.tolist(), False),
    "a parameter": (lambda t: torch.nn.Parameter(t), True),
    "not contiguous": (lambda t: t.t().contiguous().t() if t.ndim == 2 else t, True),
}
KEYS: dict[str, tuple[Callable[[State, str], Any], bool]] = {
    "without one": (lambda s, k: {n: v for n, v in s.items() if n != k}, False),
    "with one more": (lambda s, k: s | {"more": torch.zeros(3)}, False),
    "with an empty one more": (lambda s, k: s | {"": torch.zeros(0)}, False),
    "with one renamed": (lambda s, k: {n + "x" * (n == k): v for n, v in s.items()}, False),
    "in another order": (lambda s, k: dict(sorted(s.items(), reverse=True)), True),
    "as DataParallel names them": (lambda s, k: {f"module.{n}": v for n, v in s.items()}, True),
    "in a list": (lambda s, k: list(s.values()), False),
    "with numbers for names": (lambda s, k: dict(enumerate(s.values())), False),
    "in a checkpoint": (lambda s, k: {"state_dict": s, "epoch": 3}, True),
    "in a checkpoint of itself": (lambda s, k: {"state_dict": {"model": s}}, True),
    "none at all": (lambda s, k: {}, False),
}


def teacher_files(chance: Random) -> Case:
    """`load_foreign` on a file of weights: another network's, of another type, not finite, damaged, hostile."""
    ending = chance.choice(("safetensors", "pth", "pt"))
    name, roll = f"mine.{ending}", chance.random()

    def load(folder: Path) -> Any:
        return load_foreign(f"{folder / name}:lenet5", digits())

    def same(teacher: Any, folder: Path) -> bool:
        network = build("lenet5", 10).eval()
        network.load_state_dict(weights())
        close = torch.allclose(_answers(teacher.network), _answers(network), atol=0.5)
        return close and teacher.accuracy is not None and teacher.accuracy > 98

    def write(path: Path, made: Any) -> None:
        if ending == "safetensors" and isinstance(made, dict) and "state_dict" not in made:
            dense = {str(n): v.to_dense() for n, v in made.items() if isinstance(v, torch.Tensor) and not v.is_meta}
            path.write_bytes(to_safetensors({n: v.contiguous() for n, v in dense.items()}))
        else:
            torch.save(made, path)

    if roll < 0.15:
        where = chance.choice(("all", "state_dict", "a weight", "bare pickle", "protocol 0"))

        def hostile(folder: Path) -> None:
            evil = Hostile(folder)
            made = {"all": evil, "state_dict": {"state_dict": evil}, "a weight": weights() | {"x": evil}}
            if where in made:
                torch.save(made[where], folder / name)
            else:
                (folder / name).write_bytes(pickle.dumps(evil, protocol=0 if where == "protocol 0" else 4))

        return Case("teacher files", f"hostile {ending}: {where}", load, hostile, names=(name,))
    if roll < 0.4:
        # Neither format has a sum over its numbers: a changed bit there is another network, which may well be taken.
        return in_place("teacher files", name, load, chance, lambda path: write(path, weights()))
    key = chance.choice(sorted(weights()))
    if roll < 0.6:
        what, (change, good) = chance.choice(list(KEYS.items()))
        made = change(weights(), key)
    else:
        what, (alter, good) = chance.choice(list(TENSORS.items()))
        kept = weights()[key]
        made = weights() | {key: alter(kept)}
    if ending == "safetensors" and what in ("sparse", "with numbers for names", "on meta", "in a list", "text"):
        good = None  # this format cannot hold it
    if what == "in a checkpoint of itself" and ending == "safetensors":
        good = False  # it is written as torch writes it
    return Case(
        "teacher files",
        f"{ending} {what}, {key}",
        load,
        lambda folder: write(folder / name, made),
        good=good,
        names=(name,),
        right=same,
    )


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
