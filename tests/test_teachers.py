"""Teachers: the shipped ones are what their records say; others are trained, cached, and checked when loaded."""

import dataclasses
import hashlib
import json
import shutil

import numpy as np
import pytest
import torch
from patches import patches
from safetensors.torch import save_file

from dfkd_lib import teachers
from dfkd_lib.data import Dataset, load_dataset
from dfkd_lib.errors import UserError
from dfkd_lib.evaluation import accuracy, logits_of
from dfkd_lib.models import build
from dfkd_lib.trained import digest, least_accuracy, weights

SHIPPED = sorted(path.stem for path in teachers.SHIPPED.glob("*.safetensors"))


def refusal(dataset: Dataset, name: str = "lenet5", **options) -> str:
    with pytest.raises(UserError) as caught:
        teachers.load_teacher(dataset, name, **options)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


@pytest.fixture(scope="module")
def tiny() -> Dataset:
    return Dataset("tiny", **patches(), mean=(0.15,), std=(0.2,))


@pytest.fixture
def quick(monkeypatch):
    """Recipes that take a second."""
    usual = teachers.teacher_recipe
    monkeypatch.setattr(
        teachers, "teacher_recipe", lambda *a, **k: usual(*a, **k).replace(epochs=15, lr=0.05, batch=32)
    )


# --- shipped ---------------------------------------------------------------------------------------------------------


def test_digits_have_their_teachers():
    assert SHIPPED == ["digits-lenet5", "digits_half-lenet5", "digits_hybrid-lenet5", "mnist-lenet5", "moons-mlp"]


@pytest.mark.parametrize("file", SHIPPED)
def test_a_shipped_teachers_weights_are_its_records(file):
    record = json.loads((teachers.SHIPPED / f"{file}.json").read_text())
    weights = (teachers.SHIPPED / f"{file}.safetensors").read_bytes()
    assert record["hash"] == hashlib.sha256(weights).hexdigest()
    assert record["command"].startswith(teachers.command(*file.split("-")))


@pytest.mark.parametrize("file", [file for file in SHIPPED if file.startswith("digits")])  # MNIST is not embedded
def test_a_shipped_teacher_is_what_its_record_says(file):
    dataset, name = load_dataset(file.split("-")[0]), file.split("-")[1]
    record = json.loads((teachers.SHIPPED / f"{file}.json").read_text())
    weights = (teachers.SHIPPED / f"{file}.safetensors").read_bytes()
    teacher = teachers.load_teacher(dataset, name)
    assert teacher.hash == record["hash"] == hashlib.sha256(weights).hexdigest()
    measured = accuracy(
        logits_of(teacher.network, torch.from_numpy(dataset.normalise(dataset.x_test))),
        torch.from_numpy(dataset.y_test),
    )
    # One test image is allowed for, in case another processor rounds otherwise.
    assert teacher.accuracy == record["accuracy"] == pytest.approx(measured, abs=101 / len(dataset.y_test))
    assert not teacher.network.training
    assert not any(p.requires_grad for p in teacher.network.parameters())


# --- files that do not belong together -------------------------------------------------------------------------------


@pytest.fixture
def shipped(tmp_path, monkeypatch):
    """A copy of the shipped teachers, to be tampered with."""
    folder = tmp_path / "assets"
    shutil.copytree(teachers.SHIPPED, folder)
    monkeypatch.setattr(teachers, "SHIPPED", folder)
    return folder


def test_changed_weights_are_refused(shipped, digits):
    path = shipped / "digits-lenet5.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    message = refusal(digits)
    assert (
        str(path) in message and "hash" in message and teachers._here(teachers.command("digits", "lenet5")) in message
    )


def rewrite(path, **changes) -> None:
    path.write_text(json.dumps({k: v for k, v in (json.loads(path.read_text()) | changes).items() if v is not None}))


@pytest.mark.parametrize(
    "change",
    [
        lambda path: rewrite(path, hash="0" * 64),
        lambda path: rewrite(path, hash=None),
        lambda path: path.write_text("not JSON"),
        lambda path: path.write_bytes(b"\xff"),
        lambda path: rewrite(path, accuracy=None),
        lambda path: path.write_text("[]"),
        lambda path: path.with_suffix(".safetensors").unlink(),
    ],
    ids=["another hash", "no hash", "no JSON", "no text", "no accuracy", "a list", "no weights"],
)
def test_changed_records_are_refused(shipped, digits, change):
    change(shipped / "digits-lenet5.json")
    assert str(shipped / "digits-lenet5.safetensors") in refusal(digits)


@pytest.mark.parametrize("kind", ["another network's", "no"])
def test_weights_that_do_not_fit_are_refused(shipped, digits, kind):
    """Though their hash is right."""
    path = shipped / "digits-lenet5.safetensors"
    if kind == "no":
        path.write_bytes(b"no weights")
    else:
        save_file(build("lenet5_half", 10).state_dict(), path)
    rewrite(shipped / "digits-lenet5.json", hash=hashlib.sha256(path.read_bytes()).hexdigest())
    assert str(path) in refusal(digits)


def test_the_command_that_a_refusal_names_helps(shipped, digits):
    path = shipped / "digits-lenet5.safetensors"
    path.write_bytes(b"no weights")
    _, _, command = refusal(digits).partition(" -m dfkd_lib.teachers ")
    assert teachers.main([*command.split(), "--epochs", "3", "--lr", "0.05"]) == 0
    assert teachers.load_teacher(digits, "lenet5").accuracy > 20


# --- looked up, else trained -----------------------------------------------------------------------------------------


def files() -> list[str]:
    return sorted(path.name for path in teachers.cache().iterdir()) if teachers.cache().is_dir() else []


def test_an_absent_teacher_is_trained_cached_and_found_again(tiny, quick, capsys, monkeypatch):
    before = torch.get_rng_state()
    first = teachers.load_teacher(tiny, "lenet5", device="cpu")
    assert torch.equal(torch.get_rng_state(), before)
    said = capsys.readouterr()
    assert said.out == "" and "training lenet5 for tiny on this CPU" in said.err and " about " in said.err
    assert said.err.index(" about ") < said.err.index("epoch ")
    assert files() == ["tiny-lenet5.json", "tiny-lenet5.lock", "tiny-lenet5.safetensors"]
    assert first.name == "lenet5" and first.accuracy > 80 and not first.network.training
    assert not any(p.requires_grad for p in first.network.parameters())

    monkeypatch.setattr(teachers, "train_teacher", None)
    again = teachers.load_teacher(tiny, "lenet5")
    assert capsys.readouterr() == ("", "")
    assert (again.hash, again.accuracy) == (first.hash, first.accuracy)
    pairs = zip(first.network.state_dict().values(), again.network.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_the_record_tells_how_to_make_the_teacher_again(tiny, quick):
    teacher = teachers.load_teacher(tiny, "lenet5", device="cpu")
    record = json.loads((teachers.cache() / "tiny-lenet5.json").read_text())
    assert (record["dataset"], record["teacher"]) == ("tiny", "lenet5")
    assert (record["accuracy"], record["hash"]) == (teacher.accuracy, teacher.hash)
    assert {"epochs": 15, "lr": 0.05, "seed": 0, "batch": 32, "schedule": "cosine"}.items() <= record["recipe"].items()
    assert (record["device"], record["precision"], record["threads"]) == ("cpu", "float32", torch.get_num_threads())
    assert record["seconds"] > 0 and record["hardware"] and {"torch", "python"} <= record["versions"].keys()
    assert record["command"].endswith("--dataset tiny --teacher lenet5 --epochs 15 --lr 0.05 --seed 0 --device cpu")


def test_what_would_take_long_on_a_cpu_is_refused_with_the_command(tiny, monkeypatch, capsys):
    monkeypatch.setattr(teachers, "seconds_needed", lambda *a: 31 * 3600.0)
    monkeypatch.setattr(teachers, "train_teacher", None)
    line = refusal(tiny, device="cpu")
    assert "about 31 hours" in line and "30 minutes" in line and "GPU" in line
    assert line.endswith(teachers._here(teachers.command("tiny", "lenet5")))
    assert "about 31 hours; a GPU needs minutes" in capsys.readouterr().err
    assert files() == ["tiny-lenet5.lock"]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.2, "1 seconds"), (40, "40 seconds"), (119, "119 seconds"), (150, "2 minutes"), (1800, "30 minutes"),
     (7199, "120 minutes"), (7200, "2 hours"), (111_600, "31 hours")],
)  # fmt: skip
def test_times_in_words(seconds, words):
    assert teachers._spoken(seconds) == words


def test_none_is_trained_where_none_may_be(digits):
    message = refusal(digits, "lenet5_half", train=False)
    assert teachers._here(teachers.command("digits", "lenet5_half")) in message and str(teachers.cache()) in message
    assert files() == []


def test_weights_without_a_record_are_those_of_a_killed_process(tiny, quick, monkeypatch):
    """The record is written last, so that its absence tells."""
    write = teachers.write_atomically

    def killed(path, content):
        write(path, content)
        if path.suffix == ".safetensors":
            raise KeyboardInterrupt

    with monkeypatch.context() as m, pytest.raises(KeyboardInterrupt):
        m.setattr(teachers, "write_atomically", killed)
        teachers.load_teacher(tiny, "lenet5", device="cpu")
    assert files() == ["tiny-lenet5.lock", "tiny-lenet5.safetensors"]
    assert "no trained lenet5" in refusal(tiny, train=False)
    teachers.load_teacher(tiny, "lenet5", device="cpu")
    assert "tiny-lenet5.json" in files()


def test_a_record_never_vouches_for_other_weights(tiny, quick, monkeypatch):
    """Where a teacher is trained again and the process is killed between its two files."""
    teachers.load_teacher(tiny, "lenet5", device="cpu")
    monkeypatch.setattr(teachers, "write_atomically", lambda *a: None)
    teachers.save_teacher(tiny, "lenet5", teachers.load_teacher(tiny, "lenet5").network, teachers.cache())
    assert "tiny-lenet5.json" not in files()


def test_an_unknown_teacher(digits):
    message = refusal(digits, "lenet")
    assert all(name in message for name in ("lenet5", "lenet5_half", "wrn16_2", "wrn40_2"))


def test_a_teacher_for_other_images(digits):
    assert "1×32×32" in refusal(digits, "wrn16_2")


def test_nothing_is_trained_on_what_is_too_large(tiny):
    assert "torchvision:alexnet" in refusal(dataclasses.replace(tiny, name="imagenet"))


def test_a_cache_that_cannot_be_written(tiny, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("DFKD_CACHE", str(tmp_path / "file"))
    assert "DFKD_CACHE" in refusal(tiny)


# --- what training may not leave -------------------------------------------------------------------------------------


def test_a_loss_that_is_not_finite_leaves_nothing(tiny, quick, monkeypatch):
    usual = teachers.teacher_recipe
    monkeypatch.setattr(teachers, "teacher_recipe", lambda *a, **k: usual(*a, **k).replace(lr=1e6))
    line = refusal(tiny, device="cpu")
    assert "loss" in line and "nan" in line and "epoch 1 of 15" in line and "1e+06" in line
    assert files() == ["tiny-lenet5.lock"]


def test_a_teacher_next_to_chance_is_not_saved(tiny, tmp_path):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = build("lenet5", 10).eval()
    with torch.no_grad():
        network.classifier.bias[3] += 100  # always the same answer
    with pytest.raises(UserError, match=r"lenet5 on tiny ended at \d+\.\d % .*nothing was saved") as caught:
        teachers.save_teacher(tiny, "lenet5", network, tmp_path / "out")
    assert len(str(caught.value).splitlines()) == 1 and not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("counts", "least"),
    [((10,) * 10, 19), ((1,) * 100, 2), ((50, 50), 55), ((67, 11, 22), 70.3), ((60, 20, 20), 64)],
)
def test_how_much_is_next_to_chance(counts, least):
    """Twice the commonest class's share, or a tenth of the way from it to 100 %."""
    assert least_accuracy(np.repeat(np.arange(len(counts)), counts)) == pytest.approx(least)


def test_weights_that_share_memory_are_saved():
    network = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.Linear(3, 3))
    network[1].weight = network[0].weight
    plain = build("lenet5", 10)
    assert weights(network) and digest(weights(plain)) == hashlib.sha256(weights(plain)).hexdigest()
