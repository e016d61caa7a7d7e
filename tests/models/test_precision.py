"""Precision is a property of a network; `place` decides which networks gain by it."""

import copy

import pytest
import torch
from torch import nn

from dfkd_lib.models import (
    CLASSIFIERS,
    Foreign,
    build,
    embedding_and_logits,
    generator,
    place,
)
from dfkd_lib.models.biggan import BigGANGenerator

SHAPE = (3, 32, 32)


def placed(network, shape=SHAPE):
    return place(network, "cpu", torch.bfloat16, shape)


class Strange(nn.Module):
    """A reader's network: wide, and unable to read channels-last where it `views`."""

    def __init__(self, views=False, width=16):
        super().__init__()
        self.convolution = nn.Conv2d(3, width, 3, 2, 1)
        self.norm = nn.BatchNorm2d(width)
        self.linear = nn.Linear(width * 256, 10)
        self.views = views

    def forward(self, x):
        if self.views:
            x = x.view(len(x), -1).view_as(x)
        return self.linear(self.norm(self.convolution(x)).relu().flatten(1))


def gap(exact, reduced):
    return ((exact - reduced).abs().max() / exact.std()).item()


def test_networks_that_gain_are_the_wide_ones():
    narrow = {"lenet5", "lenet5_half", "mlp", "mlp_half", "deeplab_small_half"}
    narrow |= {"conv_narrow"}
    with torch.device("meta"):
        gaining = {name for name in CLASSIFIERS if build(name, 10).gains()}
    assert gaining == set(CLASSIFIERS) - narrow


@pytest.mark.parametrize(
    "make", [lambda: build("wrn16_2", 10), lambda: Foreign(Strange())]
)
def test_bfloat16_moves_features_and_leaves_logits_exact(make):
    torch.manual_seed(0)
    network = make().eval()
    exact, x = copy.deepcopy(network), torch.randn(8, *SHAPE)
    placed(network)
    assert network.dtype == torch.bfloat16 and exact.dtype == torch.float32
    logits = network(x.to(memory_format=torch.channels_last))
    assert logits.dtype == torch.float32
    assert 0 < gap(exact(x), logits) < 0.05
    embedding, same = embedding_and_logits(network, x)
    assert torch.equal(same, network(x)) and embedding.dtype == torch.float32
    # The last layer is exact: its output is not one of bfloat16's few numbers.
    assert not torch.equal(logits.bfloat16().float(), logits)
    layer = [m for m in network.modules() if isinstance(m, nn.Linear)][-1]
    torch.testing.assert_close(layer(embedding), same)
    logits.sum().backward()
    grads = [p.grad for p in network.parameters()]
    assert all(g.dtype == torch.float32 and g.isfinite().all() for g in grads)
    assert not torch.is_autocast_enabled("cpu")


def test_stages_obey_the_precision_too():
    network = placed(build("wrn16_2", 10)).eval()
    x = torch.randn(4, *SHAPE)
    seen = network.stages(x)
    assert torch.equal(seen.logits, network(x))
    assert {m.dtype for m in seen.maps} == {torch.float32}
    assert torch.equal(seen.maps[0].bfloat16().float(), seen.maps[0])


@pytest.mark.parametrize(
    ("name", "conditioning"), [("generator_a", "none"), ("mad_cifar", "sum")]
)
def test_generators_give_float32_images(name, conditioning):
    torch.manual_seed(0)
    given = {"channels": 3, "size": 32, "width": 4, "num_classes": 10}
    made = generator(name, z_dim=8, conditioning=conditioning, **given).train()
    exact, z, y = copy.deepcopy(made), torch.randn(16, 8), torch.arange(16) % 10
    placed(made)
    x = made(z, y)
    assert x.dtype == made.logits(z, y).dtype == torch.float32
    assert 0 < gap(exact(z, y), x) < 0.2
    x.pow(3).sum().backward()
    assert all(p.grad.isfinite().all() for p in made.parameters())


def test_the_gans_generator_gains_and_a_flow_does_not():
    g = placed(BigGANGenerator(8, 10, 1, width=4), (1, 32, 32))
    x = g(torch.randn(4, 8), torch.arange(4))
    assert g.dtype == torch.bfloat16 and x.dtype == torch.float32
    given = {"z_dim": 2, "channels": 2, "size": 1, "width": 1, "num_classes": 2}
    assert placed(generator("flow", **given), (2, 1, 1)).dtype == torch.float32


@pytest.mark.parametrize("views", [False, True])
def test_a_foreign_network_is_not_changed(views):
    torch.manual_seed(0)
    own = Strange(views).eval()
    before = copy.deepcopy(own.state_dict())
    network = placed(Foreign(own)).eval()
    x = torch.randn(4, *SHAPE).to(memory_format=torch.channels_last)
    assert network.reads_channels_last != views
    assert gap(own(x.contiguous()), network(x)) < 0.05
    assert list(network.state_dict()) == list(before)
    network.load_state_dict(before)
    assert all(torch.equal(before[key], v) for key, v in own.state_dict().items())
    assert not own.linear._forward_hooks and not own.linear._forward_pre_hooks
    assert set(network.parameters()) == set(own.parameters())
