"""Layers that give the same images, logits and gradients for less work on a CPU, and `quicken`, which puts them in.

They are algebra, not approximation: numbers are summed in another order, and that is all. What each is worth stands in
benchmarks/NOTES.md. Their parameters are the replaced layers' own, under the same names.
"""

import itertools

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

_PHASES = tuple(itertools.product((0, 1), (0, 1)))  # the four pixels of a 2×2 square, row by row

# Nearest ×2 makes u[2i] = u[2i + 1] = x[i]. A kernel (w₋, w₀, w₊) on u reads, at the even pixel 2i, x[i − 1] once and
# x[i] twice; at the odd one x[i] twice and x[i + 1] once. So, by [phase of the pixel, tap on x, tap on u]:
_DOUBLED = torch.tensor([[[1.0, 0, 0], [0, 1, 1]], [[1, 1, 0], [0, 0, 1]]])


def doubled_kernels(weight: Float[Tensor, "out in 3 3"]) -> Float[Tensor, "four_out in 2 2"]:
    """The four 2×2 kernels, one for each phase, that a 3×3 kernel is on the grid before its doubling."""
    taps = _DOUBLED.to(weight)
    return torch.einsum("ask,btl,oikl->aboist", taps, taps, weight).flatten(0, 2)


def squared_kernels(weight: Float[Tensor, "out in k k"]) -> Float[Tensor, "four_out four_in m m"]:
    """The kernels, m = ⌊k / 2⌋ + 1, that a k×k kernel is on 2×2 squares of pixels, each square's pixels as channels.

    Pixel 2i + a reads pixel 2i + a + k, which is pixel (a + k) mod 2 of square i + ⌊(a + k) / 2⌋.
    """
    size = weight.shape[-1]
    taps = weight.new_zeros(2, 2, size // 2 + 1, size)  # [pixel, pixel it reads, tap on squares, tap]
    for a, k in itertools.product((0, 1), range(size)):
        taps[a, (a + k) % 2, (a + k) // 2, k] = 1
    squares = torch.einsum("apsk,bqtl,oikl->aboipqst", taps, taps, weight)
    return squares.flatten(3, 5).flatten(0, 2)


class _Interleave(torch.autograd.Function):
    """(n, 4c, h + 1, w + 1) → (n, c, 2h, 2w): phase (a, b) is channel group 2a + b, shifted by (a, b).

    With a gradient of its own: autograd would fill a whole tensor with zeros for each of the four slices.
    """

    @staticmethod
    def forward(ctx, y: Tensor) -> Tensor:
        n, c, h, w = y.shape[0], y.shape[1] // 4, y.shape[2] - 1, y.shape[3] - 1
        y, x = y.permute(0, 2, 3, 1), y.new_empty(n, 2 * h, 2 * w, c)
        for group, (a, b) in zip(y.split(c, 3), _PHASES, strict=True):
            x[:, a::2, b::2] = group[:, a : a + h, b : b + w]
        return x.permute(0, 3, 1, 2)

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tensor:
        n, c, h, w = grad.shape[0], grad.shape[1], grad.shape[2] // 2, grad.shape[3] // 2
        grad, y = grad.permute(0, 2, 3, 1), grad.new_zeros(n, h + 1, w + 1, 4 * c)
        for group, (a, b) in zip(y.split(c, 3), _PHASES, strict=True):
            group[:, a : a + h, b : b + w] = grad[:, a::2, b::2]
        return y.permute(0, 3, 1, 2)


class _Maximum(torch.autograd.Function):
    """(n, 4c, h, w) → (n, c, h, w): the largest of four groups. Of equal ones the first gets the gradient, as in
    torch's pooling. Once: it has no second derivative.
    """

    @staticmethod
    def forward(ctx, groups: Tensor) -> Tensor:
        one, two, three, four = groups.chunk(4, 1)
        largest = torch.maximum(torch.maximum(one, two), torch.maximum(three, four))
        ctx.save_for_backward(groups, largest)
        return largest

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tensor:
        groups, largest = ctx.saved_tensors
        grads, free = torch.empty_like(groups), torch.ones_like(largest, dtype=torch.bool)
        for group, own in zip(groups.chunk(4, 1), grads.chunk(4, 1), strict=True):
            won = (group == largest).logical_and_(free)
            free ^= won
            torch.mul(grad, won, out=own)
        return grads


class _Replacement(nn.Module):
    """Holds a convolution's own parameters."""

    def __init__(self, convolution: nn.Conv2d):
        super().__init__()
        self.weight, self.bias = convolution.weight, convolution.bias


class UpsampledConv2d(_Replacement):
    """Nearest-neighbour ×2, then a 3×3 convolution: as one 2×2 convolution with four times the channels.

    16 multiply-adds where there were 36, forward and backward, but for one row and one column of pixels more.
    """

    def forward(self, x: Float[Tensor, "batch in height width"]) -> Float[Tensor, "batch out 2*height 2*width"]:
        with torch.autocast(x.device.type, enabled=False):  # else kernels are rounded twice
            kernels = doubled_kernels(self.weight).contiguous(memory_format=torch.channels_last)
        return _Interleave.apply(F.conv2d(x, kernels, self.bias.repeat(4), padding=1))


class PooledConv2d(_Replacement):
    """A convolution, then 2×2 max pooling: as a convolution on squares of pixels, and a maximum of four groups of maps.

    A few more multiply-adds (36 for 25 with LeNet's kernels); but torch's kernels for CPUs want many channels: with few
    the pooling and the gradient to the images take most of the time.
    """

    def forward(self, x: Float[Tensor, "batch in height width"]) -> Float[Tensor, "batch out _ _"]:
        x = x[..., : self._even(x.shape[-2]), : self._even(x.shape[-1])]
        # Without a gradient only the pooling is slow.
        if not (torch.is_grad_enabled() and (x.requires_grad or self.weight.requires_grad)):
            maps = F.conv2d(x, self.weight, self.bias)
            rows = torch.maximum(maps[:, :, ::2], maps[:, :, 1::2])
            return torch.maximum(rows[..., ::2], rows[..., 1::2])
        with torch.autocast(x.device.type, enabled=False):
            kernels = squared_kernels(self.weight)
        return _Maximum.apply(F.conv2d(F.pixel_unshuffle(x, 2), kernels, self.bias.repeat(4)))

    @staticmethod
    def _even(side: int) -> int:
        """Kernels are odd, so an odd side makes an odd map, whose last row pooling drops."""
        return side // 2 * 2


def quicken(network: nn.Module) -> nn.Module:
    """Put these layers where they fit, in every `nn.Sequential`, in place; returns the network.

    Maps between a convolution and its pooling, which feature losses read, are then not there any more.
    """
    for layers in [m for m in network.modules() if type(m) is nn.Sequential]:
        children = list(layers)
        for i in range(len(children)):
            match children[i : i + 3]:
                case [nn.Upsample(mode="nearest", scale_factor=2.0), nn.Conv2d() as convolution, *behind]:
                    # What works in place would write into what is only another view.
                    alone = not any(getattr(layer, "inplace", False) for layer in behind)
                    if alone and _is_plain(convolution, padding=1) and convolution.kernel_size == (3, 3):
                        layers[i], layers[i + 1] = nn.Identity(), UpsampledConv2d(convolution)
                # What grows, as ReLU does, may come before or behind a maximum.
                case [nn.Conv2d() as convolution, nn.ReLU(inplace=False), nn.MaxPool2d() as pool]:
                    narrow = convolution.in_channels < _FEW and convolution.kernel_size[0] >= 5
                    if narrow and _is_plain(convolution, padding=0) and _is_plain_pool(pool):
                        layers[i], layers[i + 2] = PooledConv2d(convolution), nn.Identity()
    if any(isinstance(m, PooledConv2d) for m in network.modules()):
        network.to(memory_format=torch.contiguous_format)  # the faster layout where maps are few
    return network


_FEW = 16  # channels: with more, torch's own kernels are as fast


def _is_plain(c: nn.Conv2d, padding: int) -> bool:
    k = c.kernel_size[0]
    usual = ((k, k), (1, 1), (padding, padding), (1, 1), 1, "zeros")
    own = (c.kernel_size, c.stride, c.padding, c.dilation, c.groups, c.padding_mode)
    watched = c._forward_hooks or c._forward_pre_hooks
    return type(c) is nn.Conv2d and own == usual and k % 2 == 1 and c.bias is not None and not watched


def _is_plain_pool(p: nn.MaxPool2d) -> bool:
    return (p.kernel_size, p.stride, p.padding, p.dilation, p.ceil_mode, p.return_indices) == (2, 2, 0, 1, False, False)
