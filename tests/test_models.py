"""Classifiers are the papers' in size and cost, and show the features they compute."""

import functools

import pytest
import torch
from torch import nn

from dfkd_lib.catalogue import NETWORKS
from dfkd_lib.errors import UserError
from dfkd_lib.flops import cost
from dfkd_lib.models import (
    CLASSIFIERS,
    VGG,
    Classifier,
    LeNet5,
    WideResNet,
    build,
    classifier_of,
    embedding_and_logits,
    resnet,
    split,
    wide_resnet,
)

# Sides of each stage's maps at the size tested here; the last one pooled over pixels is the embedding, but in two.
STAGES = {
    "lenet5": [28, 10, 1],
    "lenet5_half": [28, 10, 1],
    "mlp": [1],
    "mlp_half": [1],
    "alexnet": [15, 7, 3],
    "resnet18": [16, 8, 4, 2],
    "resnet34": [16, 8, 4, 2],
    "resnet18_8x": [32, 16, 8, 4],
    "resnet34_8x": [32, 16, 8, 4],
    "vgg11_bn": [32, 16, 8, 4, 4],
    "vgg13_bn": [32, 16, 8, 4, 4],
    "vgg16_bn": [32, 16, 8, 4, 4],
    "shufflenet_v2": [16, 8, 4],
} | {name: [32, 16, 8] for name in NETWORKS if name.startswith(("wrn", "resnet32", "resnet11"))}
WIDTHS = {
    "lenet5": 84,
    "lenet5_half": 42,
    "mlp": 32,
    "mlp_half": 16,
    "alexnet": 4096,
    "resnet18": 512,
    "resnet34": 512,
    "resnet18_8x": 512,
    "resnet34_8x": 512,
    "vgg11_bn": 512,
    "vgg13_bn": 512,
    "vgg16_bn": 512,
    "shufflenet_v2": 1024,
    "wrn40_2": 128,
    "wrn16_2": 128,
    "wrn40_1": 64,
    "wrn16_1": 64,
    "resnet32x4": 256,
    "resnet110": 64,
    "resnet110x2": 128,
    "resnet116": 64,
}

# One of each kind, and the deepest.
KINDS = ["lenet5", "alexnet", "resnet18", "resnet18_8x", "resnet116", "vgg11_bn", "shufflenet_v2", "wrn16_2"]


def images(name: str, n: int = 2) -> torch.Tensor:
    size = {"mlp": 1, "mlp_half": 1, "alexnet": 64, "resnet18": 64, "resnet34": 64}.get(name, 32)
    return torch.randn(n, NETWORKS[name].channels, size, size, generator=torch.Generator().manual_seed(1))


@functools.cache
def network(name: str) -> Classifier:
    """One of each for all tests, since the large ones take long to initialise."""
    torch.manual_seed(0)
    return build(name, 10)


def on_meta(name: str, classes: int) -> Classifier:
    with torch.device("meta"):
        return build(name, classes)


def hooks(module: nn.Module) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in module.modules())


def test_names():
    assert set(CLASSIFIERS) == set(NETWORKS) == set(STAGES) == set(WIDTHS)


@pytest.mark.parametrize(("name", "count"), [("wrn40_2", 327.6e6), ("wrn16_2", 101.1e6)])
def test_costs_of_wide_resnets(name, count):
    assert cost(on_meta(name, 10), 3, 32, 32).multiply_adds == pytest.approx(count, rel=1e-3)


def test_an_unknown_name_is_an_error_that_lists_the_names():
    with pytest.raises(UserError, match="lenet5_half.*wrn16_2.*wrn40_2"):
        build("lenet", 10)


def test_weights_trained_before_still_fit():
    """The names in weights files: the shipped teacher's and the readers' caches."""
    layers = ["features.0", "features.3", "features.6", "features.9", "classifier"]
    assert list(network("lenet5").state_dict()) == [f"{layer}.{p}" for layer in layers for p in ("weight", "bias")]
    names = list(network("wrn16_2").state_dict())
    assert names[:2] == ["features.0.weight", "features.1.bn1.weight"]
    assert {"features.1.shortcut.weight", "features.6.conv2.weight"} < set(names)
    assert names[-4:] == [
        *("features.7.running_var", "features.7.num_batches_tracked"),
        *("classifier.weight", "classifier.bias"),
    ]


@pytest.mark.parametrize("name", ["resnet32x4", "resnet18_8x", "resnet18", "wrn16_2", "vgg11_bn"])
def test_convolutions_start_as_he_has_them(name):
    """The variance keeps the gradient's size through a ReLU: two over the outputs that an input reaches."""
    for layer in network(name).modules():
        if isinstance(layer, nn.Conv2d) and layer.weight.numel() > 4000:
            reached = layer.out_channels * layer.kernel_size[0] ** 2
            assert layer.weight.detach().std() == pytest.approx((2 / reached) ** 0.5, rel=0.05)
            assert layer.bias is None or layer.bias.abs().max() == 0


def test_linear_layers_start_as_their_families_have_them():
    linear = network("vgg11_bn").classifier
    assert linear.weight.detach().std() == pytest.approx(0.01, rel=0.05) and linear.bias.abs().max() == 0
    assert network("wrn16_2").classifier.bias.abs().max() == 0
    assert network("resnet18_8x").classifier.bias.abs().max() > 0  # torch's default


@pytest.mark.parametrize(("name", "train"), [(n, False) for n in NETWORKS] + [(n, True) for n in KINDS])
def test_stages_show_what_forward_computes(name, train):
    model, x = network(name).train(train), images(name)
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)  # AlexNet drops out
        logits = model(x)
        torch.manual_seed(2)
        seen = model.stages(x)
        torch.manual_seed(2)
        embedding, same = embedding_and_logits(model, x)
    assert logits.shape == (2, 10)
    assert torch.equal(seen.logits, logits) and torch.equal(same, logits)
    assert torch.equal(seen.embedding, embedding)
    assert seen.embedding.shape == (2, WIDTHS[name])
    assert [m.shape[2:] for m in seen.maps] == [(side, side) for side in STAGES[name]]
    assert hooks(model) == 0


@pytest.mark.parametrize("name", KINDS)
def test_maps_are_not_overwritten_by_later_layers(name):
    """Some networks activate in place: what is shown must not be what a later layer made of it."""
    model, x = network(name).eval(), images(name)
    with torch.no_grad():
        seen = model.stages(x)
        for cut, m in zip(model.cuts, seen.maps, strict=True):
            assert torch.equal(m, model.features[: cut + 1](x))
        assert all(m.min() >= 0 for m in (seen.maps[-1:] if name.startswith("wrn") else seen.maps))  # activations
        pooled = seen.maps[-1].mean((2, 3))
    if name not in ("alexnet", "lenet5", "lenet5_half"):
        torch.testing.assert_close(pooled, seen.embedding)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_stage_ends_where_the_next_layer_changes_the_shape(name):
    model = network(name).eval()
    with torch.no_grad():
        maps = model.stages(images(name)).maps
        same = [m.shape == model.features[cut + 1](m).shape for cut, m in zip(model.cuts, maps, strict=True)]
    if name.startswith("vgg"):
        assert same.pop(3)  # its fifth stage has the fourth's size and channels
    assert not any(same)


@pytest.mark.parametrize("name", KINDS)
def test_gradients_reach_every_parameter(name):
    model = network(name).eval()
    model.zero_grad()
    model(images(name)).mul(torch.arange(10.0)).sum().backward()
    unreached = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    model.zero_grad()
    assert unreached == []


@pytest.mark.parametrize("name", KINDS)
def test_runs_in_bfloat16_and_channels_last(name):
    """As on the fast path; a frozen teacher's too, where only the images have a gradient."""
    model = network(name).train()
    try:
        model.to(memory_format=torch.channels_last)
        x = images(name, 4).to(memory_format=torch.channels_last).requires_grad_()
        with torch.autocast("cpu", torch.bfloat16):
            seen = model.stages(x)
        assert seen.logits.dtype == seen.embedding.dtype == torch.bfloat16
        gradient = torch.autograd.grad(seen.logits.float().square().sum(), x)[0]
    finally:
        model.to(memory_format=torch.contiguous_format)
    assert gradient.isfinite().all() and gradient.abs().sum() > 0
    if name != "shufflenet_v2":  # torchvision's shuffle undoes the layout
        assert all(m.is_contiguous(memory_format=torch.channels_last) for m in seen.maps)


@pytest.mark.parametrize(
    ("name", "size", "needs"), [("lenet5", 28, "32×32"), ("alexnet", 62, "63×63"), ("vgg11_bn", 7, "8×8")]
)
def test_images_that_cannot_be_read_are_an_error_in_words(name, size, needs):
    x = torch.zeros(2, NETWORKS[name].channels, size, size)
    for look in (network(name).stages, functools.partial(Classifier.forward, network(name))):
        with pytest.raises(UserError, match=f"^images: {size}×{size} pixels.*{needs}"):
            look(x)


@pytest.mark.parametrize(("name", "size"), [("alexnet", 63), ("vgg11_bn", 8), ("resnet18", 1), ("wrn16_1", 40)])
def test_smallest_and_odd_images_can_be_read(name, size):
    assert network(name).eval()(torch.zeros(2, 3, size, size + 1)).shape == (2, 10)


@pytest.mark.parametrize("widths", [(4, 4), (4, 6)])
def test_a_wide_residual_block_without_its_branch_is_its_shortcut(widths):
    """The input itself; where the width changes, a projection of the activated input."""
    torch.manual_seed(0)
    block, x = wide_resnet.BasicBlock(*widths, stride=1).eval(), torch.randn(2, 4, 8, 8)
    nn.init.zeros_(block.conv2.weight)
    expected = x if widths[0] == widths[1] else block.shortcut(block.bn1(x).clamp(min=0))
    torch.testing.assert_close(block(x), expected)


@pytest.mark.parametrize(("widths", "stride"), [((4, 4), 1), ((4, 6), 1), ((4, 4), 2)])
def test_a_residual_block_without_its_branch_is_its_activated_shortcut(widths, stride):
    torch.manual_seed(0)
    block, x = resnet.BasicBlock(*widths, stride=stride).eval(), torch.randn(2, 4, 8, 8)
    nn.init.zeros_(block.conv2.weight)
    projected = widths[0] != widths[1] or stride != 1
    assert isinstance(block.shortcut, nn.Sequential) == projected
    torch.testing.assert_close(block(x), (block.shortcut(x) if projected else x).clamp(min=0))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: WideResNet(18, 2), "depth: 18 .*6n"),
        (lambda: WideResNet(4, 2), "depth: 4 .*6n"),
        (lambda: VGG(19, 10), "depth: 19 .*11, 13, 16"),
        (lambda: split(LeNet5()), "LeNet5 is not allowed.*embedding_and_logits"),
    ],
)
def test_what_cannot_be_built_is_an_error(make, message):
    with pytest.raises(UserError, match=message):
        make()


@pytest.mark.parametrize("name", ["resnet18", "alexnet"])
def test_torchvisions_networks_taken_apart_compute_the_same(name):
    """By the same layers, so trained weights come along; and a hook finds the same embedding in the original."""
    from torchvision import models

    original = getattr(models, name)(num_classes=10).eval()
    parts, x = split(original), images(name)
    assert {p.data_ptr() for p in original.parameters()} == {p.data_ptr() for p in parts.parameters()}
    with torch.no_grad():
        seen, (embedding, logits) = parts.stages(x), embedding_and_logits(original, x)
    assert torch.equal(seen.logits, logits) and torch.equal(seen.embedding, embedding)
    assert classifier_of(original) is parts.classifier
    assert hooks(original) == 0


def test_the_embedding_of_the_readers_own_network_carries_gradients():
    torch.manual_seed(0)
    own = nn.Sequential(nn.Flatten(), nn.Linear(12, 5), nn.ReLU(), nn.Linear(5, 3))
    x = torch.randn(4, 3, 2, 2, requires_grad=True)
    embedding, logits = embedding_and_logits(own, x)
    assert torch.equal(embedding, own[:3](x)) and torch.equal(logits, own(x))
    assert torch.autograd.grad(embedding.sum(), x)[0].abs().sum() > 0


class Careless(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(12, 3)

    def forward(self, x):
        self.linear(x.flatten(1))
        raise RuntimeError("careless")


@pytest.mark.parametrize(
    ("own", "error", "message"),
    [
        (nn.Sequential(nn.Conv2d(3, 3, 2), nn.Flatten()), UserError, "Sequential has no nn.Linear"),
        (nn.Sequential(nn.Flatten(), nn.Linear(12, 3), nn.Sigmoid()), UserError, "not that of its last nn.Linear"),
        (Careless(), RuntimeError, "careless"),
    ],
)
def test_networks_without_an_embedding_are_an_error_and_keep_no_hook(own, error, message):
    with pytest.raises(error, match=message):
        embedding_and_logits(own, torch.zeros(2, 3, 2, 2))
    assert hooks(own) == 0
