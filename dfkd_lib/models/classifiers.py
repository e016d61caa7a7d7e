"""Classifiers by family: LeNet, ResNet, Wide ResNet, VGG, and torchvision's.

State dicts have the names of the shipped weights, and torchvision's layers their own
order. torchvision is imported where it is used: its import takes longer than torch's.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .network import Classifier, he_normal


class LeNet5(Classifier):
    """LeNet-5 for 1×32×32 images: 61,706 parameters with 10 classes (DFAD Table 5).

    ``half=True`` halves every hidden width: DFAD's LeNet-5-Half, 15,738 parameters.
    """

    def __init__(self, num_classes: int = 10, half: bool = False):
        c1, c2, c3, f = (3, 8, 60, 42) if half else (6, 16, 120, 84)
        features = nn.Sequential(
            nn.Conv2d(1, c1, 5), nn.ReLU(), nn.MaxPool2d(2),  # 28×28, pooled to 14
            nn.Conv2d(c1, c2, 5), nn.ReLU(), nn.MaxPool2d(2),  # 10×10, pooled to 5
            nn.Conv2d(c2, c3, 5), nn.ReLU(),  # 1×1
            nn.Flatten(),
            nn.Linear(c3, f), nn.ReLU(),
        )  # fmt: skip
        super().__init__(features, nn.Linear(f, num_classes), cuts=(1, 4, 7), size=32)


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
    """A residual network for small images (He et al. 2016): a 3×3 stem, no pooling.

    A stage for each of ``blocks``; all but the first halve. ResNet-18-8x and -34-8x of
    DFAD Table 6 have four stages. The family of He et al.'s CIFAR section has three:
    HiDFD Table 3 names five of them; these are its public code's: widths 16, 32, 64,
    times the factor after the ×. The stem of ResNet-32×4 has 32 channels, that of
    ResNet-110×2 has 16. Initialised as torchvision's.
    """

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


class PreActivated(nn.Module):
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

    WRN-40-2 with 100 classes has 2,255,156 parameters. Initialised as by Zagoruyko and
    Komodakis (2016): biases 0; torch's default for the linear layer's weights.
    """

    def __init__(self, depth: int, widen: int, num_classes: int = 10):
        blocks = (depth - 4) // 6
        layers: list[nn.Module] = [nn.Conv2d(3, 16, 3, 1, 1, bias=False)]
        c_in = 16
        for width, stride in ((16 * widen, 1), (32 * widen, 2), (64 * widen, 2)):
            layers.append(PreActivated(c_in, width, stride))
            layers += [PreActivated(width, width, 1) for _ in range(blocks - 1)]
            c_in = width
        layers += [nn.BatchNorm2d(c_in), nn.ReLU(), nn.AdaptiveAvgPool2d(1)]
        cuts = (blocks, 2 * blocks, 3 * blocks + 2)  # the last after BatchNorm and ReLU
        features = nn.Sequential(*layers, nn.Flatten())
        super().__init__(features, nn.Linear(c_in, num_classes), cuts)
        he_normal(self)
        nn.init.zeros_(self.classifier.bias)


# Convolutions in each stage: configurations A, B and D of the VGG paper.
_STAGES = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3)}


class VGG(Classifier):
    """VGG-``depth``-BN: five stages, of 32, 16, 8, 4 and 4 pixels for 32×32 images.

    Simonyan and Zisserman's (2015), as CRD's networks and HiDFD's public code have it:
    three halvings, so the last maps are 512×4×4 as in DFAD's ResNets, and one linear
    layer, initialised N(0, 0.01²); biases 0.
    """

    def __init__(self, depth: int, num_classes: int):
        layers, cuts, c_in = [], [], 3
        for stage, width in enumerate((64, 128, 256, 512, 512)):
            if 1 <= stage <= 3:
                layers.append(nn.MaxPool2d(2))
            for _ in range(_STAGES[depth][stage]):
                layers += [nn.Conv2d(c_in, width, 3, 1, 1), nn.BatchNorm2d(width)]
                layers.append(nn.ReLU())
                c_in = width
            cuts.append(len(layers) - 1)
        features = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        super().__init__(features, nn.Linear(512, num_classes), tuple(cuts), smallest=8)
        he_normal(self)
        nn.init.normal_(self.classifier.weight, 0, 0.01)
        for name, value in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(value)


# This library's names, and torchvision's.
_THEIRS = {name: name for name in ("resnet18", "resnet34", "alexnet")}
_THEIRS["shufflenet_v2"] = "shufflenet_v2_x1_0"


def torchvision_names(name: str) -> list[str]:
    """torchvision's state-dict keys of the network `name`, in order; [] for others."""
    if name not in _THEIRS:
        return []
    from torchvision import models

    with torch.device("meta"):
        return list(models.get_model(_THEIRS[name], weights=None).state_dict())


def from_torchvision(name: str, num_classes: int) -> Classifier:
    """One of torchvision's networks, freshly initialised.

    The ResNets are the 32×-downsampling ones of DFAD's Caltech101. AlexNet, MAD's for
    large images, reads 63 pixels or more. ShuffleNetV2 ×1 is changed for 32×32 images
    as in CRD's networks: a 1×1 convolution without stride replaces the first one and
    the pool. (HiDFD Table 3 says "ShuffleNet"; version 2 is our choice.)
    """
    from torchvision import models

    network = models.get_model(_THEIRS[name], weights=None, num_classes=num_classes)
    if name == "alexnet":
        *hidden, last = network.classifier
        layers = [*network.features, network.avgpool, nn.Flatten(), *hidden]
        # Three stages, each ending where a pool follows.
        return Classifier(nn.Sequential(*layers), last, cuts=(1, 4, 11), smallest=63)
    *layers, last = network.children()
    cuts = (4, 5, 6, 7)
    if name == "shufflenet_v2":
        (_, *norm), _, *stages, end = layers
        layers = [nn.Conv2d(3, 24, 1, bias=False), *norm, nn.Identity(), *stages, *end]
        layers.append(nn.AdaptiveAvgPool2d(1))
        cuts = (4, 5, 9)
    return Classifier(nn.Sequential(*layers, nn.Flatten()), last, cuts)
