"""VGG with BatchNorm for 32×32 images (Simonyan and Zisserman 2015), one linear layer.

The definition of CRD's networks and HiDFD's public code: three halvings, not five, so
the last maps are 512×4×4, as in DFAD's ResNets. Initialised as there: He's normal for
convolutions, N(0, 0.01²) for the linear layer, biases 0.
"""

from torch import nn

from .network import Classifier, he_normal

# Convolutions in each stage: configurations A, B and D of the VGG paper.
_STAGES = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3)}


class VGG(Classifier):
    """VGG-``depth``-BN: five stages, of 32, 16, 8, 4 and 4 pixels for 32×32 images."""

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
