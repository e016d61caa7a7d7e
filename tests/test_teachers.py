"""Teachers: the shipped ones are what their records say, others are trained, cached and checked when loaded."""

import dataclasses
import hashlib
import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from dfkd_lib import teachers
from dfkd_lib.data import Dataset, load_dataset
from dfkd_lib.errors import UserError
from dfkd_lib.evaluation import accuracy, logits_of
from dfkd_lib.models import build

SHIPPED = sorted(path.stem for path in teachers.SHIPPED.glob("*.safetensors"))


def refusal(dataset: Dataset, name: str = "lenet5") -> str:
    with pytest.raises(UserError) as caught:
        teachers.load_teacher(dataset, name)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


@pytest.fixture(scope="module")
def tiny(digits) -> Dataset:
    """256 digits under a name of their own."""
    return dataclasses.replace(digits, name="tiny", x_train=digits.x_train[:256], y_train=digits.y_train[:256])


# --- shipped ---------------------------------------------------------------------------------------------------------


def test_digits_have_their_teachers():
    assert SHIPPED == ["digits-lenet5", "digits_half-lenet5"]


@pytest.mark.parametrize("file", SHIPPED)
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
    assert record["command"] == teachers.command(dataset.name, name)


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
        lambda path: path.unlink(),
        pytest.param(lambda path: rewrite(path, accuracy=None)),
        pytest.param(lambda path: path.write_text("[]")),
    ],
    ids=["another hash", "no hash", "no JSON", "no text", "no record", "no accuracy", "a list"],
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
    assert teachers.main([*command.split(), "--epochs", "1"]) == 0
    assert teachers.load_teacher(digits, "lenet5").accuracy > 0


def test_a_teacher_never_trained(digits):
    message = refusal(digits, "lenet5_half")
    assert teachers._here(teachers.command("digits", "lenet5_half")) in message and str(teachers.cache()) in message


def test_an_unknown_teacher(digits):
    message = refusal(digits, "lenet")
    assert all(name in message for name in ("lenet5", "lenet5_half", "wrn16_2", "wrn40_2"))


# --- training --------------------------------------------------------------------------------------------------------


def test_a_trained_teacher_is_cached_and_loads_back(tiny):
    before = torch.get_rng_state()
    network = teachers.train_teacher(tiny, "lenet5", epochs=1, lr=0.01, seed=0)
    assert torch.equal(torch.get_rng_state(), before)
    record = teachers.save_teacher(tiny, "lenet5", network, teachers.cache(), epochs=1, lr=0.01, seed=0)
    assert sorted(p.name for p in teachers.cache().iterdir()) == ["tiny-lenet5.json", "tiny-lenet5.safetensors"]

    teacher = teachers.load_teacher(tiny, "lenet5")
    assert (teacher.name, teacher.accuracy, teacher.hash) == ("lenet5", record["accuracy"], record["hash"])
    assert all(torch.equal(v, network.state_dict()[k]) for k, v in teacher.network.state_dict().items())


def test_training_learns(tiny):
    network = teachers.train_teacher(tiny, "lenet5", epochs=40, lr=0.05, seed=0)
    x, y = torch.from_numpy(tiny.normalise(tiny.x_test)), torch.from_numpy(tiny.y_test)
    assert accuracy(logits_of(network, x), y) > 50
    assert not network.training


def test_a_seed_decides_the_training(tiny):
    def weights(seed: int) -> torch.Tensor:
        network = teachers.train_teacher(tiny, "lenet5", epochs=2, lr=0.05, seed=seed)
        return torch.cat([p.flatten() for p in network.parameters()])

    first = weights(0)
    torch.manual_seed(123)  # nobody's business
    assert torch.equal(first, weights(0))
    assert not torch.equal(first, weights(1))


def test_fewer_images_than_a_batch_can_be_learned_from(tiny):
    few = dataclasses.replace(tiny, x_train=tiny.x_train[:100], y_train=tiny.y_train[:100])
    teachers.train_teacher(few, "lenet5", epochs=1, lr=0.01, seed=0)


@pytest.mark.parametrize("channels", [1, 3])
def test_augmented_images_are_shifted_ones(channels):
    """Windows of the image continued by its border, two pixels each way; those of colour images perhaps mirrored."""
    x = torch.arange(200 * channels * 30.0).reshape(200, channels, 5, 6)
    made = teachers._augment(x, torch.Generator().manual_seed(0))
    assert made.shape == x.shape
    seen = set()
    for image, result in zip(x.numpy(), made.numpy(), strict=True):
        padded = np.pad(image, ((0, 0), (2, 2), (2, 2)), mode="edge")
        windows = {(r, c): padded[:, r : r + 5, c : c + 6] for r in range(5) for c in range(5)}
        found = [(*place, False) for place, window in windows.items() if np.array_equal(window, result)]
        found += [(*place, True) for place, window in windows.items() if np.array_equal(window[..., ::-1], result)]
        assert len(found) == 1
        seen.update(found)
    assert {mirrored for _, _, mirrored in seen} == ({False, True} if channels == 3 else {False})
    assert {row for row, _, _ in seen} == {column for _, column, _ in seen} == set(range(5))


# --- the command line ------------------------------------------------------------------------------------------------


def test_command_line(capsys, tmp_path):
    arguments = ["--dataset", "digits", "--teacher", "lenet5_half", "--epochs", "1", "--folder", str(tmp_path)]
    assert teachers.main(arguments) == 0
    record = json.loads(capsys.readouterr().out)
    assert record == json.loads((tmp_path / "digits-lenet5_half.json").read_text())
    assert record["recipe"]["epochs"] == 1 and record["recipe"]["lr"] == 0.01 and record["recipe"]["seed"] == 0
    assert record["command"] == f"{teachers.command('digits', 'lenet5_half')} --epochs 1 --lr 0.01 --seed 0"


def test_the_recorded_command_gives_the_same_teacher(capsys, tmp_path):
    arguments = "--dataset digits --teacher lenet5_half --epochs 2 --lr 0.03 --seed 4".split()
    assert teachers.main([*arguments, "--folder", str(tmp_path / "first")]) == 0
    first = json.loads(capsys.readouterr().out)
    words = first["command"].split()
    assert teachers.main([*words[3:], "--folder", str(tmp_path / "again")]) == 0
    again = json.loads(capsys.readouterr().out)
    for record in (first, again):
        del record["recipe"]["seconds"]
    assert again == first


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("--teacher lenet", ["teacher", "'lenet'", "lenet5", "wrn40_2"]),
        ("--dataset digit", ["dataset", "'digit'", "digits", "cifar100"]),
        ("--dataset cifar10 --teacher wrn16_2", ["DFKD_DATA", "cifar10.npz"]),
        ("--epochs 0", ["epochs", "0", "1"]),
        ("--lr nan", ["lr", "nan"]),
        ("--lr -1", ["lr", "-1"]),
        ("--seed -1", ["seed", "-1"]),
        pytest.param("--teacher wrn16_2", ["wrn16_2", "1×32×32"]),
        pytest.param("--epochs 1 --folder FILE/folder", ["FILE", "write"]),
    ],
)
def test_one_clear_line(capsys, tmp_path, arguments, words):
    (tmp_path / "FILE").write_text("in the way")
    arguments = arguments.replace("FILE", str(tmp_path / "FILE"))
    if "--folder" not in arguments:
        arguments += f" --folder {tmp_path / 'out'}"
    assert teachers.main(arguments.split()) == 2
    printed = capsys.readouterr()
    [line] = printed.err.splitlines()
    assert printed.out == "" and line.startswith("error: ")
    assert [word for word in words if word not in line] == []
    assert [path.name for path in tmp_path.iterdir()] == ["FILE"]
