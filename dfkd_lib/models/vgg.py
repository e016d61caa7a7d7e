"""VGG with BatchNorm for 32×32 images (Simonyan and Zisserman 2015), one linear layer.

The definition of CRD's networks and HiDFD's public code: three halvings, not five, so
the last maps are 512×4×4, as in DFAD's ResNets. Initialised as there: He's normal for
convolutions, N(0, 0.01²) for the linear layer, biases 0.
"""

from torch import nn

from ..errors import UserError
from .classifier import Classifier, he_normal

# Channels of each stage's convolutions: configurations A, B and D of the VGG paper.
_STAGES = {
    11: ((64,), (128,), (256, 256), (512, 512), (512, 512)),
    13: ((64, 64), (128, 128), (256, 256), (512, 512), (512, 512)),
    16: ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512)),
}


class VGG(Classifier):
    """VGG-``depth``-BN: five stages, of 32, 16, 8, 4 and 4 pixels for 32×32 images."""

    def __init__(self, depth: int, num_classes: int):
        if depth not in _STAGES:
            raise UserError(
                f"depth: {depth} is not allowed for a VGG; "
                f"give one of {', '.join(map(str, _STAGES))}"
            )
        layers: list[nn.Module] = []
        cuts = []
        c_in = 3
        for stage, widths in enumerate(_STAGES[depth]):
            if 1 <= stage <= 3:
                layers.append(nn.MaxPool2d(2))
            for width in widths:
                layers += [nn.Conv2d(c_in, width, 3, 1, 1), nn.BatchNorm2d(width)]
                layers.append(nn.ReLU())
                c_in = width
            cuts.append(len(layers) - 1)
        layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
        linear = nn.Linear(512, num_classes)
        super().__init__(nn.Sequential(*layers), linear, tuple(cuts), smallest=8)
        he_normal(self)
        for module in self.features:
            if isinstance(module, nn.Conv2d):
                nn.init.zeros_(module.bias)
        nn.init.normal_(self.classifier.weight, 0, 0.01)
        nn.init.zeros_(self.classifier.bias)
