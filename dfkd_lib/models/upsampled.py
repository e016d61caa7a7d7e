"""Nearest-neighbour ×2 and a 3×3 convolution in one layer."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

# Along one axis an even output pixel reads x[i − 1], x[i] with (w₀, w₁ + w₂), an odd
# one x[i], x[i + 1] with (w₀ + w₁, w₂): rows w₀, w₁, w₂, columns these four sums.
_SUMS = torch.tensor([[1.0, 0, 1, 0], [0, 1, 1, 0], [0, 1, 0, 1]])


class UpsampledConv2d(nn.Conv2d):
    """``nn.Upsample(scale_factor=2)``, then ``nn.Conv2d(c_in, c_out, 3, 1, 1)``.

    On a CPU as one convolution with four 2×2 kernels on the small grid, one for each
    pixel of a 2×2 square: 16 multiply-adds instead of 36, the same result up to
    rounding (benchmarks/NOTES.md). ``phases=False`` turns this off.
    """

    phases = True

    def __init__(self, c_in: int, c_out: int):
        super().__init__(c_in, c_out, 3, 1, 1)

    def forward(
        self, x: Float[Tensor, "batch c_in height width"]
    ) -> Float[Tensor, "batch c_out 2*height 2*width"]:
        if x.device.type != "cpu" or not self.phases:
            return super().forward(F.interpolate(x, scale_factor=2.0))
        h, w = x.shape[2:]
        y = F.conv2d(x, self.kernels(), self.bias.repeat(4), padding=1)
        groups = y.permute(0, 2, 3, 1).chunk(4, 3)  # channels last: quick to copy
        shifts = ((0, 0), (0, 1), (1, 0), (1, 1))
        shifted = [
            group[:, a : a + h, b : b + w]
            for group, (a, b) in zip(groups, shifts, strict=True)
        ]
        y = torch.stack(shifted, 3).unflatten(3, (2, 2))  # (batch, h, w, a, b, c_out)
        return y.transpose(2, 3).flatten(3, 4).flatten(1, 2).permute(0, 3, 1, 2)

    def kernels(self) -> Float[Tensor, "kernels c_in 2 2"]:
        """The kernels of a square's pixels, row by row."""
        sums = torch.kron(_SUMS, _SUMS).to(self.weight)
        with torch.autocast(self.weight.device.type, enabled=False):
            kernels = (self.weight.flatten(2) @ sums).unflatten(2, (2, 2, 2, 2))
        kernels = kernels.permute(2, 4, 0, 1, 3, 5).flatten(0, 2)
        return kernels.contiguous(memory_format=torch.channels_last)
