"""Wide residual networks for 32×32 images (Zagoruyko and Komodakis 2016).

Initialised as there: He's normal for convolutions, biases 0; torch's default for the
linear layer's weights.
"""

from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import UserError
from .classifier import Classifier, he_normal


class BasicBlock(nn.Module):
    """Pre-activation block: twice BN, ReLU, conv; a 1×1 shortcut where widths change."""

    def __init__(self, c_in: int, c_out: int, stride: int):
        super().__init__()
        self.bn1 = nn.BatchNorm2d(c_in)
        self.conv1 = nn.Conv2d(c_in, c_out, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(c_out)
        self.conv2 = nn.Conv2d(c_out, c_out, 3, 1, 1, bias=False)
        self.shortcut = None
        if c_in != c_out:
            self.shortcut = nn.Conv2d(c_in, c_out, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        h = F.relu(self.bn1(x))
        # The projection reads the activated input, as in the original code.
        skip = x if self.shortcut is None else self.shortcut(h)
        h = self.conv1(h)
        return skip + self.conv2(F.relu(self.bn2(h)))


class WideResNet(Classifier):
    """WRN-``depth``-``widen``. WRN-40-2 with 100 classes has 2,255,156 parameters.

    Three stages, of 32, 16 and 8 pixels for 32×32 images; the last one's maps are those
    after the final BatchNorm and ReLU.
    """

    def __init__(self, depth: int, widen: int, num_classes: int = 10):
        if (depth - 4) % 6 or depth < 10:
            raise UserError(
                f"depth: {depth} is not allowed for a wide ResNet; "
                "give 6n + 4: 10, 16, 22, 28, 34, 40, …"
            )
        blocks = (depth - 4) // 6
        widths = [16, 16 * widen, 32 * widen, 64 * widen]
        layers: list[nn.Module] = [nn.Conv2d(3, widths[0], 3, 1, 1, bias=False)]
        for group in range(3):
            for block in range(blocks):
                c_in = widths[group + min(block, 1)]
                stride = 2 if block == 0 and group > 0 else 1
                layers.append(BasicBlock(c_in, widths[group + 1], stride))
        layers += [nn.BatchNorm2d(widths[3]), nn.ReLU()]
        layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
        cuts = (blocks, 2 * blocks, 3 * blocks + 2)
        linear = nn.Linear(widths[3], num_classes)
        super().__init__(nn.Sequential(*layers), linear, cuts)
        he_normal(self)
        nn.init.zeros_(self.classifier.bias)
