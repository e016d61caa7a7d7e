"""Teachers trained elsewhere: read, tried, measured; never trusted with code."""

import copy
import functools
import pickle
import sys
import types
from argparse import Namespace
from urllib.error import URLError

import numpy as np
import pytest
import torch
from refused import Hostile, refused
from safetensors.torch import save_file
from torch import nn

from dfkd_lib.data import Dataset
from dfkd_lib.models import build
from dfkd_lib.teachers import digest, load_foreign, load_teacher, parse_teacher, weights

TASK = {"num_classes": 10, "input_shape": (1, 32, 32)}
PHOTOS = {"num_classes": 1000, "input_shape": (3, 64, 64)}


refusal = functools.partial(refused, load_foreign)


def same(one: nn.Module, other: nn.Module) -> bool:
    return weights(one) == weights(other)


def under(prefix, state):
    return {prefix + key: value for key, value in state.items()}


@pytest.mark.parametrize(
    ("ending", "wrap"),
    [
        ("safetensors", lambda s: s),
        ("pt", lambda s: s),
        ("pth", lambda s: {"model": s}),
        ("PTH", lambda s: {"epoch": 3, "state_dict": under("module.", s)}),
        ("bin", lambda s: {"net": s, "acc": np.float64(91.2), "epoch": 3}),
        ("ckpt", lambda s: {"model_state_dict": s, "optimizer_state_dict": {}}),
        ("pth.tar", lambda s: under("module._orig_mod.", s)),
        ("pt", lambda s: {"state_dict": under("model.", s), "args": Namespace(lr=0)}),
        ("pt", lambda s: {"ema": under("_orig_mod.module.", s)}),
        ("pt", lambda s: under("module.", s) | {"n_averaged": torch.tensor(3)}),
        ("pt", lambda s: s | {"total_ops": torch.zeros(1), "a.ops": torch.ones(1)}),
    ],
)
def test_a_file_of_weights(ending, wrap, tmp_path, digits, teacher):
    path, state = tmp_path / f"a:b.{ending}", wrap(teacher.network.state_dict())
    (save_file if ending == "safetensors" else torch.save)(state, path)
    found = load_teacher(digits, f"{path}:lenet5")
    assert found.hash == digest(path.read_bytes()) and found.name == f"{path}:lenet5"
    assert same(found.network, teacher.network) and found.accuracy == teacher.accuracy
    assert not any(p.requires_grad for p in found.network.parameters())
    assert load_foreign(f"{path}:lenet5", **TASK).accuracy is None
    assert "(1, 32, 32)" not in refusal(f"{path}:lenet5_half", digits)
    assert "7 classes" in refusal(f"{path}:lenet5", **TASK | {"num_classes": 7})


def test_averaged_weights_are_preferred_and_named(tmp_path, teacher, capsys):
    state = teacher.network.state_dict()
    zeros = {key: 0 * value for key, value in state.items()}
    torch.save({"state_dict": zeros, "state_dict_ema": state}, tmp_path / "mine.pt")
    found = load_foreign(f"{tmp_path}/mine.pt:lenet5", **TASK).network
    assert same(found, teacher.network) and "state_dict_ema" in capsys.readouterr().err
    torch.save({"weights": state, "epoch": 3}, tmp_path / "mine.pt")
    assert "'weights', 'epoch'" in refusal(f"{tmp_path}/mine.pt:lenet5", **TASK)


@pytest.mark.parametrize("name", ["resnet18", "alexnet"])
def test_torchvisions_names_of_the_layers_are_understood(tmp_path, name):
    from torchvision import models

    theirs = models.get_model(name, weights=None, num_classes=4).eval()
    torch.save(theirs.state_dict(), tmp_path / "mine.pth")
    task = {"num_classes": 4, "input_shape": (3, 64, 64)}
    found = load_foreign(f"{tmp_path}/mine.pth:{name}", **task)
    x = torch.randn(2, 3, 64, 64)
    torch.testing.assert_close(found.network(x), theirs(x), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("ending", ["pt", "safetensors"])
@pytest.mark.parametrize(
    "write",
    [
        lambda path, evil: torch.save({"state_dict": evil}, path),
        lambda path, evil: path.write_bytes(pickle.dumps(evil)),
        lambda path, _: path.write_bytes(weights(build("lenet5", 10))[:5000]),
        lambda path, _: path.write_bytes(b""),
    ],
    ids=["hostile", "hostile pickle", "cut short", "empty"],
)
def test_files_that_are_not_weights_are_refused_unexecuted(
    tmp_path, digits, write, ending
):
    path, proof = tmp_path / f"mine.{ending}", tmp_path / "executed"
    write(path, Hostile(proof))
    assert f"{path} cannot be read as weights" in refusal(f"{path}:lenet5", digits)
    assert not proof.exists()


def test_a_file_of_something_else(tmp_path):
    for content in ([1], {"a": 1}, {}, torch.zeros(3)):
        torch.save(content, tmp_path / "mine.pt")
        line = refusal(f"{tmp_path}/mine.pt:lenet5", **TASK)
        assert "does not hold the weights" in line


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("lenet", "'lenet' lenet5 wrn40_2"),
        (None, "None lenet5"),
        ("my/weights.pt", "weights.pt FILE:NETWORK lenet5"),
        ("/none/w.safetensors:lenet5", "/none/w.safetensors no file"),
        ("/none/w.safetensors:lenet", "'lenet' lenet5"),
        ("timm: ", "timm empty"),
        ("keras:resnet50", "keras:resnet50 torchvision:NAME timm:NAME FILE: .pth"),
        ("weights.pkl:lenet5", "weights.pkl .safetensors"),
    ],
)
def test_names_that_are_not_understood(value, words):
    line = refused(parse_teacher, value)
    assert line.startswith("teacher: ")
    assert [word for word in words.split() if word not in line] == []


# --- modules ------------------------------------------------------------------------


class Net(nn.Module):
    """Answers whatever it is told to."""

    def __init__(self, answer):
        super().__init__()
        self.answer, self.weight = answer, nn.Parameter(torch.zeros(1))

    def forward(self, x):
        return self.answer(x)


def test_a_module_is_copied_and_measured(digits, teacher, capsys):
    network = copy.deepcopy(teacher.network).train()
    found = load_foreign(network, digits)
    assert (found.name, found.accuracy) == ("LeNet5", teacher.accuracy)
    assert found.hash == teacher.hash
    assert network.training and not found.network.training
    one_class = Net(lambda x: 5 * torch.eye(10)[torch.zeros(len(x), dtype=int)])
    same_class = load_foreign(one_class, digits)
    assert same_class.accuracy < 15 and "next to chance" in capsys.readouterr().err


def fails(x):
    raise RuntimeError("its own trouble\n\nwith many lines")


def squeezed(x):
    return torch.zeros(10) if len(x) == 1 else torch.zeros(len(x), 10)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda x: torch.zeros(len(x), 7), "(2, 7)"),
        (lambda x: torch.zeros(1, 10), "(1, 10)"),
        (lambda x: {"out": x}, "dict"),
        (lambda x: torch.full((len(x), 10), torch.nan), "not finite"),
        (lambda x: torch.zeros(len(x), 10, dtype=int), "int64"),
        (fails, "1×32×32 in evaluation (its own trouble)"),
        (squeezed, "(10,)"),
        (lambda x: torch.zeros(len(x), 10).softmax(1), "logits=torch.log"),
    ],
)
def test_a_module_that_is_no_teacher(answer, words):
    line = refusal(Net(answer), **TASK)
    assert line.startswith("teacher: Net ") and words in line


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "num_classes None"),
        ({"num_classes": 10}, "input_shape None channels"),
        ({"num_classes": 10, "input_shape": (1, 32)}, "input_shape channels"),
        ({"num_classes": 1, "input_shape": (1, 32, 32)}, "num_classes 1 2 binary"),
        ({"num_classes": 10, "input_shape": (1, 0, 32)}, "input_shape 0"),
        ({**TASK, "device": "tpu"}, "device 'tpu' cpu"),
        ({**TASK, "name": ""}, "name ''"),
        ({**TASK, "source": "lenet5"}, "FILE:lenet5"),
        ({**TASK, "source": nn.LazyLinear(10)}, "initialised"),
    ],
)
def test_one_clear_line(teacher, digits, options, words):
    line = refusal(**{"source": teacher.network} | options)
    assert [word for word in words.split() if word not in line] == []
    assert "num_classes" in refusal(teacher.network, digits, num_classes=10)


@pytest.mark.parametrize(
    ("answer", "take"),
    [
        (lambda z: (z[:, :3], z), 1),
        (lambda z: {"logits": z}, "logits"),
        (lambda z: Namespace(logits=z), "logits"),
        (lambda z: z.softmax(1), torch.log),
    ],
)
def test_where_the_logits_are(answer, take, teacher):
    x = torch.randn(2, 1, 32, 32)
    other = Net(lambda x: answer(teacher.network(x)))
    assert take is torch.log or "logits=" in refusal(other, **TASK)
    found = load_foreign(other, **TASK, logits=take).network(x).softmax(1)
    torch.testing.assert_close(found, teacher.network(x).softmax(1))


@pytest.mark.parametrize("dtype", [torch.half, torch.bfloat16, torch.double])
def test_a_teacher_of_another_precision(dtype, teacher):
    theirs = copy.deepcopy(teacher.network).to(dtype)
    found = load_foreign(theirs, **TASK).network
    x = torch.randn(2, 1, 32, 32)
    assert found(x).allclose(teacher.network(x), atol=0.5) and theirs.training is False
    assert next(theirs.parameters()).dtype == dtype


# --- libraries ----------------------------------------------------------------------


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """torch's own cache of downloaded weights, and no network."""

    def offline(*_, **options):
        raise URLError("no network")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    return tmp_path / "hub" / "checkpoints"


def test_torchvision(hub, tmp_path):
    from torchvision import models

    name = "torchvision:squeezenet1_1"
    assert "no network" in refusal(name, **PHOTOS)
    file = models.get_model_weights("squeezenet1_1").DEFAULT.url.rpartition("/")[2]
    torch.save(Hostile(tmp_path / "executed"), hub / file)
    assert "cannot be loaded" in refusal(name, **PHOTOS)
    assert not (tmp_path / "executed").exists()

    network = models.squeezenet1_1().eval()
    torch.save(network.state_dict(), hub / file)
    found = load_foreign(name, **PHOTOS)
    assert found.hash == digest(weights(network)) and found.constants[0][0] == 0.485
    # A data set's images are normalised again, as ImageNet's are.
    x = np.random.default_rng(0).integers(256, size=(4, 64, 64, 3), dtype=np.uint8)
    y = np.array([0, 999, 3, 5])
    photos = Dataset("photos", x, y, x, y, (0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    measured = load_teacher(photos, name).network
    mean, std = (torch.tensor(c).view(3, 1, 1) for c in found.constants)
    wanted = network((torch.from_numpy(x).permute(0, 3, 1, 2) / 255 - mean) / std)
    given = torch.from_numpy(photos.normalise(x))
    torch.testing.assert_close(measured(given), wanted, rtol=1e-4, atol=1e-4)
    assert "(2, 1000)" in refusal(name, **PHOTOS | {"num_classes": 10})


def test_libraries_name_what_they_lack(hub, monkeypatch):
    assert "list_models()" in refusal("torchvision:resnet19", **PHOTOS)
    told = refusal("torchvision:fasterrcnn_resnet50_fpn", **PHOTOS)
    assert "does not classify" in told and "FILE.py:FUNCTION" in told
    monkeypatch.setitem(sys.modules, "timm", None)
    assert "-m pip install timm" in refusal("timm:resnet18", **PHOTOS)


def test_timm(monkeypatch):
    """What is used of timm, which need not be installed."""
    timm = types.ModuleType("timm")
    timm.is_model = lambda name: name == "tiny"
    network = build("wrn16_2", 10)
    network.pretrained_cfg = {"mean": (0.5, 0.4, 0.3), "std": (0.5, 0.5, 0.5)}
    timm.create_model = lambda name, pretrained: network
    monkeypatch.setitem(sys.modules, "timm", timm)
    found = load_foreign("timm:tiny", num_classes=10, input_shape=(3, 32, 32))
    assert found.constants == ((0.5, 0.4, 0.3), (0.5, 0.5, 0.5))
    assert found.name == "timm:tiny"
    assert "'nothing'" in refusal("timm:nothing", **TASK)
