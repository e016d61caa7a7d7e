"""Wide residual networks for 32×32 images (Zagoruyko and Komodakis 2016).

Initialised as there: He's normal for convolutions, biases 0; torch's default for the
linear layer's weights.
"""

from torch import Tensor, nn
from torch.nn import functional as F

from .network import Classifier, he_normal


class BasicBlock(nn.Module):
    """Twice BN, ReLU, conv; a 1×1 convolution as shortcut where the width changes."""

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
    """WRN-``depth``-``widen``: three stages, of 32, 16 and 8 pixels for 32×32 images.

    WRN-40-2 with 100 classes has 2,255,156 parameters.
    """

    def __init__(self, depth: int, widen: int, num_classes: int = 10):
        blocks = (depth - 4) // 6
        layers: list[nn.Module] = [nn.Conv2d(3, 16, 3, 1, 1, bias=False)]
        c_in = 16
        for width, stride in ((16 * widen, 1), (32 * widen, 2), (64 * widen, 2)):
            layers.append(BasicBlock(c_in, width, stride))
            layers += [BasicBlock(width, width, 1) for _ in range(blocks - 1)]
            c_in = width
        layers += [nn.BatchNorm2d(c_in), nn.ReLU(), nn.AdaptiveAvgPool2d(1)]
        cuts = (blocks, 2 * blocks, 3 * blocks + 2)  # the last after BatchNorm and ReLU
        features = nn.Sequential(*layers, nn.Flatten())
        super().__init__(features, nn.Linear(c_in, num_classes), cuts)
        he_normal(self)
        nn.init.zeros_(self.classifier.bias)
