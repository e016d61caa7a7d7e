"""Pretrained networks of torchvision's and timm's: read from their caches here, and no network is asked."""

import sys
import types
from urllib.error import URLError

import numpy as np
import pytest
import torch
from hostile import Hostile
from torch import nn

from dfkd_lib.data import Dataset
from dfkd_lib.errors import UserError
from dfkd_lib.foreign import Renormalised, load_foreign
from dfkd_lib.models import build
from dfkd_lib.teachers import load_teacher
from dfkd_lib.trained import digest, weights

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


# --- torchvision -----------------------------------------------------------------------------------------------------


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """torch's own cache of downloaded weights, and no network."""

    def offline(*arguments, **options):
        raise URLError("no network")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture(scope="module")
def squeezenet():
    from torchvision import models

    return models.squeezenet1_1().eval(), models.get_model_weights("squeezenet1_1").DEFAULT.url.rpartition("/")[2]


IMAGENET = {"num_classes": 1000, "input_shape": (3, 64, 64)}


@pytest.fixture(scope="module")
def photographs() -> Dataset:
    """Images of 1000 classes, normalised otherwise than ImageNet's."""
    x = np.random.default_rng(0).integers(256, size=(4, 64, 64, 3), dtype=np.uint8)
    y = np.array([0, 999, 3, 5])
    return Dataset("photographs", x, y, x, y, (0.1, 0.2, 0.3), (0.4, 0.5, 0.6))


def test_torchvision(hub, squeezenet, photographs):
    network, file = squeezenet
    torch.save(network.state_dict(), hub / file)
    found = load_foreign("torchvision:squeezenet1_1", **IMAGENET)
    assert (found.name, found.accuracy) == ("torchvision:squeezenet1_1", None)
    assert same(found.network, network) and found.hash == digest(weights(network))
    measured = load_teacher(photographs, "torchvision:squeezenet1_1")
    # Its images as ImageNet's are normalised, whatever the data set's constants.
    mean, std = [torch.tensor(m).view(-1, 1, 1) for m in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))]
    x = (torch.from_numpy(photographs.x_test).permute(0, 3, 1, 2) / 255 - mean) / std
    given = torch.from_numpy(photographs.normalise(photographs.x_test))
    torch.testing.assert_close(measured.network(given), network(x), rtol=1e-4, atol=1e-4)
    assert isinstance(measured.accuracy, float)


def test_torchvision_offline(hub):
    line = refusal("torchvision:squeezenet1_1", **IMAGENET)
    assert "torchvision:squeezenet1_1" in line and "no network" in line and "FILE:NETWORK" in line


def test_torchvision_with_a_hostile_cache(hub, squeezenet, proof):
    torch.save(Hostile(proof), hub / squeezenet[1])
    assert "torchvision:squeezenet1_1" in refusal("torchvision:squeezenet1_1", **IMAGENET)
    assert not proof.exists()


@pytest.mark.parametrize("name", ["resnet19", "fasterrcnn_resnet50_fpn", "../../etc"])
def test_torchvision_has_no_such_classifier(hub, name):
    line = refusal(f"torchvision:{name}", **IMAGENET)
    assert name in line and "torchvision.models.list_models()" in line


def test_torchvisions_classes_must_be_those_of_the_data(hub, squeezenet, digits):
    torch.save(squeezenet[0].state_dict(), hub / squeezenet[1])
    line = refusal("torchvision:squeezenet1_1", num_classes=10, input_shape=(3, 64, 64))
    assert "1000 classes; 10 are needed" in line
    assert "1×32×32" in refusal("torchvision:squeezenet1_1", digits)


# --- timm ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def timm(monkeypatch):
    """What is used of timm, which need not be installed."""
    made = types.ModuleType("timm")

    def create_model(name, pretrained):
        assert pretrained is True
        if name == "offline":
            raise ConnectionError("no network")
        network = build("wrn16_2", 10)
        network.pretrained_cfg = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}
        return network

    made.is_model = lambda name: name in ("tiny", "offline")
    made.create_model = create_model
    monkeypatch.setitem(sys.modules, "timm", made)


def test_timm(timm):
    before = torch.get_rng_state()
    found = load_foreign("timm:tiny", num_classes=10, input_shape=(3, 32, 32))
    assert torch.equal(before, torch.get_rng_state())
    assert found.name == "timm:tiny" and not found.network.training
    x = np.zeros((20, 32, 32, 3), np.uint8)
    data = Dataset("own", x, np.arange(20) % 10, x, np.arange(20) % 10, (0.5,) * 3, (0.5,) * 3)
    assert not isinstance(load_foreign("timm:tiny", data).network, Renormalised)
    assert "timm:tiny" in refusal("timm:tiny", **TASK)


def test_timm_has_no_such_network_or_no_network(timm):
    assert "'nothing'" in refusal("timm:nothing", **TASK) and "list_models" in refusal("timm:nothing", **TASK)
    assert "no network" in refusal("timm:offline", **TASK)


def test_timm_is_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    assert "-m pip install timm" in refusal("timm:resnet18", **TASK)
