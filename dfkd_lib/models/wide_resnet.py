"""Wide residual networks for 32×32 images (Zagoruyko and Komodakis 2016): WRN-40-2, 16-2, 40-1 and 16-1.

Initialised as there: He's normal for convolutions, biases 0; torch's default for the linear layer's weights.
"""

from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import UserError
from .classifier import Classifier, he_normal


class BasicBlock(nn.Module):
    """Pre-activation block: twice BN, ReLU, conv; the shortcut is a 1×1 convolution where the width changes."""

    def __init__(self, in_channels: int, out_channels: int, stride: int):
        super().__init__()
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, 1, 1, bias=False)
        changes = in_channels != out_channels
        self.shortcut = nn.Conv2d(in_channels, out_channels, 1, stride, bias=False) if changes else None

    def forward(self, x: Tensor) -> Tensor:
        h = F.relu(self.bn1(x))
        # The projection reads the activated input: the original's choice, and the only place for its one BatchNorm.
        skip = x if self.shortcut is None else self.shortcut(h)
        h = self.conv1(h)
        return skip + self.conv2(F.relu(self.bn2(h)))


class WideResNet(Classifier):
    """WRN-``depth``-``widen`` for 3×32×32 images. WRN-40-2 with 100 classes has 2,255,156 parameters.

    Three stages, of 32, 16 and 8 pixels; the last one's maps are those behind the final BatchNorm and ReLU.
    """

    def __init__(self, depth: int, widen: int, num_classes: int = 10):
        if (depth - 4) % 6 or depth < 10:
            raise UserError(f"depth: {depth} is not allowed for a wide ResNet; give 6n + 4: 10, 16, 22, 28, 34, 40, …")
        blocks = (depth - 4) // 6
        widths = [16, 16 * widen, 32 * widen, 64 * widen]
        layers: list[nn.Module] = [nn.Conv2d(3, widths[0], 3, 1, 1, bias=False)]
        for group in range(3):
            for block in range(blocks):
                in_channels = widths[group] if block == 0 else widths[group + 1]
                stride = 2 if block == 0 and group > 0 else 1
                layers.append(BasicBlock(in_channels, widths[group + 1], stride))
        layers += [nn.BatchNorm2d(widths[3]), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
        cuts = (blocks, 2 * blocks, 3 * blocks + 2)
        super().__init__(nn.Sequential(*layers), nn.Linear(widths[3], num_classes), cuts)
        he_normal(self)
        nn.init.zeros_(self.classifier.bias)
