"""Classifiers have the papers' sizes, keep weights' names, show their features."""

import functools

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from dfkd_lib.data import NETWORKS
from dfkd_lib.errors import UserError
from dfkd_lib.models import CLASSIFIERS, build, embedding_and_logits, torchvision_names

# Parameters with 10 classes; sides of each stage's maps and the embedding's width.
SIZES = {
    "lenet5": (61_706, [28, 10, 1], 84),
    "lenet5_half": (15_738, [28, 10, 1], 42),
    **dict.fromkeys(
        ("conv", "conv_sharp", "conv_soft", "conv_early", "conv_group"),
        (24_058, [32, 16, 8], 64),
    ),
    "conv_narrow": (6_274, [32, 16, 8], 32),
    "conv_wide": (94_186, [32, 16, 8], 128),
    "conv_deep": (121_274, [32, 16, 8], 64),
    "conv_plain": (23_946, [32, 16, 8], 64),
    "vit_small": (42_394, [], 48),
    "mlp": (1_482, [1], 32),
    "mlp_half": (490, [1], 16),
    "resnet34_8x": (21_282_122, [32, 16, 8, 4], 512),
    "resnet18_8x": (11_173_962, [32, 16, 8, 4], 512),
    "resnet34": (21_289_802, [16, 8, 4, 2], 512),
    "resnet18": (11_181_642, [16, 8, 4, 2], 512),
    "wrn40_2": (2_243_546, [32, 16, 8], 128),
    "wrn16_2": (691_674, [32, 16, 8], 128),
    "wrn40_1": (563_930, [32, 16, 8], 64),
    "wrn16_1": (175_066, [32, 16, 8], 64),
    "vgg11_bn": (9_231_114, [32, 16, 8, 4, 4], 512),
    "vgg13_bn": (9_416_010, [32, 16, 8, 4, 4], 512),
    "vgg16_bn": (14_728_266, [32, 16, 8, 4, 4], 512),
    "alexnet": (57_044_810, [15, 7, 3], 4096),
    "resnet32x4": (7_410_730, [32, 16, 8], 256),
    "resnet110": (1_730_714, [32, 16, 8], 64),
    "resnet110x2": (6_899_610, [32, 16, 8], 128),
    "resnet116": (1_827_930, [32, 16, 8], 64),
    "shufflenet_v2": (1_263_278, [16, 8, 4], 1024),
}  # tests/test_segmentation.py has those with logits of pixels
# One of each kind, and the deepest.
KINDS = ("lenet5", "alexnet", "resnet18", "resnet116", "vgg11_bn", "wrn16_2")


def images(name, n=2):
    channels = NETWORKS[name].channels
    small = {"mlp": 1, "mlp_half": 1, "alexnet": 64, "resnet18": 64, "resnet34": 64}
    side, random = small.get(name, 32), torch.Generator().manual_seed(1)
    return torch.randn(n, channels, side, side, generator=random)


def test_no_classifier_is_forgotten():
    assert {*CLASSIFIERS} == {*NETWORKS}
    assert {n for n in NETWORKS if not NETWORKS[n].dense} == {*SIZES}


@functools.cache
def network(name):
    """One of each for all tests: the large ones take long to initialise."""
    torch.manual_seed(0)
    return build(name, 10).eval()


@pytest.mark.parametrize("name", SIZES)
def test_parameters_and_shapes(name):
    count, sides, width = SIZES[name]
    model, x = network(name), images(name)
    assert sum(p.numel() for p in model.parameters()) == count
    with torch.no_grad():
        seen, logits = model.stages(x), model(x)
        torch.testing.assert_close(embedding_and_logits(model, x), seen[1:])
    torch.testing.assert_close(seen.logits, logits)
    assert logits.shape == (2, 10) and seen.embedding.shape == (2, width)
    assert [m.shape[2:] for m in seen.maps] == [(side, side) for side in sides]


@pytest.mark.parametrize(
    ("name", "classes", "size", "multiply_adds"),
    [
        ("lenet5", 10, 32, 416_520),
        ("resnet18_8x", 100, 32, 555_468_800),
        ("resnet34", 101, 128, 1_196_214_784),
        ("wrn40_2", 10, 32, 327_599_360),
    ],
)
def test_costs_are_the_papers(name, classes, size, multiply_adds):
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        x = torch.zeros(1, 1 if name.startswith("lenet") else 3, size, size)
        build(name, classes).eval()(x)
    assert counter.get_total_flops() == 2 * multiply_adds


def test_weights_trained_before_still_fit():
    """Those in the readers' caches, by their names; test_teachers.py has the shipped."""
    names = list(network("wrn16_2").state_dict())
    assert names[:2] == ["features.0.weight", "features.1.bn1.weight"]
    assert {"features.1.shortcut.weight", "features.6.conv2.weight"} < set(names)
    assert len(torchvision_names("resnet18")) == len(network("resnet18").state_dict())
    assert torchvision_names("wrn16_2") == []


@pytest.mark.parametrize("name", KINDS)
def test_maps_are_those_between_the_stages(name):
    """Not what a later layer made of them in place; the last one's mean is pooled."""
    model, x = network(name), images(name)
    with torch.no_grad():
        seen = model.stages(x)
        for cut, m in zip(model.cuts, seen.maps, strict=True):
            layers = list(model.features)[: cut + 1]
            assert torch.equal(m, nn.Sequential(*layers)(x))
    if name not in ("alexnet", "lenet5"):
        torch.testing.assert_close(seen.maps[-1].mean((2, 3)), seen.embedding)


@pytest.mark.parametrize(
    ("name", "size", "needs"),
    [("lenet5", 28, "32×32"), ("alexnet", 62, "63×63"), ("vgg11_bn", 7, "8×8")],
)
def test_what_cannot_be_read_is_an_error_in_words(name, size, needs):
    x = torch.zeros(2, 1 if name == "lenet5" else 3, size, size)
    for look in (network(name), network(name).stages):
        with pytest.raises(UserError, match=f"^images: {size}×{size} pixels.*{needs}"):
            look(x)
    with pytest.raises(UserError, match="network: 'lenet' .*lenet5_half.*wrn40_2"):
        build("lenet", 10)


def test_the_embedding_of_the_readers_own_network_carries_gradients():
    torch.manual_seed(0)
    layers = nn.Flatten(), nn.Linear(12, 5), nn.ReLU(), nn.Linear(5, 3)
    own, x = nn.Sequential(*layers), torch.randn(4, 3, 2, 2, requires_grad=True)
    embedding, logits = embedding_and_logits(own, x)
    assert torch.equal(embedding, own[:3](x)) and torch.equal(logits, own(x))
    assert torch.autograd.grad(embedding.sum(), x)[0].any()
    for parts, message in (
        ([nn.Conv2d(3, 3, 2), nn.Flatten()], "Sequential has no nn.Linear"),
        ([*layers, nn.Sigmoid()], "not that of its last nn.Linear"),
    ):
        with pytest.raises(UserError, match=message):
            embedding_and_logits(nn.Sequential(*parts), torch.zeros(2, 3, 2, 2))
    assert not any(m._forward_hooks for m in own.modules())
