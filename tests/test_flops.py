"""The library's counter of multiply-adds against torch's own counter of operations, and the papers' rule by hand."""

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from dfkd_lib.flops import cost, parameters
from dfkd_lib.models import build


@pytest.mark.parametrize("name", ["lenet5", "lenet5_half", "wrn16_1", "shufflenet_v2", "vgg11_bn"])
def test_flops_are_those_torch_counts(name):
    channels = 1 if name.startswith("lenet") else 3
    with torch.device("meta"):
        network = build(name, 10)
        with FlopCounterMode(display=False) as counter:
            network.eval()(torch.zeros(1, channels, 32, 32))
    assert cost(network, channels, 32, 32).flops == counter.get_total_flops() > 0


def test_the_papers_rule_by_hand():
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 5 * 5, 7)
    )  # fmt: skip
    counted = cost(network, 3, 5, 5)
    assert counted.multiply_adds == 25 * 4 * 27 + 100 * 7
    assert counted.papers_flops == 25 * 4 * 27 + 25 * 4 + 4 * 100 + (2 * 100 - 1) * 7
    assert parameters(network) == 4 * 27 + 4 + 8 + 700 + 7


def test_counting_leaves_no_hook_and_no_gradient():
    network = build("lenet5", 10)
    cost(network, 1, 32, 32)
    assert not any(module._forward_hooks for module in network.modules())
    assert all(p.grad is None for p in network.parameters())
