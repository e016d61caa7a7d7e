"""torchvision's networks, taken apart into features and classifier; their layers, weights and initialisation are kept.

So a trained one can be taken apart too: ``split(torchvision.models.alexnet(weights="IMAGENET1K_V1"))``.
torchvision is imported where it is used: that takes longer than torch itself, and few runs need it.
"""

import torch
from torch import nn

from ..errors import UserError
from .classifier import Classifier


def split(network: nn.Module) -> Classifier:
    """A torchvision ResNet, AlexNet or ShuffleNetV2 as a `Classifier` made of the same layers: no copy.

    State-dict keys differ from torchvision's (``features.0.weight`` for ``conv1.weight``): load weights before.

    Raises
    ------
    UserError
        for any other network.
    """
    from torchvision.models import AlexNet, ResNet, ShuffleNetV2

    if isinstance(network, ResNet):
        stem = [network.conv1, network.bn1, network.relu, network.maxpool]
        stages = [network.layer1, network.layer2, network.layer3, network.layer4]
        return Classifier(nn.Sequential(*stem, *stages, network.avgpool, nn.Flatten()), network.fc, cuts=(4, 5, 6, 7))
    if isinstance(network, AlexNet):
        *hidden, last = network.classifier
        # Three stages, each ending where a pool follows; the third is of three convolutions. Below 63 pixels the last
        # pool has nothing left to read.
        features = nn.Sequential(*network.features, network.avgpool, nn.Flatten(), *hidden)
        return Classifier(features, last, cuts=(1, 4, 11), smallest=63)
    if isinstance(network, ShuffleNetV2):
        layers = [*network.conv1, network.maxpool, network.stage2, network.stage3, network.stage4, *network.conv5]
        features = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        return Classifier(features, network.fc, cuts=(4, 5, len(layers) - 1))
    raise UserError(
        f"network: a {type(network).__name__} is not allowed; give torchvision's ResNet, AlexNet or ShuffleNetV2, or "
        "use embedding_and_logits, which takes any network"
    )


# The networks below, as torchvision calls them.
_THEIRS = {
    "resnet18": "resnet18",
    "resnet34": "resnet34",
    "alexnet": "alexnet",
    "shufflenet_v2": "shufflenet_v2_x1_0",
}


def torchvision_names(name: str) -> list[str]:
    """torchvision's names of what the network called `name` here holds, in the order of its `state_dict`; [] if it is
    not torchvision's.
    """
    if name not in _THEIRS:
        return []
    from torchvision import models

    with torch.device("meta"):
        return list(models.get_model(_THEIRS[name], weights=None).state_dict())


def resnet18(num_classes: int) -> Classifier:
    """The 32×-downsampling ResNet-18 (DFAD's Caltech101 student): 11,228,325 parameters with 101 classes. Any size."""
    from torchvision import models

    return split(models.resnet18(num_classes=num_classes))


def resnet34(num_classes: int) -> Classifier:
    """The 32×-downsampling ResNet-34 (DFAD's Caltech101 teacher): 21,336,485 parameters with 101 classes. Any size."""
    from torchvision import models

    return split(models.resnet34(num_classes=num_classes))


def alexnet(num_classes: int) -> Classifier:
    """AlexNet (MAD's teacher and student on large images): 61,100,840 parameters with 1000 classes. From 63 pixels."""
    from torchvision import models

    return split(models.alexnet(num_classes=num_classes))


def shufflenet_v2(num_classes: int) -> Classifier:
    """ShuffleNetV2 ×1 for 32×32 images: 1,263,278 parameters with 10 classes.

    HiDFD Table 3 says "ShuffleNet"; its public code has versions 1 and 2, defined as in CRD's networks. Version 2 is
    our choice: its blocks are torchvision's. Here, as there, a 1×1 convolution without stride replaces the first
    convolution and the pool, which would leave 1 pixel of 32.
    """
    from torchvision import models

    network = models.shufflenet_v2_x1_0(num_classes=num_classes)
    network.conv1[0] = nn.Conv2d(3, 24, 1, bias=False)
    network.maxpool = nn.Identity()
    return split(network)
