"""torchvision's networks as `Classifier`s of the same layers, weights and initialisation.

torchvision is imported where it is used: its import takes longer than torch's.
"""

import torch
from torch import nn

from ..errors import UserError
from .classifier import Classifier

# This library's names, and torchvision's.
_THEIRS = {
    "resnet18": "resnet18",
    "resnet34": "resnet34",
    "alexnet": "alexnet",
    "shufflenet_v2": "shufflenet_v2_x1_0",
}


def split(network: nn.Module) -> Classifier:
    """A torchvision ResNet, AlexNet or ShuffleNetV2 as a `Classifier`; no copy.

    State-dict keys differ (``features.0.weight`` for ``conv1.weight``): load weights
    before.

    Raises
    ------
    UserError
        for any other network.
    """
    from torchvision.models import AlexNet, ResNet, ShuffleNetV2

    if isinstance(network, ResNet):
        layers = [network.conv1, network.bn1, network.relu, network.maxpool]
        layers += [network.layer1, network.layer2, network.layer3, network.layer4]
        layers += [network.avgpool, nn.Flatten()]
        return Classifier(nn.Sequential(*layers), network.fc, cuts=(4, 5, 6, 7))
    if isinstance(network, AlexNet):
        *hidden, last = network.classifier
        layers = [*network.features, network.avgpool, nn.Flatten(), *hidden]
        # Three stages, each ending where a pool follows; below 63 pixels the last pool
        # has nothing left to read.
        return Classifier(nn.Sequential(*layers), last, cuts=(1, 4, 11), smallest=63)
    if isinstance(network, ShuffleNetV2):
        layers = [*network.conv1, network.maxpool, network.stage2, network.stage3]
        layers += [network.stage4, *network.conv5]
        cuts = (4, 5, len(layers) - 1)
        layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
        return Classifier(nn.Sequential(*layers), network.fc, cuts)
    raise UserError(
        f"network: a {type(network).__name__} is not allowed; give torchvision's "
        "ResNet, AlexNet or ShuffleNetV2, or use embedding_and_logits, which takes any "
        "network"
    )


def torchvision_names(name: str) -> list[str]:
    """torchvision's state-dict keys of the network called `name` here, in order.

    Empty if the network is not torchvision's.
    """
    if name not in _THEIRS:
        return []
    from torchvision import models

    with torch.device("meta"):
        return list(models.get_model(_THEIRS[name], weights=None).state_dict())


def from_torchvision(name: str, num_classes: int) -> Classifier:
    """One of torchvision's networks, freshly initialised.

    The ResNets are the 32×-downsampling ones of DFAD's Caltech101; AlexNet, MAD's on
    large images, reads 63 pixels or more. ShuffleNetV2 ×1 is changed for 32×32 images
    as in CRD's networks: a 1×1 convolution without stride replaces the first convolution
    and the pool. (HiDFD Table 3 says "ShuffleNet"; version 2 is our choice.)
    """
    from torchvision import models

    network = models.get_model(_THEIRS[name], weights=None, num_classes=num_classes)
    if name == "shufflenet_v2":
        network.conv1[0] = nn.Conv2d(3, 24, 1, bias=False)
        network.maxpool = nn.Identity()
    return split(network)
