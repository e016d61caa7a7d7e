"""LeNet-5 and its half, as DFAD uses them for handwritten digits (DFAD Table 5)."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .network import Classifier, Phased


class LeNetFeatures(Phased, nn.Sequential):
    """LeNet's layers; on a CPU a convolution and its 2×2 pooling run as one.

    The four pixels that are pooled are computed as channels, by shifted kernels on 2×2
    squares of the input: more products, but faster (benchmarks/NOTES.md), with the same
    result up to rounding. ``phases=False`` turns this off.
    """

    def forward(self, x: Tensor) -> Tensor:
        if x.device.type != "cpu" or not self.phases:
            return super().forward(x)
        for convolution in (self[0], self[3]):
            x = self.pooled(convolution, x).relu()
        for layer in list(self)[6:]:
            x = layer(x)
        return x

    @staticmethod
    def pooled(convolution: nn.Conv2d, x: Tensor) -> Tensor:
        shifts = ((0, 0), (0, 1), (1, 0), (1, 1))
        kernels = [F.pad(convolution.weight, (b, 1 - b, a, 1 - a)) for a, b in shifts]
        kernels = F.pixel_unshuffle(torch.cat(kernels), 2)
        y = F.conv2d(F.pixel_unshuffle(x, 2), kernels, convolution.bias.repeat(4))
        for _ in range(2):
            left, right = y.chunk(2, 1)
            y = right + (left - right).relu()  # the maximum, with the cheapest gradient
        return y


class LeNet5(Classifier):
    """LeNet-5 for 1×32×32 images: 61,706 parameters with 10 classes.

    ``half=True`` halves every hidden width: DFAD's LeNet-5-Half, 15,738 parameters.
    """

    def __init__(self, num_classes: int = 10, half: bool = False):
        c1, c2, c3, f = (3, 8, 60, 42) if half else (6, 16, 120, 84)
        features = LeNetFeatures(
            nn.Conv2d(1, c1, 5), nn.ReLU(), nn.MaxPool2d(2),  # 28×28, pooled to 14
            nn.Conv2d(c1, c2, 5), nn.ReLU(), nn.MaxPool2d(2),  # 10×10, pooled to 5
            nn.Conv2d(c2, c3, 5), nn.ReLU(),  # 1×1
            nn.Flatten(),
            nn.Linear(c3, f), nn.ReLU(),
        )  # fmt: skip
        super().__init__(features, nn.Linear(f, num_classes), cuts=(1, 4, 7), size=32)
