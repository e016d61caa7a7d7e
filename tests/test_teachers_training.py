"""Training itself: repeatable, learning, as fast as it says; and what happens between processes."""

import dataclasses
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from patches import patches
from torch import nn

from dfkd_lib import supervised, teachers
from dfkd_lib.data import Dataset, load_dataset
from dfkd_lib.evaluation import accuracy, logits_of
from dfkd_lib.files import locked
from dfkd_lib.supervised import precision_on, seconds_needed, train_teacher
from dfkd_lib.teacher_recipes import TeacherRecipe, teacher_recipe

RECIPE = teacher_recipe("digits", "lenet5", images=256, size=32).replace(epochs=2, lr=0.05)


@pytest.fixture(scope="module")
def tiny(digits) -> Dataset:
    """256 digits under a name of their own."""
    return dataclasses.replace(digits, name="tiny", x_train=digits.x_train[:256], y_train=digits.y_train[:256])


def parameters(network: nn.Module) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in network.parameters()])


def test_training_learns(tiny, capsys):
    network = train_teacher(tiny, "lenet5", RECIPE.replace(epochs=40))
    x, y = torch.from_numpy(tiny.normalise(tiny.x_test)), torch.from_numpy(tiny.y_test)
    assert accuracy(logits_of(network, x), y) > 50
    assert not network.training
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 10 and lines[0].startswith("lenet5 on tiny: epoch 4 of 40, loss ")


def test_a_seed_decides_the_training(tiny):
    first = parameters(train_teacher(tiny, "lenet5", RECIPE, seed=0))
    torch.manual_seed(123)  # nobody's business
    before = torch.get_rng_state()
    assert torch.equal(first, parameters(train_teacher(tiny, "lenet5", RECIPE, seed=0)))
    assert torch.equal(before, torch.get_rng_state())
    assert not torch.equal(first, parameters(train_teacher(tiny, "lenet5", RECIPE, seed=1)))


def test_a_seed_decides_dropout_too(tiny, monkeypatch):
    """It is drawn from torch's global state."""
    small = lambda *a: nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(1024, 10))  # noqa: E731
    monkeypatch.setattr(supervised, "build", small)
    first = parameters(train_teacher(tiny, "lenet5", RECIPE, seed=0))
    torch.manual_seed(123)
    assert torch.equal(first, parameters(train_teacher(tiny, "lenet5", RECIPE, seed=0)))


def test_fewer_images_than_a_batch_can_be_learned_from(tiny):
    few = dataclasses.replace(tiny, x_train=tiny.x_train[:100], y_train=tiny.y_train[:100])
    train_teacher(few, "lenet5", RECIPE.replace(epochs=1))


def test_every_step_is_the_optimisers_own(tiny, monkeypatch):
    """Plain SGD of one linear layer on images left as they are: weight decay, momentum and Nesterov as torch has them.

    The steps are computed anew here, by hand.
    """
    linear = nn.Linear(1024, 10)
    start = parameters(linear).double()
    monkeypatch.setattr(supervised, "build", lambda *a: nn.Sequential(nn.Flatten(), linear))
    monkeypatch.setattr(supervised, "augment", lambda x, random, **options: x)
    recipe = TeacherRecipe(epochs=4, lr=0.1, momentum=0.8, weight_decay=0.01, batch=256)
    train_teacher(tiny, "lenet5", recipe)

    x = torch.from_numpy(tiny.normalise(tiny.x_train)).flatten(1).double()
    y = torch.from_numpy(tiny.y_train)
    w = start.clone().requires_grad_()
    speed = torch.zeros_like(start)
    for rate in (0.1, 0.1, 0.01, 0.001):
        loss = nn.functional.cross_entropy(x @ w[:10240].view(10, 1024).T + w[10240:], y)
        (slope,) = torch.autograd.grad(loss, w)
        speed = 0.8 * speed + slope + 0.01 * w.detach()
        w = (w.detach() - rate * speed).requires_grad_()
    torch.testing.assert_close(parameters(linear).double(), w.detach(), rtol=1e-4, atol=1e-5)


def test_images_are_shifted_and_mirrored_as_the_recipe_says(tiny, monkeypatch):
    seen = []
    usual = supervised.augment
    monkeypatch.setattr(
        supervised,
        "augment",
        lambda x, random, **options: seen.append((x.dtype, options)) or usual(x, random, **options),
    )
    train_teacher(tiny, "lenet5", RECIPE.replace(epochs=1, pad=3, border="zeros", flip=True))
    assert seen == 2 * [(torch.uint8, {"pad": 3, "mode": "zeros", "flip": True})]


def test_the_time_it_says_is_about_the_time_it_takes(tiny):
    recipe = RECIPE.replace(epochs=30)
    needed = seconds_needed(tiny, "lenet5", recipe)
    started = time.perf_counter()
    train_teacher(tiny, "lenet5", recipe)
    assert 0.1 < needed / (time.perf_counter() - started) < 10  # the machine may have much else to do
    assert seconds_needed(tiny, "lenet5", recipe.replace(epochs=5000)) > 10 * needed


def test_timing_changes_nothing_of_what_is_trained(tiny):
    first = parameters(train_teacher(tiny, "lenet5", RECIPE))
    before = torch.get_rng_state()
    seconds_needed(tiny, "lenet5", RECIPE)
    assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(first, parameters(train_teacher(tiny, "lenet5", RECIPE)))


def test_a_cpu_computes_in_float32_a_gpu_as_the_recipe_says():
    assert precision_on("cpu", TeacherRecipe()) == "float32"
    assert precision_on("cuda", TeacherRecipe()) == "bfloat16"
    assert precision_on("cuda", RECIPE) == "float32"


def test_the_fast_way_learns_the_same(tiny, monkeypatch):
    """bfloat16 and channels last, as on a GPU, tried on the CPU."""
    recipe = RECIPE.replace(epochs=12, batch=32, gpu_precision="bfloat16")
    plain = train_teacher(tiny, "lenet5", recipe)
    monkeypatch.setattr(supervised, "precision_on", lambda device, recipe: recipe.gpu_precision)
    compiled = []  # test_compiling.py tests that; it would take half a minute here
    monkeypatch.setattr(supervised, "compile_classifier", lambda *what: compiled.append(what) or ("default", ""))
    fast = train_teacher(tiny, "lenet5", recipe)
    [(_, x, dtype)] = compiled
    assert x.shape == (32, 1, 32, 32) and dtype == torch.bfloat16
    assert all(p.dtype == torch.float32 and p.is_contiguous() for p in fast.parameters())
    assert not torch.equal(parameters(fast), parameters(plain))
    x, y = torch.from_numpy(tiny.normalise(tiny.x_train)), torch.from_numpy(tiny.y_train)
    scores = [accuracy(logits_of(network, x), y) for network in (plain, fast)]
    assert scores[0] > 30 and abs(scores[0] - scores[1]) < 15


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_on_a_gpu(tiny):
    network = train_teacher(tiny, "lenet5", RECIPE.replace(epochs=40, gpu_precision="bfloat16"), device="cuda")
    x, y = torch.from_numpy(tiny.normalise(tiny.x_test)), torch.from_numpy(tiny.y_test)
    assert accuracy(logits_of(network, x), y) > 50
    assert seconds_needed(tiny, "lenet5", RECIPE, "cuda") < 60


@pytest.mark.slow
@pytest.mark.parametrize("name", ["digits", "digits_half"])
def test_the_shipped_teachers_come_out_again(name, tmp_path):
    """Bit for bit on a processor with the same instructions; in any case as good, to a few test images."""
    assert teachers.main(f"--dataset {name} --teacher lenet5 --device cpu --folder {tmp_path}".split()) == 0
    again, shipped = (teachers._read(load_dataset(name), "lenet5", folder) for folder in (tmp_path, teachers.SHIPPED))
    assert again.hash == shipped.hash or abs(again.accuracy - shipped.accuracy) < 1


# --- between processes -----------------------------------------------------------------------------------------------

LOAD = """
from dfkd_lib import teachers
from dfkd_lib.data import load_dataset

usual = teachers.teacher_recipe
teachers.teacher_recipe = lambda *a, **k: usual(*a, **k).replace(epochs=15, lr=0.05, batch=32)  # a second's work
print("hash", teachers.load_teacher(load_dataset("own"), "lenet5", device="cpu").hash)
"""
PATIENCE = 300  # seconds, for machines with much else to do


@pytest.fixture
def own(tmp_path, monkeypatch) -> Path:
    """A data set of the user's own, small and easily learned; and the cache's folder for its teacher."""
    np.savez(tmp_path / "own.npz", **patches())
    monkeypatch.setenv("DFKD_DATA", str(tmp_path))
    teachers.cache().mkdir(parents=True)
    return teachers.cache()


@pytest.fixture
def started():
    """Starts processes, and leaves none behind."""
    root, processes = Path(teachers.__file__).parent.parent, []

    def start(*words: str) -> subprocess.Popen:
        pipe = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        processes.append(
            subprocess.Popen([sys.executable, "-u", *words], env=os.environ | {"PYTHONPATH": str(root)}, **pipe)
        )
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def read_until(process: subprocess.Popen, words: str) -> str:
    lines = ""
    for line in process.stdout:
        lines += line
        if words in line:
            return lines
    raise AssertionError(f"ended without {words!r}: {lines}")


def test_two_processes_that_ask_at_once_train_it_once(own, started):
    """Both must wait for a third, this one, so that they meet at the lock; then one trains, and the other loads."""
    with locked(own / "own-lenet5.lock", "nobody else has it"):
        processes = [started("-c", LOAD) for _ in range(2)]
        for process in processes:
            read_until(process, "waiting for another process, which is training lenet5 for own")
        assert not list(own.glob("*.json"))
    said = [process.communicate(timeout=PATIENCE)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
    assert sum("training lenet5 for own on" in text for text in said) == 1
    teacher = teachers.load_teacher(load_dataset("own"), "lenet5", train=False)
    assert all(f"hash {teacher.hash}" in text for text in said)


def test_a_killed_process_leaves_neither_a_teacher_nor_a_lock(own, started, monkeypatch, capsys):
    words = "-m dfkd_lib.teachers --dataset own --teacher lenet5 --epochs 100000 --device cpu".split()
    process = started(*words)
    read_until(process, "training lenet5 for own on")
    time.sleep(0.3)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=PATIENCE)
    assert [path.name for path in own.iterdir()] == ["own-lenet5.lock"]
    monkeypatch.setattr(teachers, "seconds_needed", lambda *a: 0.0)
    monkeypatch.setattr(teachers, "teacher_recipe", lambda *a, **k: RECIPE.replace(epochs=15, batch=32))
    teacher = teachers.load_teacher(load_dataset("own"), "lenet5", device="cpu")
    assert teacher.accuracy > 80 and "waiting" not in "".join(capsys.readouterr())


def test_a_command_takes_what_another_made_of_the_same_order_meanwhile(own, monkeypatch, capsys):
    """Locks hold between threads, too."""
    words = "--dataset own --teacher lenet5 --epochs 15 --lr 0.05 --device cpu".split()
    assert teachers.main([*words, "--folder", str(own.parent / "first")]) == 0
    monkeypatch.setattr(teachers, "train_teacher", None)
    results, said, patience = [], "", time.monotonic() + PATIENCE
    with locked(own / "own-lenet5.lock", "nobody else has it"):
        other = threading.Thread(target=lambda: results.append(teachers.main(words)))
        other.start()
        while "waiting for another process" not in said and time.monotonic() < patience:
            time.sleep(0.01)
            said += capsys.readouterr().err
        for file in (own.parent / "first").glob("own-lenet5.[js]*"):
            (own / file.name).write_bytes(file.read_bytes())
    other.join(PATIENCE)
    assert results == [0] and "waiting for another process" in said
