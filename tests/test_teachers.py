"""Teachers: shipped, trained, continued, waited for, and refused in one line."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from dfkd_lib import teachers
from dfkd_lib.data import DATASETS, EMBEDDED, Dataset, load_dataset
from dfkd_lib.errors import UserError
from dfkd_lib.files import locked
from dfkd_lib.models import build
from dfkd_lib.teachers import accuracy_on, load_teacher, teacher_recipe
from dfkd_lib.teachers.__main__ import main

SHIPPED = sorted(path.stem for path in teachers.SHIPPED.glob("*.safetensors"))
QUICK = "--epochs 12 --lr 0.2 --device cpu"


@pytest.fixture
def own(root) -> Dataset:
    """A bright patch whose place tells the class: learned within a second."""
    x = np.random.default_rng(0).integers(40, size=(320, 32, 32, 1), dtype=np.uint8)
    y = np.arange(320) % 10
    for image, label in zip(x, y, strict=True):
        row, column = 8 * (label // 4), 8 * (label % 4)
        image[row : row + 8, column : column + 8] += 200
    parts = {"x_train": x[:256], "y_train": y[:256], "x_test": x[256:]}
    np.savez(root / "own.npz", y_test=y[256:], **parts)
    return load_dataset("own")


def command(*words: str) -> subprocess.Popen:
    line = [sys.executable, "-m", "dfkd_lib.teachers", "--dataset", "own", *words]
    pipe = subprocess.PIPE
    return subprocess.Popen(line, env=os.environ | {"PYTHONPATH": "."}, stderr=pipe,
                            stdout=pipe, text=True)  # fmt: skip


def until(process: subprocess.Popen, words: str) -> None:
    assert any(words in line for line in process.stderr), f"it ended without {words}"


@pytest.mark.parametrize("stem", SHIPPED)
def test_shipped_teachers_are_what_their_records_say(stem):
    record = json.loads((teachers.SHIPPED / f"{stem}.json").read_text())
    command = f"--dataset {record['dataset']} --teacher {record['teacher']}"
    assert command in record["command"]
    if record["dataset"] not in EMBEDDED:
        weights = teachers.SHIPPED / f"{stem}.safetensors"
        assert teachers.digest(weights.read_bytes()) == record["hash"]
        network = build(record["teacher"], DATASETS[record["dataset"]].classes)
        network.load_state_dict(load_file(weights))
        return
    dataset = load_dataset(record["dataset"])
    teacher = load_teacher(dataset, record["teacher"], train=False)
    assert (teacher.accuracy, teacher.hash) == (record["accuracy"], record["hash"])
    # Another processor may round one image's logits otherwise.
    wanted = pytest.approx(record["accuracy"], abs=100.1 / len(dataset.y_test))
    assert accuracy_on(teacher.network, dataset) == wanted


@pytest.mark.parametrize("damage", [
    lambda stem: stem.with_suffix(".safetensors").unlink(),
    lambda stem: stem.with_suffix(".safetensors").write_bytes(b"no weights"),
    lambda stem: stem.with_suffix(".json").write_text('{"hash": "0", "accuracy": 99}'),
    lambda stem: stem.with_suffix(".json").write_text("[]"),
    lambda stem: stem.with_suffix(".json").write_bytes(b"\xff"),
])  # fmt: skip
def test_changed_files_are_refused(tmp_path, monkeypatch, digits, damage):
    shutil.copytree(teachers.SHIPPED, tmp_path / "assets")
    monkeypatch.setattr(teachers, "SHIPPED", tmp_path / "assets")
    damage(tmp_path / "assets" / "digits-lenet5")
    with pytest.raises(UserError, match="^.*digits-lenet5.safetensors .*again with: "):
        load_teacher(digits, "lenet5")


def test_a_missing_teacher_is_trained_once_and_found_again(own, capsys, monkeypatch):
    recipe = teachers.TeacherRecipe(epochs=12, lr=0.05, batch=32)
    monkeypatch.setattr(teachers, "teacher_recipe", lambda *_: recipe)
    with pytest.raises(UserError, match="teachers --dataset own --teacher lenet5"):
        load_teacher(own, "lenet5", train=False)
    before = torch.get_rng_state()
    first = load_teacher(own, "lenet5", device="cpu")
    assert first.accuracy > 80 and not first.network.training
    assert "training lenet5 on own" in capsys.readouterr().err
    again = load_teacher(own, "lenet5", train=False)
    assert (again.hash, again.accuracy) == (first.hash, first.accuracy)
    assert torch.equal(before, torch.get_rng_state())
    record = json.loads((teachers.cache() / "own-lenet5.json").read_text())
    assert record["recipe"]["epochs"] == 12 and record["precision"] == "float32"
    assert not list(teachers.cache().glob("*.ckpt"))


def test_what_takes_too_long_on_a_cpu_is_refused(own, monkeypatch):
    monkeypatch.setattr(teachers, "CPU_LIMIT", 0.01)
    with pytest.raises(UserError, match="h:mm:ss.*use a GPU, or train it neverthele"):
        load_teacher(own, "lenet5", device="cpu")


def test_the_command_continues_after_a_kill_with_the_same_outcome(
    own, tmp_path, capsys
):
    assert main(f"--dataset own {QUICK} --folder {tmp_path / 'whole'}".split()) == 0
    whole = json.loads(capsys.readouterr().out)
    stopped = command(*QUICK.split())
    checkpoint = teachers.cache() / "own-lenet5.ckpt"
    while not checkpoint.exists() and stopped.poll() is None:
        time.sleep(0.005)
    stopped.send_signal(signal.SIGKILL)
    stopped.communicate()
    assert not list(teachers.cache().glob("*.json"))
    again = command(*QUICK.split())
    out, said = again.communicate()
    assert re.search(r"epochs ([2-9]|1\d) to 12", said), said
    assert json.loads(out)["hash"] == whole["hash"]
    assert json.loads(out)["command"] == whole["command"]


def test_a_damaged_checkpoint_is_told_and_left(own, capsys):
    teachers.cache().mkdir(parents=True)
    (teachers.cache() / "own-lenet5.ckpt").write_bytes(b"half a file")
    assert main(f"--dataset own {QUICK}".split()) == 0
    assert "own-lenet5.ckpt cannot be read" in capsys.readouterr().err


def test_a_process_waits_for_another_that_trains_the_same(own, tmp_path):
    assert main(f"--dataset own {QUICK} --folder {tmp_path / 'made'}".split()) == 0
    teachers.cache().mkdir(parents=True)
    with locked(teachers.cache() / "own-lenet5.lock", "held by nobody else"):
        waiting = command(*QUICK.split())
        until(waiting, "waiting for another process, which is training lenet5 for own")
        for file in (tmp_path / "made").glob("own-lenet5.[js]*"):
            (teachers.cache() / file.name).write_bytes(file.read_bytes())
    out, said = waiting.communicate()
    assert waiting.returncode == 0 and json.loads(out)["accuracy"] > 80
    assert "training lenet5 on own" not in said


def test_networks_that_gain_train_in_bfloat16_where_the_cpu_has_it(tmp_path):
    x = np.random.default_rng(0).integers(256, size=(64, 32, 32, 3), dtype=np.uint8)
    x[::2] //= 3  # dark and bright images
    y = np.arange(64) % 2
    dataset = Dataset("own", x, y, x, y, (0.4,) * 3, (0.3,) * 3)
    recipe = teachers.TeacherRecipe(epochs=4, batch=16, lr=0.05)
    record = teachers.train_teacher(dataset, "wrn16_1", recipe, tmp_path)
    assert record["precision"] == teachers.resolve_precision("auto", "cpu")
    assert record["accuracy"] > 90


def test_recipes():
    for dataset, network, images, values in (
        ("cifar10", "resnet34_8x", 50_000, (160, 0.1, 128)),
        ("cifar100", "wrn16_2", 50_000, (20, 0.3, 256)),
        ("cifar100", "vgg11_bn", 50_000, (160, 0.05, 128)),
        ("tiny_imagenet_32", "resnet34_8x", 100_000, (160, 0.1, 256)),
        ("food101", "alexnet", 75_750, (160, 0.01, 512)),
        ("digits", "lenet5", 1347, (100, 0.01, 128)),
    ):
        recipe = teacher_recipe(dataset, network, images)
        assert (recipe.epochs, recipe.lr, recipe.batch) == values and recipe.source
        rates = [recipe.lr_factor(step, 10) for step in range(10 * recipe.epochs)]
        assert max(rates) == 1 and 0 <= rates[-1] < 0.02 and min(rates) >= 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("--teacher lenet", "teacher 'lenet' lenet5 wrn40_2"),
        ("--dataset digit", "dataset 'digit' digits"),
        ("--dataset cifar10 --teacher wrn16_2", "DFKD_DATA cifar10.npz"),
        ("--epochs 0", "epochs 0"),
        ("--lr nan", "lr nan"),
        ("--seed -1", "seed -1"),
        ("--device tpu", "device 'tpu' cpu"),
        ("--teacher wrn16_2", "wrn16_2 1×32×32"),
        ("--teacher torchvision:resnet18", "torchvision:resnet18 wrn40_2"),
        ("--lr 1e6 --epochs 1", "loss nan lower nothing saved"),
        ("--lr 1e-8 --epochs 1", "chance nothing saved lower"),
        ("--epochs 1 --folder FILE/folder", "FILE write"),
    ],
)
def test_the_command_refuses_in_one_line(capsys, tmp_path, arguments, words):
    (tmp_path / "FILE").write_text("in the way")
    arguments = arguments.replace("FILE", str(tmp_path / "FILE"))
    folder = [] if "--folder" in arguments else ["--folder", str(tmp_path / "out")]
    assert main([*arguments.split(), *folder]) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("error: ")
    assert [word for word in words.split() if word not in line] == []
    assert not list(tmp_path.rglob("*.safetensors"))
