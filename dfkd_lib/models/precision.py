"""Which networks gain from reduced precision, and how their logits are kept out of it."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .classifier import classifier_of

_FEW = 16  # channels: with fewer, what is converted costs as much as is saved (benchmarks/NOTES.md)


def gains_from_reduction(network: nn.Module) -> bool:
    """Whether a classifier has convolutions over pixels, all wide enough for bfloat16 to save time.

    To be asked before `quicken`, which hides some of them.
    """
    wide = [m.out_channels >= _FEW for m in network.modules() if isinstance(m, nn.Conv2d) and max(m.kernel_size) > 1]
    ends = any(isinstance(m, nn.Linear) for m in network.modules())  # else its logits would be rounded
    return ends and bool(wide) and all(wide)


def keep_logits_exact(network: nn.Module) -> None:
    """Compute a classifier's last layer in float32, also under autocast.

    The student is to agree with the teacher: with bfloat16's three digits it could not be told how well it does.
    """
    classifier_of(network).register_forward_hook(_exactly)


def _exactly(layer: nn.Linear, inputs: tuple[Tensor], output: Tensor) -> Tensor:
    with torch.autocast(output.device.type, enabled=False):
        return F.linear(inputs[0].to(layer.weight.dtype), layer.weight, layer.bias)
