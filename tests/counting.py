"""What one image costs a network: in multiply-adds, and by the rule behind the papers' columns called FLOPs."""

from dataclasses import dataclass

import torch
from torch import nn


@dataclass(frozen=True)
class Cost:
    multiply_adds: int  # of convolutions and linear layers
    papers_flops: int  # an old counter's rule: neither multiply-adds nor floating-point operations


def parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def cost(network: nn.Module, channels: int, size: int) -> Cost:
    """The cost of one (channels, size, size) image, in evaluation mode. On the meta device nothing is computed.

    The papers' rule: a convolution's multiply-adds and bias additions, (2·in − 1)·out for a linear layer, four per
    element for BatchNorm, nothing for activations and pools.
    """
    multiply_adds = papers_flops = 0

    def add(layer: nn.Module, _: tuple, output: torch.Tensor) -> None:
        nonlocal multiply_adds, papers_flops
        if isinstance(layer, nn.BatchNorm2d):
            papers_flops += 4 * output.numel()
            return
        own = output.numel() * layer.weight[0].numel()  # an output takes one per input that it sees
        multiply_adds += own
        if isinstance(layer, nn.Linear):
            papers_flops += (2 * layer.in_features - 1) * layer.out_features
        else:
            papers_flops += own + (output.numel() if layer.bias is not None else 0)

    counted = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear | nn.BatchNorm2d)]
    handles = [m.register_forward_hook(add) for m in counted]
    device = next(network.parameters()).device
    network.eval()(torch.zeros(1, channels, size, size, device=device))
    for handle in handles:
        handle.remove()
    return Cost(multiply_adds, papers_flops)
