"""`python -m benchmarks.sweep`: `distill` with each network of records/sweep.jsonl.

Those that are "not run" there. It is teacher and student, with random weights. "wrong":
the run's teacher answers otherwise."""

import importlib.util
import json
import tempfile
from contextlib import suppress
from functools import partial
from pathlib import Path

import torch

from dfkd_lib import distillation as d
from dfkd_lib.files import write_atomically
from dfkd_lib.methods import MAD

TINY = {"stages": 2, "batch": 4, "student_batch": 4, "student_steps": 1, "mean": 0.5}
TINY |= {"generator_width": 2, "z_dim": 8, "std": 0.25, "onnx": False}
RECORD, RUNS = Path(__file__).parent / "records" / "sweep.jsonl", []
d.FreshImages = partial(d.FreshImages, 64)


class Kept(MAD):
    def start(self, *given):
        RUNS.append(super().start(*given))
        return RUNS[-1]


def tried(make, side: int, to: str) -> tuple:
    for name in ("img_size", "image_size", "input_size", None):
        with suppress(TypeError):  # it has no such option
            sides = side if name != "input_size" else (side, side)
            network = make(num_classes=10, **({name: sides} if name else {}))
            break
    for p in network.parameters():  # a head that starts at zero tells nothing
        torch.nn.init.normal_(p, std=0.02) if p.ndim == 2 and not p.any() else None
    x = torch.randn(8, 3, side, side)
    with torch.no_grad():
        [network(x) for _ in range(8)]  # BatchNorm's moments
        wanted = network.eval()(x)
    given = TINY | {"input_shape": x.shape[1:], "num_classes": 10, "method": Kept}
    try:
        report = d.distill(network, network, output_dir=to, **given).report
    except Exception as error:
        return type(error).__name__.replace("UserError", "refused"), str(error)
    with torch.no_grad():
        far = (RUNS.pop().teacher(x) - wanted).square().mean().sqrt() / wanted.std()
    # bfloat16 rounds: `distill` allows so much of the logits' deviation too
    return "taken" if far < 0.1 else "wrong", [report["warnings"], report["exports"]]


if __name__ == "__main__":
    rows = [json.loads(line) for line in RECORD.open()]
    for row in (row for row in rows if row["result"] == "not run"):
        if not importlib.util.find_spec(row["library"].partition(".")[0]):
            print(f"{row['network']} is skipped: {row['library']} is not installed")
            continue
        module = importlib.import_module(row["library"])
        create = getattr(module, "create_model", None) or module.get_model
        with tempfile.TemporaryDirectory() as to:
            made = tried(partial(create, row["network"]), row["side"], to)
        row["result"], row["said"] = made
        write_atomically(RECORD, "".join(json.dumps(r) + "\n" for r in rows))
