"""A teacher of the user's own: from a file, a library or Python; tried out, measured, and never trusted with code."""

import copy
import pickle

import pytest
import torch
from hostile import Hostile
from safetensors.torch import save_file
from torch import nn

from dfkd_lib import teachers
from dfkd_lib.errors import UserError, first_line
from dfkd_lib.foreign import load_foreign
from dfkd_lib.models import build
from dfkd_lib.teachers import load_teacher
from dfkd_lib.trained import accuracy_on, digest, weights

TASK = {"num_classes": 10, "input_shape": (1, 32, 32)}


def refusal(*arguments, **options) -> str:
    with pytest.raises(UserError) as caught:
        load_foreign(*arguments, **options)
    line = str(caught.value)
    assert len(line.splitlines()) == 1 and len(line) < 500
    return line


def same(a: nn.Module, b: nn.Module) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


@pytest.fixture
def proof(tmp_path):
    """A folder that is there once code of a file was executed."""
    return tmp_path / "executed"


# --- a file ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def network(teacher):
    return copy.deepcopy(teacher.network)


def save(kind: str, path, network: nn.Module):
    state = network.state_dict()
    if kind == "safetensors":
        save_file(state, path)
    elif kind == "DataParallel":
        torch.save({"epoch": 3, "state_dict": {f"module.{key}": value for key, value in state.items()}}, path)
    else:
        torch.save({"model": state} if kind == "checkpoint" else state, path)


@pytest.mark.parametrize("name", ["resnet18", "alexnet"])
@pytest.mark.parametrize("ending", ["safetensors", "pth"])
def test_torchvisions_own_names_of_the_layers_are_understood(tmp_path, name, ending):
    """safetensors sorts what it keeps: names count, not the order."""
    from torchvision import models

    torch.manual_seed(0)
    theirs = models.get_model(name, weights=None, num_classes=4).eval()
    path = tmp_path / f"mine.{ending}"
    state = {key: value for key, value in theirs.state_dict().items() if not key.endswith("num_batches_tracked")}
    (save_file if ending == "safetensors" else torch.save)(state if ending == "pth" else theirs.state_dict(), path)
    teacher = load_foreign(f"{path}:{name}", num_classes=4, input_shape=(3, 64, 64))
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.allclose(teacher.network(x), theirs(x), atol=1e-5)


@pytest.mark.parametrize(
    ("kind", "ending"),
    [("safetensors", "safetensors"), ("plain", "pt"), ("plain", "pth"), ("checkpoint", "pt"), ("DataParallel", "pt")],
)
def test_a_file_of_weights(kind, ending, tmp_path, digits, network, teacher):
    path = tmp_path / f"mine.{ending}"
    save(kind, path, network)
    before = torch.get_rng_state()
    for found in (load_foreign(f"{path}:lenet5", digits), load_teacher(digits, f"{path}:lenet5")):
        assert found.name == f"{path}:lenet5" and same(found.network, network)
        assert found.hash == digest(path.read_bytes())
        assert found.accuracy == teacher.accuracy
        assert not found.network.training and not any(p.requires_grad for p in found.network.parameters())
    assert torch.equal(before, torch.get_rng_state())
    assert load_foreign(f"{path}:lenet5", **TASK).accuracy is None
    assert not teachers.cache().exists()


def test_weights_of_another_network_or_other_classes(tmp_path, digits, network):
    path = tmp_path / "mine.safetensors"
    save_file(network.state_dict(), path)
    line = refusal(f"{path}:lenet5_half", digits)
    assert str(path) in line and "lenet5_half" in line and "size mismatch" in line
    assert "with 7 classes" in refusal(f"{path}:lenet5", num_classes=7, input_shape=(1, 32, 32))


def test_a_network_for_other_images_is_refused_before_its_file_is_read(tmp_path, digits):
    (tmp_path / "mine.pt").write_bytes(b"never read")
    assert "1×32×32" in refusal(f"{tmp_path}/mine.pt:wrn16_2", digits)
    (tmp_path / "mine.safetensors").write_bytes(b"read")
    assert "mine.safetensors cannot be read" in refusal(f"{tmp_path}/mine.safetensors:lenet5", digits)


@pytest.mark.parametrize(
    "write",
    [
        lambda path, evil: torch.save(evil, path),
        lambda path, evil: torch.save({"state_dict": evil}, path),
        lambda path, evil: torch.save({"features.0.weight": evil}, path),
        lambda path, evil: torch.save(evil, path, _use_new_zipfile_serialization=False),
        lambda path, evil: path.write_bytes(pickle.dumps(evil)),
        lambda path, evil: path.write_bytes(pickle.dumps({"state_dict": evil}, protocol=0)),
    ],
    ids=["archive", "in a checkpoint", "as a tensor", "old format", "pickle", "pickle in text"],
)
@pytest.mark.parametrize("ending", ["pt", "pth", "safetensors"])
@pytest.mark.parametrize("forced", [False, True])
def test_a_hostile_file_is_refused_and_nothing_of_it_executed(
    tmp_path, digits, proof, monkeypatch, write, ending, forced
):
    path = tmp_path / f"hostile.{ending}"
    write(path, Hostile(proof))
    if forced:  # somebody's setting for other programs
        monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    line = refusal(f"{path}:lenet5", digits)
    assert str(path) in line and "cannot be read as weights and nothing else" in line and "safetensors" in line
    assert not proof.exists()


def test_the_hostile_files_of_these_tests_would_execute(tmp_path, proof):
    """Where one reads them carelessly."""
    torch.save({"state_dict": Hostile(proof)}, tmp_path / "hostile.pt")
    torch.load(tmp_path / "hostile.pt", weights_only=False)
    assert proof.is_dir()


@pytest.mark.parametrize("ending", ["pt", "pth", "safetensors"])
@pytest.mark.parametrize("share", [0, 0.01, 0.5, 0.999])
def test_a_damaged_file(tmp_path, digits, network, ending, share):
    path = tmp_path / f"mine.{ending}"
    save("safetensors" if ending == "safetensors" else "plain", path, network)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    assert str(path) in refusal(f"{path}:lenet5", digits)


@pytest.mark.parametrize("content", [[1, 2], {"a": 1}, {}, {"features.0.weight": "text"}, torch.zeros(3)], ids=str)
def test_a_file_of_something_else(tmp_path, digits, content):
    torch.save(content, tmp_path / "mine.pt")
    assert "does not hold the weights of lenet5 with 10 classes" in refusal(f"{tmp_path}/mine.pt:lenet5", digits)


# --- a module --------------------------------------------------------------------------------------------------------


def test_a_module(digits, network, teacher):
    network.train()
    before = copy.deepcopy(network.state_dict())
    found = load_foreign(network, digits)
    assert (found.name, found.accuracy) == ("LeNet5", teacher.accuracy)
    assert found.hash == teacher.hash == digest(weights(network))
    assert not found.network.training and found.network is not network
    assert network.training and all(p.requires_grad is False for p in found.network.parameters())
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())
    assert load_foreign(network, name="mine", **TASK).name == "mine"


class Net(nn.Module):
    """Answers whatever it is told to."""

    def __init__(self, answer):
        super().__init__()
        self.answer = answer
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, x):
        return self.answer(x)


def fails(x):
    raise RuntimeError("its own trouble\n\nwith many lines")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda x: torch.zeros(len(x), 7), "Net knows 7 classes; 10 are needed"),
        (lambda x: torch.zeros(len(x), 1000), "Net knows 1000 classes; 10 are needed"),
        (lambda x: torch.zeros(len(x), 10, 1, 1), "(2, 10, 1, 1)"),
        (lambda x: torch.zeros(1, 10), "(1, 10)"),
        (lambda x: {"out": x}, "dict"),
        (lambda x: (x, x), "tuple"),
        (lambda x: torch.full((len(x), 10), torch.nan), "not finite"),
        (fails, "1×32×32 (its own trouble)"),
        (lambda x: torch.zeros(1, 3, 1, 1) @ x, "1×32×32"),
    ],
)
def test_a_module_that_is_no_teacher(digits, answer, words):
    line = refusal(Net(answer), digits)
    assert line.startswith("teacher: ") and words in line


def test_a_module_for_other_channels(digits):
    assert "does not take normalised float32 images of 1×32×32" in refusal(build("wrn16_2", 10), digits)


def test_a_module_at_chance_is_taken_and_told(digits, capsys):
    constant = Net(lambda x: torch.eye(10)[torch.zeros(len(x), dtype=int)])
    found = load_foreign(constant, digits)
    line = capsys.readouterr().err
    assert found.accuracy < 15 and "next to chance" in line and "order" in line and len(line.splitlines()) == 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "num_classes None"),
        ({"num_classes": 10}, "input_shape None channels"),
        ({"num_classes": 1, "input_shape": (1, 32, 32)}, "num_classes 1 2"),
        ({"num_classes": 10, "input_shape": (32, 32)}, "input_shape (32, 32) channels"),
        ({"num_classes": 10, "input_shape": (1, 0, 32)}, "input_shape 0"),
        ({**TASK, "device": "tpu"}, "device 'tpu' cpu"),
        ({**TASK, "name": ""}, "name ''"),
    ],
)
def test_one_clear_line(network, options, words):
    line = refusal(network, **options)
    assert [word for word in words.split() if word not in line] == []


def test_a_data_set_and_its_figures_are_not_given_both(digits, network):
    assert "leave" in refusal(network, digits, num_classes=10)
    assert "leave" in refusal(network, digits, input_shape=(1, 32, 32))


def test_a_name_without_weights(digits):
    assert "FILE:lenet5" in refusal("lenet5", digits)


# --- what all share --------------------------------------------------------------------------------------------------


def test_accuracy_is_counted_over_all_parts_of_the_test_split(digits, teacher, monkeypatch):
    whole = accuracy_on(teacher.network, digits)
    monkeypatch.setattr("dfkd_lib.trained._BATCH", 7)
    assert accuracy_on(teacher.network, digits) == whole == teacher.accuracy


def test_a_long_error_is_cut_to_a_line():
    assert first_line(ValueError("")) == "ValueError"
    assert first_line(ValueError("a:\n\n b \nc")) == "b"
    assert len(first_line(ValueError("x" * 1000))) == 160
