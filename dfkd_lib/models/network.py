"""Precision as a property of a network, and the place where a network is put."""

import contextlib
import copy

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from ..errors import UserError

Images = Float[Tensor, "batch channels height width"]
Logits = Float[Tensor, "batch classes"]
Noise = Float[Tensor, "batch z"]
Classes = Int[Tensor, " batch"]


class Network(nn.Module):
    """A network that computes in `dtype`: float32, or bfloat16 under autocast.

    Weights stay as they are; results have the weights' type.
    """

    dtype: torch.dtype = torch.float32
    least = 16  # channels: narrower convolutions lose more to conversion than they gain

    def precision(
        self, x: Tensor, reduced: bool = True
    ) -> contextlib.AbstractContextManager:
        """The context of the layers, or, not `reduced`, of the last one.

        That keeps its digits, all 7: the student has to agree with the teacher.
        """
        if self.dtype == torch.float32:
            return contextlib.nullcontext()
        return torch.autocast(x.device.type, self.dtype, enabled=reduced)

    def gains(self) -> bool:
        """Whether bfloat16 saves time: all convolutions over pixels are wide enough."""
        layers = [m for m in self.modules() if isinstance(m, nn.Conv2d)]
        widths = [m.out_channels for m in layers if max(m.kernel_size) > 1]
        return bool(widths) and min(widths) >= self.least


def classifier_of(network: nn.Module) -> nn.Linear:
    """The linear layer that makes a network's logits: the last one defined."""
    layers = [layer for layer in network.modules() if isinstance(layer, nn.Linear)]
    if not layers:
        raise UserError(
            f"network: {type(network).__name__} has no nn.Linear, so no embedding in "
            "front of one; give a classifier that ends in an nn.Linear"
        )
    return layers[-1]


class Foreign(Network):
    """A network that is not the library's, in `dtype`, with logits in full precision.

    Its last nn.Linear runs outside of autocast. Images become contiguous if it cannot
    read channels-last (`place` finds out). The state dict is the inner network's, which
    itself is not changed.
    """

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network
        self.reads_channels_last = True

    def gains(self) -> bool:
        return super().gains() and any(isinstance(m, nn.Linear) for m in self.modules())

    def state_dict(self, *args, **kwargs):
        return self.network.state_dict(*args, **kwargs)

    def load_state_dict(self, *args, **kwargs):
        return self.network.load_state_dict(*args, **kwargs)

    def forward(self, x: Images) -> Logits:
        x = x if self.reads_channels_last else x.contiguous()
        if self.dtype == torch.float32:
            return self.network(x)
        layer, exact = classifier_of(self.network), self.precision(x, reduced=False)

        def enter(_, inputs):
            exact.__enter__()
            return tuple(each.to(layer.weight.dtype) for each in inputs)

        def leave(*_):
            exact.__exit__(None, None, None)

        hooks = [layer.register_forward_pre_hook(enter)]
        hooks.append(layer.register_forward_hook(leave, always_call=True))
        try:
            with self.precision(x):
                return self.network(x).to(layer.weight.dtype)
        finally:
            for hook in hooks:
                hook.remove()


def place(
    network: nn.Module,
    device: torch.device | str,
    dtype: torch.dtype,
    shape: tuple[int, int, int],
) -> nn.Module:
    """Move a network to `device`, channels-last, to compute in `dtype` if it gains.

    A module that is neither a `Network` nor wrapped in `Foreign` is moved, nothing
    else. `shape`: channels, height and width of its images.
    """
    network.to(device)
    if isinstance(network, Foreign):
        network.reads_channels_last = _reads_channels_last(network, device, shape)
    if isinstance(network, Network) and getattr(network, "reads_channels_last", True):
        network.to(memory_format=torch.channels_last)
    for module in network.modules():
        if isinstance(module, Network) and module.gains():
            module.dtype = dtype
    return network


def _reads_channels_last(network: nn.Module, device, shape: tuple) -> bool:
    x = torch.zeros(2, *shape, device=device).to(memory_format=torch.channels_last)
    trial = copy.deepcopy(network).eval().to(memory_format=torch.channels_last)
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            trial(x)
    except RuntimeError:  # as of x.view(len(x), -1)
        return False
    return True
