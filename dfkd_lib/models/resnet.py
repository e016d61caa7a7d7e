"""Residual networks for small images (He et al. 2016): a 3×3 stem, no pooling first.

- ResNet-18-8x and -34-8x of DFAD Table 6: four stages, three halvings.
- The narrow family of He et al.'s CIFAR section: three stages of equally many blocks.
  HiDFD Table 3 names five of them; these are its public code's: widths 16, 32, 64,
  times the factor after the ×. The stem of ResNet-32×4 has 32 channels, that of
  ResNet-110×2 has 16.

Initialised as torchvision's: He's normal for convolutions, torch's defaults otherwise.
"""

from torch import Tensor, nn
from torch.nn import functional as F

from .network import Classifier, he_normal


class BasicBlock(nn.Module):
    """Twice conv and BN; a 1×1 convolution and BN as shortcut where shapes change."""

    def __init__(self, c_in: int, c_out: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(c_in, c_out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(c_out)
        self.conv2 = nn.Conv2d(c_out, c_out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(c_out)
        self.shortcut = nn.Identity()
        if stride != 1 or c_in != c_out:
            projection = nn.Conv2d(c_in, c_out, 1, stride, bias=False)
            self.shortcut = nn.Sequential(projection, nn.BatchNorm2d(c_out))

    def forward(self, x: Tensor) -> Tensor:
        h = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(h)) + self.shortcut(x))


class ResNet(Classifier):
    """A stem and a stage for each of ``blocks``; all stages but the first halve."""

    def __init__(self, stem: int, blocks: tuple, widths: tuple, num_classes: int):
        layers = [nn.Conv2d(3, stem, 3, 1, 1, bias=False)]
        layers += [nn.BatchNorm2d(stem), nn.ReLU()]
        c_in, stride = stem, 1
        for count, width in zip(blocks, widths, strict=True):
            stage = [BasicBlock(c_in, width, stride)]
            stage += [BasicBlock(width, width, 1) for _ in range(count - 1)]
            layers.append(nn.Sequential(*stage))
            c_in, stride = width, 2
        cuts = tuple(range(3, len(layers)))
        layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
        super().__init__(nn.Sequential(*layers), nn.Linear(c_in, num_classes), cuts)
        he_normal(self)
