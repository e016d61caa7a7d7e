"""How well `distill`'s own numbers predict a student's accuracy on real images.

``OMP_NUM_THREADS=1 python -m benchmarks.trust`` appends the runs that
records/trust.jsonl lacks, one line a run.
"""

import contextlib
import io
import json
import sys
import tempfile
import time
from pathlib import Path

import torch
from torch import nn

import dfkd_lib
from dfkd_lib.teachers import accuracy, logits_of

RECORD = Path(__file__).parent / "records" / "trust.jsonl"
SETTINGS = {"generator_width": 8, "batch": 64, "student_batch": 64, "seed": 0}
# by teacher and data set: methods with their numbers of stages, few and many
RUNS = {
    "lenet5 digits": "dfad 80, mad 60, abm 6, dafl 40",
    "cnn_batchnorm digits": "mad 80, dfad 60, arvi 10, abm 60",
    "mlp digits": "mad 60, abm 80, dafl 10, dfad 20",
    "lenet5 digits_half": "arvi 60, dafl 60, dfad 6, mad 20",
}


def trained(name: str, dataset) -> nn.Module:
    """A teacher of one's own: seconds of training on the real images."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(1024, 128), nn.ReLU())
    network.append(nn.Linear(128, 10))
    if name == "cnn_batchnorm":
        network, width = nn.Sequential(), 1
        for wider in (8, 16, 32):
            network.append(nn.Conv2d(width, wider, 3, stride=2, padding=1))
            network.extend([nn.BatchNorm2d(wider), nn.ReLU()])
            width = wider
        network.extend([nn.Flatten(), nn.Linear(512, 10)])
    x = torch.from_numpy(dataset.normalise(dataset.x_train))
    y = torch.from_numpy(dataset.y_train)
    optimizer = torch.optim.AdamW(network.parameters(), 2e-3)
    for _ in range(30 * len(x) // 64):
        some = torch.randint(len(x), (64,))
        loss = nn.functional.cross_entropy(network.train()(x[some]), y[some])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return network.eval()


def measure(teacher: nn.Module, dataset, method: str, stages: int) -> dict:
    """One run: what `distill` says of its student, and the truth."""
    begun, said = time.perf_counter(), io.StringIO()
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(said):
        options = {"input_shape": (1, 32, 32), "num_classes": 10, "method": method}
        options |= {"mean": dataset.mean, "std": dataset.std, "stages": stages}
        options |= {"output_dir": folder, "onnx": False, **SETTINGS}
        done = dfkd_lib.distill(teacher, "lenet5_half", device="cpu", **options)
    x = torch.from_numpy(dataset.normalise(dataset.x_test))
    y = torch.from_numpy(dataset.y_test)
    of_teacher, of_student = logits_of(teacher, x), logits_of(done.student, x)
    made = dict(done.report["synthetic"])
    made["do_not_trust"] = "do not trust" in said.getvalue()
    made["real_agreement"] = accuracy(of_student, of_teacher.argmax(1))
    made["real_accuracy"] = accuracy(of_student, y)
    made["teacher_accuracy"] = accuracy(of_teacher, y)
    made |= {"seconds": round(time.perf_counter() - begun, 1), "settings": SETTINGS}
    made |= {
        key: done.report[key] for key in ("hardware", "stages", "versions", "commit")
    }
    return made | {"threads": torch.get_num_threads()}


def main() -> int:
    lines = RECORD.read_text().splitlines() if RECORD.exists() else []
    kept = [[json.loads(line)[n] for n in ("teacher", "run")] for line in lines]
    for name, runs in RUNS.items():
        network, data = name.split()
        dataset = dfkd_lib.load_dataset(data)
        shipped = network == "lenet5"
        teacher = dfkd_lib.load_teacher(dataset, network).network if shipped else None
        teacher = teacher or trained(network, dataset)
        for run in runs.split(", "):
            if [name, run] in kept:
                continue
            method, stages = run.split()
            made = {"teacher": name, "run": run}
            made |= measure(teacher, dataset, method, int(stages))
            with RECORD.open("a") as file:
                file.write(json.dumps(made) + "\n")
            print(name, run, f"{made['real_accuracy']:.1f} %", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
