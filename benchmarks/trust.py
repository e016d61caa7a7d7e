"""`OMP_NUM_THREADS=1 python -m benchmarks.trust` writes records/trust.jsonl."""

import json
import tempfile
import time
from pathlib import Path

import torch
from torch import nn

import dfkd_lib
from dfkd_lib.models import build
from dfkd_lib.teachers import accuracy, logits_of

BAD = 78  # percent, below which a student is bad; fixed before the first run
OPTIONS = {"generator_width": 8, "batch": 64, "student_batch": 64, "seed": 0}
OPTIONS |= {"stages_per_epoch": 5, "device": "cpu", "onnx": False, "num_classes": 10}
RUNS = """lenet5, dfad 60; lenet5, mad 60; lenet5, dafl 40; lenet5, arvi 50
mlp, mad 50; mlp, abm 50; cnn, mad 60; cnn, dfad 40; lenet5, abm 6, too short
mlp, dafl 10, too short; lenet5, mad 15, too short; lenet5, mad 30, frozen student
lenet5, dfad 30, takes 255 told 1; lenet5, dafl 40, takes 1 told 255
lenet5, mad 30, takes 1 told 255; lenet5, abm 50, wrong class order"""


def trained(cnn: bool, x: torch.Tensor, y: torch.Tensor) -> nn.Module:
    """A small CNN with BatchNorm, or an MLP, after 30 epochs on real images."""
    torch.manual_seed(0)
    layers = [nn.Flatten(), nn.Linear(1024, 128), nn.ReLU(), nn.Linear(128, 10)]
    if cnn:
        c = [nn.Conv2d(*w, 3, 2, 1) for w in ((1, 8), (8, 16), (16, 32))]
        layers = [m for k in c for m in (k, nn.BatchNorm2d(k.out_channels), nn.ReLU())]
        layers += [nn.Flatten(), nn.Linear(512, 10)]
    network = nn.Sequential(*layers)
    optimizer = torch.optim.AdamW(network.parameters(), 2e-3)
    for some in torch.randint(len(x), (30 * len(x) // 64, 64)):
        nn.functional.cross_entropy(network(x[some]), y[some]).backward()
        optimizer.step(), optimizer.zero_grad()
    return network.eval()


def measure(teacher: nn.Module, data, method: str, stages: str, danger: str) -> dict:
    """One run: the report's numbers of its student, and the truth on test images."""
    begun, student = time.perf_counter(), "lenet5_half"
    x, y = torch.from_numpy(data.normalise(data.x_test)), torch.from_numpy(data.y_test)
    if "frozen" in danger:  # all but its last layer
        student = build(student, 10).requires_grad_(False)
        student.classifier.requires_grad_(True)
    mean, std, words = data.mean[0], data.std[0], danger.split()
    if "takes" in danger:  # the teacher's first layer normalises
        white, x = int(words[1]), (x * std + mean) * int(words[1])
        (first := nn.Conv2d(1, 1, 1)).weight.data.fill_(1 / white / std)
        first.bias.data.fill_(-mean / std)
        teacher, mean, std = nn.Sequential(first, teacher).eval(), 0, 1 / int(words[3])
    with tempfile.TemporaryDirectory() as to:
        run = {"input_shape": (1, 32, 32), "output_dir": to, "method": method} | OPTIONS
        run |= {"stages": int(stages), "mean": mean, "std": std}
        report = (done := dfkd_lib.distill(teacher, student, **run)).report
    of_student, named = logits_of(done.student, x), logits_of(teacher, x).argmax(1)
    made = {"agreement_real": accuracy(of_student, named), **report["synthetic"]}
    made["agreement_60"] = accuracy(of_student[:60], named[:60])
    y = (y + ("order" in danger)) % 10  # labels as their owner numbers them
    made |= {"real": accuracy(of_student, y), "bad": BAD}
    made["teacher_real"] = 100 * (named == y).double().mean().item()
    kept = ("warnings", "stages", "teacher", "hardware", "versions", "commit", "seed")
    made |= {key: report[key] for key in kept}
    return made | {"seconds": round(time.perf_counter() - begun, 1)}


if __name__ == "__main__":
    data = dfkd_lib.load_dataset("digits")
    pair = data.normalise(data.x_train), data.y_train
    x, y = map(torch.from_numpy, pair)
    teachers = {"cnn": trained(True, x, y), "mlp": trained(False, x, y)}
    teachers["lenet5"] = dfkd_lib.load_teacher(data, "lenet5").network
    with (Path(__file__).parent / "records" / "trust.jsonl").open("w") as file:
        for run in RUNS.replace("\n", "; ").split("; "):
            name, way, danger = (*run.split(", "), "")[:3]
            made = measure(teachers[name], data, *way.split(), danger)
            made |= {"run": run, "command": __doc__.split("`")[1]}
            print(json.dumps(made), file=file, flush=True)
