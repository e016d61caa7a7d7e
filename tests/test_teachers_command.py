"""``python -m dfkd_lib.teachers``: trains, keeps and prints; and refuses in one line, before any work starts."""

import json

import pytest

from dfkd_lib import supervised, teachers


def test_command_line(capsys, tmp_path):
    arguments = "--dataset digits --teacher lenet5_half --epochs 3 --lr 0.05 --device cpu --folder".split()
    assert teachers.main([*arguments, str(tmp_path)]) == 0
    printed = capsys.readouterr()
    record = json.loads(printed.out)
    assert "training lenet5_half for digits on this CPU" in printed.err
    assert record == json.loads((tmp_path / "digits-lenet5_half.json").read_text())
    assert {"epochs": 3, "lr": 0.05, "seed": 0}.items() <= record["recipe"].items()
    assert record["command"] == (
        f"{teachers.command('digits', 'lenet5_half')} --epochs 3 --lr 0.05 --seed 0 --device cpu"
    )


def test_the_recorded_command_gives_the_same_teacher(capsys, tmp_path):
    arguments = "--dataset digits --teacher lenet5_half --epochs 3 --lr 0.04 --seed 4".split()
    assert teachers.main([*arguments, "--folder", str(tmp_path / "first")]) == 0
    first = json.loads(capsys.readouterr().out)
    words = first["command"].split()
    assert teachers.main([*words[3:], "--folder", str(tmp_path / "again")]) == 0
    again = json.loads(capsys.readouterr().out)
    assert first.pop("seconds") and again.pop("seconds")
    assert again == first


def test_the_command_trains_however_long_it_takes(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(teachers, "seconds_needed", lambda *a: 31 * 3600.0)
    assert teachers.main(f"--epochs 3 --lr 0.05 --device cpu --folder {tmp_path}".split()) == 0
    assert "about 31 hours" in capsys.readouterr().err


def test_the_command_trains_what_was_trained_before(tmp_path, capsys, monkeypatch):
    """Only what another process made of the same order while this one waited is taken."""
    arguments = f"--epochs 3 --lr 0.05 --device cpu --folder {tmp_path}".split()
    calls = []
    train = supervised.train_teacher
    monkeypatch.setattr(teachers, "train_teacher", lambda *a, **k: calls.append(a) or train(*a, **k))
    assert teachers.main(arguments) == teachers.main(arguments) == 0
    assert len(calls) == 2
    record = json.loads((tmp_path / "digits-lenet5.json").read_text())
    assert teachers._made_since(0, tmp_path / "digits-lenet5.json", record["command"]) == record
    assert teachers._made_since(0, tmp_path / "digits-lenet5.json", "another command") is None
    assert teachers._made_since(2e10, tmp_path / "digits-lenet5.json", record["command"]) is None


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
        ("--device tpu", ["device", "'tpu'", "cpu"]),
        ("--teacher wrn16_2", ["wrn16_2", "1×32×32"]),
        ("--teacher torchvision:resnet18", ["teacher", "torchvision:resnet18", "wrn40_2"]),
        ("--dataset imagenet --teacher alexnet", ["imagenet", "torchvision:alexnet"]),
        ("--lr 1e6 --epochs 1", ["loss", "nan", "lower"]),
        ("--lr 1e-8 --epochs 1", ["chance", "nothing was saved", "lower"]),
        ("--epochs 1 --folder FILE/folder", ["FILE", "write"]),
    ],
)
def test_one_clear_line(capsys, tmp_path, monkeypatch, arguments, words):
    monkeypatch.setenv("DFKD_OFFLINE", "1")
    (tmp_path / "FILE").write_text("in the way")
    arguments = arguments.replace("FILE", str(tmp_path / "FILE"))
    if "--folder" not in arguments:
        arguments += f" --folder {tmp_path / 'out'}"
    assert teachers.main(arguments.split()) == 2
    printed = capsys.readouterr()
    line = printed.err.splitlines()[-1]
    assert printed.out == "" and line.startswith("error: ") and printed.err.count("error:") == 1
    assert [word for word in words if word not in line] == []
    assert [path.name for path in tmp_path.rglob("*") if path.suffix != ".lock" and path.name != "out"] == ["FILE"]
