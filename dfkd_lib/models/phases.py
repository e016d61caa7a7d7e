"""Layers that give the same maps and gradients as those that they replace, in less time on a CPU.

They work on *squares*: the s×s pixels of a square, its *phases*, as channels, s²·c for c. Torch's kernels for CPUs want
many channels; LeNet and generators of small images have few. All of it is algebra, not approximation: numbers are
summed in another order, and that is all. What each layer is worth stands in benchmarks/NOTES.md. Their parameters are
the replaced layers' own, under the same names. There are no second derivatives.
"""

import itertools

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F


def taps(side: int, size: int, padding: int = 0) -> Float[Tensor, "side side squares size"]:
    """Where the taps of a kernel fall, along one axis: 1 at [pixel, phase it reads, square it reads, tap], else 0.

    Pixel a of square i reads, by tap k, pixel side·i + a + k − padding: that is phase (a + k − padding) mod side of
    square i + ⌊(a + k − padding) / side⌋. Squares are counted from the first one that any pixel reads.
    """
    fallen = {(a, k): divmod(a + k - padding, side) for a, k in itertools.product(range(side), range(size))}
    squares = [square for square, _ in fallen.values()]
    found = torch.zeros(side, side, max(squares) - min(squares) + 1, size)
    for (a, k), (square, phase) in fallen.items():
        found[a, phase, square - min(squares), k] = 1
    return found


def both_axes(along: Float[Tensor, "side phases squares size"]) -> Float[Tensor, "size size side side p p s s"]:
    """The same for kernels of two axes: [tap, tap, pixel, pixel, phase, phase, square, square]."""
    return torch.einsum("apsk,bqtl->klabpqst", along, along)


def times(n: int, values: Float[Tensor, " c"], each: int = 1) -> Float[Tensor, " _"]:
    """n times all values, each of them `each` times in a row; torch's own `repeat` takes four times as long."""
    return values[:, None].expand(n, -1, each).flatten().contiguous()  # one value would stay a view of itself


class _Replacement(nn.Module):
    """Holds a convolution's own parameters."""

    def __init__(self, convolution: nn.Conv2d):
        super().__init__()
        self.weight, self.bias = convolution.weight, convolution.bias


class LinearConv2d(_Replacement):
    """A convolution; where its kernels are as large as its maps, a matrix product."""

    def forward(self, x: Float[Tensor, "batch in height width"]) -> Float[Tensor, "batch out _ _"]:
        if x.shape[1:] != self.weight.shape[1:]:
            return F.conv2d(x, self.weight, self.bias)
        return F.linear(x.flatten(1), self.weight.flatten(1), self.bias)[..., None, None]


class _OnSquares(_Replacement):
    """Knows where the kernels' taps fall on squares."""

    def __init__(self, convolution: nn.Conv2d, spread: Tensor):
        super().__init__(convolution)
        self.spread = spread

    def spread_kernels(self) -> Float[Tensor, "out in side side p p s s"]:
        """The kernels on squares, by output's and input's phase."""
        with torch.autocast(self.weight.device.type, enabled=False):  # else they are rounded twice
            return torch.tensordot(self.weight, self.spread.to(self.weight), 2)


class PooledConv2d(_OnSquares):
    """A convolution, then 2×2 max pooling: as a convolution on squares, and a maximum of four groups of maps.

    Side 2: the pooled maps. Side 4: 2×2 squares of them, which a next one reads as they are (`squared`); the sides of
    the images, and of what is convolved, must then divide by four, else a row and a column are cut off as by pooling.
    A channel's phases are side by side, as `torch.nn.functional.pixel_unshuffle` lays them.
    """

    def __init__(self, convolution: nn.Conv2d, side: int = 2, squared: bool = False):
        super().__init__(convolution, both_axes(taps(side, convolution.kernel_size[0])))
        self.side, self.squared = side, squared

    def forward(self, x: Float[Tensor, "batch in height width"]) -> Float[Tensor, "batch out _ _"]:
        if not self.squared:
            height, width = (side // self.side * self.side for side in x.shape[-2:])
            x = F.pixel_unshuffle(x[..., :height, :width], self.side)
        elif not (torch.is_grad_enabled() and (x.requires_grad or self.weight.requires_grad)):
            x = x.contiguous(memory_format=torch.channels_last)  # faster where there is no gradient to compute
        # A pixel a is pixel a mod 2 of pooled pixel ⌊a / 2⌋: the former first, to be the groups.
        kernels = self.spread_kernels().unflatten(3, (-1, 2)).unflatten(2, (-1, 2))  # [o, i, a₂, a₁, b₂, b₁, …]
        kernels = kernels.permute(3, 5, 0, 2, 4, 1, 6, 7, 8, 9).flatten(5, 7).flatten(0, 4)
        bias = times(4, self.bias, self.side**2 // 4)
        return _Maximum.apply(F.conv2d(x, kernels, bias))


class _Maximum(torch.autograd.Function):
    """(n, 4c, h, w) → (n, c, h, w): the largest of four groups, by halves. Of equal ones the first gets the gradient,
    as in torch's pooling.
    """

    @staticmethod
    def forward(ctx, groups: Tensor) -> Tensor:
        left, right = groups.unflatten(1, (2, 2, -1)).unbind(2)
        pairs = torch.maximum(left, right)
        ctx.save_for_backward(groups, pairs)
        return torch.maximum(pairs[:, 0], pairs[:, 1])

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor) -> Tensor:
        groups, pairs = ctx.saved_tensors
        left, right = groups.unflatten(1, (2, 2, -1)).unbind(2)
        grads = torch.empty_like(groups)
        lefts, rights = grads.unflatten(1, (2, 2, -1)).unbind(2)
        # To whom it goes: as ReLU's gradient, which is the fastest choice between a number and zero.
        lower = torch.ops.aten.threshold_backward(grad, pairs[:, 1] - pairs[:, 0], 0)
        grad = torch.stack((grad - lower, lower), 1)
        rights.copy_(torch.ops.aten.threshold_backward(grad, right - left, 0))
        torch.sub(grad, rights, out=lefts)
        return grads


# --- nearest-neighbour ×2, then a 3×3 convolution -------------------------------------------------------------------

_TAPS = taps(2, 3, padding=1)
# ×2 makes u[2i] = u[2i + 1] = x[i]: what a pixel reads of u, it reads of x, whatever the phase.
_DOUBLED = _TAPS.sum(1, keepdim=True)
_PHASES = tuple(itertools.product((0, 1), (0, 1)))  # the four pixels of a 2×2 square, row by row


def two_of_three(along: Float[Tensor, "2 phases 3 size"]) -> Float[Tensor, "2 phases 2 size"]:
    """A pixel of phase a reads the squares a − 1 and a only."""
    return torch.stack((along[0, :, :2], along[1, :, 1:]))


class UpsampledToSquares(_OnSquares):
    """Nearest-neighbour ×2, then a 3×3 convolution: to 2×2 squares of its maps, a phase's channels side by side.

    A 3×3 convolution of the small grid, with zeros in its kernels: as many multiply-adds as before, but nothing to
    interleave. Where maps are few, that takes longer than to multiply.
    """

    spread_by = both_axes(_DOUBLED)

    def __init__(self, convolution: nn.Conv2d):
        super().__init__(convolution, self.spread_by)

    def kernels(self) -> Float[Tensor, "four_out _ size size"]:
        """A kernel for each phase of the output, on the grid before its doubling."""
        return self.spread_kernels().permute(2, 3, 0, 4, 5, 1, 6, 7).flatten(3, 5).flatten(0, 2)

    def forward(self, x: Float[Tensor, "batch in height width"]) -> Float[Tensor, "batch four_out _ _"]:
        kernels = self.kernels().contiguous(memory_format=torch.channels_last)
        return F.conv2d(x, kernels, times(4, self.bias), padding=1)


class UpsampledConv2d(UpsampledToSquares):
    """Nearest-neighbour ×2, then a 3×3 convolution: as one 2×2 convolution with four times the channels.

    16 multiply-adds where there were 36, forward and backward, but for one row and one column of pixels more.
    """

    spread_by = both_axes(two_of_three(_DOUBLED))

    def forward(self, x: Float[Tensor, "batch in height width"]) -> Float[Tensor, "batch out 2*height 2*width"]:
        return _Interleave.apply(super().forward(x))


class ConvFromSquares(UpsampledConv2d):
    """A 3×3 convolution of maps that come as 2×2 squares: as one 2×2 convolution, too."""

    spread_by = both_axes(two_of_three(_TAPS))


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
    @once_differentiable
    def backward(ctx, grad: Tensor) -> Tensor:
        n, c, h, w = grad.shape[0], grad.shape[1], grad.shape[2] // 2, grad.shape[3] // 2
        grad, y = grad.permute(0, 2, 3, 1), grad.new_zeros(n, h + 1, w + 1, 4 * c)
        for group, (a, b) in zip(y.split(c, 3), _PHASES, strict=True):
            group[:, a : a + h, b : b + w] = grad[:, a::2, b::2]
        return y.permute(0, 3, 1, 2)


class SquaresBatchNorm2d(nn.BatchNorm2d):
    """BatchNorm on 2×2 squares: a channel's four phases are normalised as one."""

    def __init__(self, norm: nn.BatchNorm2d):
        super().__init__(norm.num_features, norm.eps, norm.momentum)
        self.weight, self.bias = norm.weight, norm.bias
        self.running_mean, self.running_var = norm.running_mean, norm.running_var
        self.num_batches_tracked = norm.num_batches_tracked
        self.train(norm.training)

    def forward(self, x: Float[Tensor, "batch four_channels height width"]) -> Tensor:
        weight, bias = times(4, self.weight), times(4, self.bias)
        running = times(4, self.running_mean), times(4, self.running_var)
        if not self.training:
            return F.batch_norm(x, *running, weight, bias, eps=self.eps)
        with torch.no_grad():
            # Of each phase. What is handed over stays as it is, and makes the moments float32.
            moments = torch.ops.aten.batch_norm_update_stats(x, *running, 0.0)
            means, variances = (m.unflatten(0, (4, -1)) for m in moments)
            mean = means.mean(0)
            var = variances.mean(0) + (means - mean).square().mean(0)
            self.num_batches_tracked += 1
            share = 1 / int(self.num_batches_tracked) if self.momentum is None else self.momentum
            n = 4 * x.numel() / x.shape[1]
            self.running_mean.lerp_(mean, share)
            self.running_var.lerp_(var * n / (n - 1), share)
        return _Normalise.apply(x, weight, bias, times(4, mean), times(4, var), self.eps)


class _Normalise(torch.autograd.Function):
    """BatchNorm of squares, by a batch's own moments of channels."""

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, var: Tensor, eps: float) -> Tensor:
        ctx.save_for_backward(x, weight, mean, var)
        ctx.eps = eps
        return F.batch_norm(x, mean, var, weight, bias, eps=eps)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, mean, var = ctx.saved_tensors
        # As if the moments were fixed. What reaches x through them is affine in the normalised x: a BatchNorm as well,
        # whose kernel rounds but once.
        through, to_weight, to_bias = torch.ops.aten.native_batch_norm_backward(
            grad, x, weight, mean, var, None, None, False, ctx.eps, [True] * 3
        )
        share = -weight * (var + ctx.eps).rsqrt() / (4 * x.numel() / x.shape[1])
        by_weight, by_bias = (share * times(4, g.unflatten(0, (4, -1)).sum(0)) for g in (to_weight, to_bias))
        through += F.batch_norm(x, mean, var, by_weight, by_bias, eps=ctx.eps)
        return through, to_weight, to_bias, None, None, None
