"""Where a ReLU network bends along the straight line between two images: its activation boundaries, found exactly.

Chapter 2 counts them, and weighs them with `theory.gap_of_bends`.
"""

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from scipy.ndimage import distance_transform_edt
from torch import Tensor, nn

from .errors import UserError
from .models.classifier import Classifier

_AFFINE = (nn.Conv2d, nn.Linear, nn.Flatten, nn.BatchNorm2d, nn.AvgPool2d)


def bends(
    network: Classifier, x: Float[Tensor, "channels height width"], z: Float[Tensor, "channels height width"]
) -> dict[str, Float[Tensor, " _"]]:
    """Positions in (0, 1), increasing, at which a unit of each layer switches on the way from z (0) to x (1).

    The keys are the layers' positions and kinds, as in "1 ReLU". A ReLU switches where its input changes sign, a
    max-pool where another input becomes the largest. Layer by layer: between known positions the inputs are affine, so
    a change of sign is found by a rule of three. Exact up to rounding; for a network in evaluation mode.

    Raises
    ------
    UserError
        if the network's features are not a plain sequence of affine layers, ReLUs and max-pools; or for points that are
        not float64, whose rounding hides bends.
    """
    if x.dtype != torch.float64:
        raise UserError(f"points: {x.dtype} is not exact enough to find bends; give float64, and network.double()")
    s = torch.tensor([0.0, 1.0], dtype=x.dtype)
    h = torch.stack([z, x])  # the layer's input at the positions s
    found = {}
    with torch.no_grad():
        for index, layer in enumerate(network.features):
            if isinstance(layer, nn.ReLU):
                new = _zeros(s, h)
            elif isinstance(layer, nn.MaxPool2d):
                new = _changes_of_the_largest(s, h, layer)
            elif isinstance(layer, _AFFINE):
                new = None
            else:
                raise UserError(f"network: {type(layer).__name__} is not a layer whose bends can be found here")
            if new is not None:
                found[f"{index} {type(layer).__name__.removesuffix('2d')}"] = new
                s, h = _refined(s, h, new)
            h = layer(h)
    return found


def along(
    network: nn.Module,
    x: Float[Tensor, "channels height width"],
    z: Float[Tensor, "channels height width"],
    positions: Float[Tensor, " n"],
) -> Float[Tensor, "n classes"]:
    """The network's logits at positions on the way from z (0) to x (1)."""
    with torch.no_grad():
        return network(z + positions[:, None, None, None] * (x - z))


def _zeros(s: Tensor, h: Tensor) -> Tensor:
    """Where a component of h, affine between the positions s, changes its sign inside an interval."""
    low, high = h[:-1].flatten(1), h[1:].flatten(1)
    at, unit = torch.where(low * high < 0)
    low, high = low[at, unit], high[at, unit]
    return (s[at] + (s[at + 1] - s[at]) * low / (low - high)).sort().values


def _changes_of_the_largest(s: Tensor, h: Tensor, pool: nn.MaxPool2d) -> Tensor:
    """Where two of a window's inputs are equal, and none of the others is larger."""
    size = pool.kernel_size
    if pool.stride != size or pool.padding or pool.dilation != 1 or pool.ceil_mode:
        raise UserError("network: only max-pools whose windows do not overlap can be followed here")
    n, channels, height, width = h.shape
    windows = h.unfold(2, size, size).unfold(3, size, size).reshape(n, -1, size**2)  # (n, windows, inputs)
    positions = []
    for i in range(size**2):
        for j in range(i):
            difference = windows[..., i] - windows[..., j]
            at, window = torch.where(difference[:-1] * difference[1:] < 0)
            low, high = difference[at, window], difference[at + 1, window]
            share = low / (low - high)
            here = windows[at, window].lerp(windows[at + 1, window], share[:, None])
            largest = here[:, i] >= here.amax(1) - 1e-12
            positions.append((s[at] + (s[at + 1] - s[at]) * share)[largest])
    return torch.cat(positions).sort().values


def _refined(s: Tensor, h: Tensor, new: Tensor) -> tuple[Tensor, Tensor]:
    """The positions with new ones among them, and h there."""
    merged = torch.cat([s, new]).unique()
    right = torch.searchsorted(s, merged).clamp(1, len(s) - 1)
    share = ((merged - s[right - 1]) / (s[right] - s[right - 1])).reshape(-1, *[1] * (h.ndim - 1))
    return merged, h[right - 1].lerp(h[right], share)


def distance_to_zeros(
    functions: Float[ndarray, "functions side side"], points: Float[ndarray, "points 2"], radius: float
) -> Float[ndarray, " points"]:
    """How far points of the square (−radius, radius)² are from where any of some functions changes its sign.

    The functions are given on the midpoints of side × side equal cells, rows from below (`models.grid`); distances are
    those of the points' cells, so right to about a cell's side, 2·radius/side; infinite where none changes its sign.
    """
    signs = functions > 0
    crossed = np.zeros(functions.shape[1:], dtype=bool)
    crossed[:, 1:] |= (signs[:, :, 1:] != signs[:, :, :-1]).any(0)
    crossed[1:, :] |= (signs[:, 1:, :] != signs[:, :-1, :]).any(0)
    if not crossed.any():
        return np.full(len(points), np.inf)
    side = len(crossed)
    away = distance_transform_edt(~crossed) * 2 * radius / side
    column, row = ((points + radius) / (2 * radius) * side).astype(int).clip(0, side - 1).T
    return away[row, column]


@torch.no_grad()
def hidden_units(network: Classifier, x: Float[Tensor, "points channels 1 1"]) -> Float[Tensor, "points units"]:
    """What all ReLUs of a network of points read: a unit switches where its value changes the sign."""
    values, h = [], x
    for layer in network.features:
        if isinstance(layer, nn.ReLU):
            values.append(h.flatten(1))
        h = layer(h)
    return torch.cat(values, 1)
