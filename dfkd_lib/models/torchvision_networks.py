"""torchvision's networks as `Classifier` networks: same layers and initialisation.

torchvision is imported where it is used: its import takes longer than torch's.
"""

import torch
from torch import nn

from .network import Classifier

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
