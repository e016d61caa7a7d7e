"""What one image costs a network: in parameters, in multiply-adds, and by the rule behind the papers' columns called
FLOPs.
"""

from dataclasses import dataclass

import torch
from torch import nn


@dataclass(frozen=True)
class Cost:
    """Of one image, one pass forward, in evaluation mode."""

    multiply_adds: int  # of convolutions and linear layers
    papers_flops: int  # an old counter's rule: neither multiply-adds nor floating-point operations

    @property
    def flops(self) -> int:
        """Floating-point operations of convolutions and linear layers: a multiplication and an addition each.

        What `torch.utils.flop_counter` counts. Activations, pools, BatchNorm and sums of branches are left out.
        """
        return 2 * self.multiply_adds


def parameters(network: nn.Module) -> int:
    """How many numbers a network has learned."""
    return sum(p.numel() for p in network.parameters())


def cost(network: nn.Module, *shape: int) -> Cost:
    """The cost of one input of that shape, as in `cost(lenet, 1, 32, 32)`, in evaluation mode; its mode is restored.

    On the meta device nothing is computed. The papers' rule: a convolution's multiply-adds and bias additions,
    (2·in − 1)·out for a linear layer, four per element for BatchNorm, nothing for activations and pools. Transposed
    convolutions are not counted.
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
    device, training = next(network.parameters()).device, network.training
    try:
        with torch.no_grad():
            network.eval()(torch.zeros(1, *shape, device=device))
    finally:
        network.train(training)
        for handle in handles:
            handle.remove()
    return Cost(multiply_adds, papers_flops)
