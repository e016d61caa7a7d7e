"""`dfkd_lib.distill`, called with one odd argument, an odd network, or odd images to check on."""

import io
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

import dfkd_lib
from reliability.functions import ANSWERS, Net
from reliability.trained import digits
from reliability.trial import Case
from reliability.values import ODD, damaged

RIGHT: dict[str, Any] = {
    "teacher": "lenet5",
    "student": "lenet5_half",
    "input_shape": (1, 32, 32),
    "num_classes": 10,
    "mean": (0.3,),
    "std": (0.3,),
    "method": "mad",
    "stages": 1,
    "percent": 99.5,
    "patience": 20,
    "check": None,
    "output_dir": "",
    "seed": 0,
    "device": "cpu",
    "precision": "float32",
}
# Where an odd value may be right, and then a run would start: whole numbers, folders, and no check at all.
MAY_FIT = {
    "stages": lambda v: type(v) is int and 0 < v < 2**31,
    "patience": lambda v: type(v) is int and 0 < v < 2**31,
    "seed": lambda v: type(v) is int and 0 <= v < 2**31,
    "percent": lambda v: type(v) in (int, float) and 0 <= v <= 100,
    "check": lambda v: v is None or v in (".", "/", "//", "~", "../.."),  # all images of a machine
    "output_dir": lambda v: isinstance(v, str) and v.strip(),
    "device": lambda v: v == "auto",
    "precision": lambda v: v == "auto",
}


def own_teacher(chance: Random) -> Case:
    """One call."""
    which = chance.choice(("an argument", "an argument", "teacher", "student", "images", "a setting"))
    if which in ("teacher", "student"):
        what, answer = chance.choice(list(ANSWERS.items()))
        return _case(f"{which} that answers {what}", {which: Net(answer)}, (which,))
    if which == "a setting":
        name = chance.choice(
            ("student_lr", "batch", "generator", "schedule", "lambda_z", "stages_per_epoch", "", "self")
        )
        value = chance.choice([v for v in ODD if isinstance(v, str) and not v.replace(".", "").isalnum()])
        return _case(f"{name}={value!r:.60}", {name: value}, (name or "setting",))
    if which == "images":
        return _images(chance)
    name = chance.choice(list(RIGHT))
    value = chance.choice([v for v in ODD if not MAY_FIT.get(name, lambda v: False)(v)])
    return _case(f"{name}={value!r:.60}", {name: value}, ())


def _images(chance: Random) -> Case:
    """An npz that is damaged: refused, since its arrays are checked by their sums, or the same as before."""

    stream = io.BytesIO()
    np.savez(stream, x=digits().x_test[:20], y=digits().y_test[:20])
    how, data = damaged(stream.getvalue(), chance)
    return Case(
        "own teacher",
        f"distill(check=images, {how})",
        lambda folder: _call(folder, {"check": folder / "check.npz"}),
        prepare=lambda folder: (folder / "check.npz").write_bytes(data),
        good=None,
    )


def _case(what: str, changes: dict[str, Any], names: tuple[str, ...]) -> Case:
    return Case("own teacher", f"distill({what})", lambda folder: _call(folder, changes), names=names)


def _call(folder: Path, changes: dict[str, Any]) -> Any:
    from dfkd_lib.teachers import load_teacher

    usual = RIGHT | {"teacher": load_teacher(digits(), "lenet5").network, "output_dir": str(folder / "own")}
    tiny = {"generator_width": 2, "z_dim": 6, "batch": 8, "student_batch": 8, "student_steps": 1, "onnx": False}
    return dfkd_lib.distill(**usual | tiny | changes)
