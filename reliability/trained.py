"""Files of teachers' weights: another network's, of another type, not finite, damaged, hostile."""

import functools
import pickle
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import torch
from safetensors.torch import save as to_safetensors

from dfkd_lib.data import Dataset, load_dataset
from dfkd_lib.foreign import load_foreign
from dfkd_lib.models import build
from dfkd_lib.teachers import load_teacher
from reliability.data_sets import Hostile, in_place
from reliability.trial import Case
from reliability.values import INF, NAN

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
