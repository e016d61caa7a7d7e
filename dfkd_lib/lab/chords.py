"""Chapter 2: where a ReLU network bends along a chord between two images, exactly."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..errors import UserError
from ..models import Classifier

Image = Float[Tensor, "c h w"]
_AFFINE = (nn.Conv2d, nn.Linear, nn.Flatten, nn.BatchNorm2d, nn.AvgPool2d)


@torch.no_grad()
def bends(network: Classifier, x: Image, z: Image) -> dict[str, Float[Tensor, " _"]]:
    """Positions in (0, 1) at which units of each layer switch between z (0) and x (1).

    Keys are layers, as in "1 ReLU": a ReLU switches where its input changes sign, a
    max-pool where another input becomes the largest. Between known positions a layer's
    inputs are affine. Exact up to rounding, for float64 in evaluation mode; a UserError
    for other numbers, or for layers whose bends cannot be found.
    """
    if x.dtype != torch.float64:
        why = f"{x.dtype} is too coarse to find bends"
        raise UserError(f"points: {why}; give float64 points and network.double()")
    s = torch.tensor([0.0, 1.0], dtype=x.dtype)
    h = torch.stack([z, x])  # the layer's input at the positions s
    found = {}
    for index, layer in enumerate(network.features):
        if isinstance(layer, nn.ReLU | nn.MaxPool2d):
            new = _zeros(s, h) if isinstance(layer, nn.ReLU) else _swaps(s, h, layer)
            found[f"{index} {type(layer).__name__.removesuffix('2d')}"] = new
            merged = torch.cat([s, new]).unique()
            right = torch.searchsorted(s, merged).clamp(1, len(s) - 1)
            share = (merged - s[right - 1]) / (s[right] - s[right - 1])
            share = share.reshape(-1, *[1] * (h.ndim - 1))
            s, h = merged, h[right - 1].lerp(h[right], share)
        elif not isinstance(layer, _AFFINE):
            raise UserError(
                f"network: the bends of {type(layer).__name__} cannot be found; give "
                "one of ReLUs, max-pools and affine layers, such as lenet5"
            )
        h = layer(h)
    return found


@torch.no_grad()
def along(
    network: nn.Module, x: Image, z: Image, positions: Float[Tensor, " n"]
) -> Float[Tensor, "n classes"]:
    """The network's logits at positions between z (0) and x (1)."""
    return network(z + positions[:, None, None, None] * (x - z))


def _zeros(s: Tensor, h: Tensor) -> Tensor:
    """Where a component of h, affine between the positions s, changes its sign."""
    h = h.flatten(1)
    at, unit = torch.where(h[:-1] * h[1:] < 0)
    low, high = h[at, unit], h[at + 1, unit]
    return (s[at] + (s[at + 1] - s[at]) * low / (low - high)).sort().values


def _swaps(s: Tensor, h: Tensor, pool: nn.MaxPool2d) -> Tensor:
    """Where two of a window's inputs are equal and no other is larger."""
    size = pool.kernel_size
    if pool.stride != size or pool.padding or pool.dilation != 1 or pool.ceil_mode:
        raise UserError("network: windows of max-pools must not overlap or be padded")
    windows = h.unfold(2, size, size).unfold(3, size, size)
    windows = windows.reshape(len(h), -1, size**2)  # (positions, windows, inputs)
    found = []
    for i, j in torch.combinations(torch.arange(size**2)).tolist():
        difference = windows[..., i] - windows[..., j]
        at, window = torch.where(difference[:-1] * difference[1:] < 0)
        low, high = difference[at, window], difference[at + 1, window]
        share = low / (low - high)
        here = windows[at, window].lerp(windows[at + 1, window], share[:, None])
        largest = here[:, i] >= here.amax(1) - 1e-12
        found.append((s[at] + (s[at + 1] - s[at]) * share)[largest])
    return torch.cat(found).sort().values
