"""Residual networks for small images (He et al. 2016), with a 3×3 stem and no pooling in front.

- ResNet-18-8x and -34-8x of DFAD Table 6: four stages, three halvings. MAD and HiDFD use them too.
- The narrow family of He et al.'s CIFAR section: three stages of equally many blocks. HiDFD Table 3 names five of them
  and does not define them; these definitions are those of its public code: widths 16, 32, 64, times the factor behind
  the ×. The stem of ResNet-32×4 is widened to 32 channels, that of ResNet-110×2 is not.

Initialised as torchvision's: He's normal for convolutions, torch's defaults for the rest.
"""

from torch import Tensor, nn
from torch.nn import functional as F

from .classifier import Classifier, he_normal


class BasicBlock(nn.Module):
    """Twice conv and BN. The shortcut is a 1×1 convolution and BN where width or size change (He et al.'s option B)."""

    def __init__(self, in_channels: int, out_channels: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.shortcut = nn.Identity()
        if stride != 1 or in_channels != out_channels:
            self.shortcut = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, stride, bias=False), nn.BatchNorm2d(out_channels)
            )

    def forward(self, x: Tensor) -> Tensor:
        h = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(h)) + self.shortcut(x))


class ResNet(Classifier):
    """A stem of ``stem`` channels, then stages of ``blocks`` blocks and ``widths`` channels, each half the size.

    The first stage keeps the image's size. Any size of image.
    """

    def __init__(self, stem: int, blocks: tuple[int, ...], widths: tuple[int, ...], num_classes: int):
        layers: list[nn.Module] = [nn.Conv2d(3, stem, 3, 1, 1, bias=False), nn.BatchNorm2d(stem), nn.ReLU()]
        in_channels = stem
        for stage, (count, width) in enumerate(zip(blocks, widths, strict=True)):
            first = BasicBlock(in_channels, width, stride=1 if stage == 0 else 2)
            layers.append(nn.Sequential(first, *(BasicBlock(width, width, stride=1) for _ in range(count - 1))))
            in_channels = width
        layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
        cuts = tuple(range(3, 3 + len(blocks)))
        super().__init__(nn.Sequential(*layers), nn.Linear(in_channels, num_classes), cuts)
        he_normal(self)
