"""`quicken`: where a network's layers are replaced by those of `phases`, which take less time on a CPU."""

from collections.abc import Sequence

import torch
from torch import nn

from .phases import ConvFromSquares, LinearConv2d, PooledConv2d, SquaresBatchNorm2d, UpsampledConv2d, UpsampledToSquares

_FEW = 16  # channels: with more, torch's own kernels are as fast


def quicken(network: nn.Module) -> nn.Module:
    """Put the layers of `phases` where they fit, in every `nn.Sequential`, in place; returns the network.

    Maps between a convolution and its pooling, which feature losses read, are then not there any more; others come as
    squares.
    """
    for layers in [m for m in network.modules() if type(m) is nn.Sequential]:
        for i in range(len(layers)):
            _replace(layers, i)
    if any(isinstance(m, PooledConv2d) for m in network.modules()):
        network.to(memory_format=torch.contiguous_format)  # the faster layout where maps are few
    return network


def _replace(layers: nn.Sequential, i: int) -> None:
    """What begins at layer i."""
    behind = list(layers)[i : i + 6]
    match behind:
        case [
            nn.Upsample(),
            nn.Conv2d() as one,
            nn.BatchNorm2d() as norm,
            nn.LeakyReLU(),
            nn.Conv2d() as two,
            *rest,
        ] if _is_doubled(*behind[:2]) and one.out_channels < _FEW and _is_usual(norm) and _is_padded(two, rest):
            layers[i], layers[i + 1] = nn.Identity(), UpsampledToSquares(one)
            layers[i + 2], layers[i + 4] = SquaresBatchNorm2d(norm), ConvFromSquares(two)
        case [nn.Upsample(), nn.Conv2d() as one, *rest] if _is_doubled(*behind[:2], rest):
            layers[i], layers[i + 1] = nn.Identity(), UpsampledConv2d(one)
        # Squares of 4×4 pixels make whole squares of pooled maps with kernels of 5, 9, …
        case [nn.Conv2d() as one, _, _, nn.Conv2d() as two, *_] if (
            _is_pooled(behind[:3]) and _is_pooled(behind[3:]) and one.kernel_size[0] % 4 == 1
        ):
            layers[i], layers[i + 2] = PooledConv2d(one, side=4), nn.Identity()
            layers[i + 3], layers[i + 5] = PooledConv2d(two, squared=True), nn.Identity()
        case [nn.Conv2d() as one, *_] if _is_pooled(behind[:3]):
            layers[i], layers[i + 2] = PooledConv2d(one), nn.Identity()
        case [nn.Conv2d() as one, nn.ReLU(), nn.Flatten(), *_] if _is_plain(one, padding=0):
            layers[i] = LinearConv2d(one)


def _is_doubled(upsample: nn.Upsample, convolution: nn.Conv2d, behind: Sequence[nn.Module] = ()) -> bool:
    return upsample.mode == "nearest" and upsample.scale_factor == 2.0 and _is_padded(convolution, behind)


def _is_padded(convolution: nn.Conv2d, behind: Sequence[nn.Module] = ()) -> bool:
    # What works in place behind it would write into what is only another view.
    alone = not any(getattr(layer, "inplace", False) for layer in behind[:1])
    return alone and _is_plain(convolution, padding=1) and convolution.kernel_size == (3, 3)


def _is_pooled(layers: list[nn.Module]) -> bool:
    """Few maps, their large kernels, and 2×2 pooling; what grows, as ReLU does, may come before or behind a maximum."""
    match layers:
        case [nn.Conv2d() as convolution, nn.ReLU(inplace=False), nn.MaxPool2d() as pool]:
            narrow = convolution.in_channels < _FEW and convolution.kernel_size[0] >= 5
            return narrow and _is_plain(convolution, padding=0) and _is_plain_pool(pool)
    return False


def _is_plain(c: nn.Conv2d, padding: int) -> bool:
    k = c.kernel_size[0]
    usual = ((k, k), (1, 1), (padding, padding), (1, 1), 1, "zeros")
    own = (c.kernel_size, c.stride, c.padding, c.dilation, c.groups, c.padding_mode)
    return type(c) is nn.Conv2d and own == usual and k % 2 == 1 and c.bias is not None and not _is_watched(c)


def _is_plain_pool(p: nn.MaxPool2d) -> bool:
    return (p.kernel_size, p.stride, p.padding, p.dilation, p.ceil_mode, p.return_indices) == (2, 2, 0, 1, False, False)


def _is_usual(norm: nn.BatchNorm2d) -> bool:
    return type(norm) is nn.BatchNorm2d and norm.affine and norm.track_running_stats and not _is_watched(norm)


def _is_watched(layer: nn.Module) -> bool:
    return bool(layer._forward_hooks or layer._forward_pre_hooks)
