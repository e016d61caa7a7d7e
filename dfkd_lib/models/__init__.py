# ruff: noqa: F401, I001  (long imports in a few lines)
"""Network definitions, and the functions that turn a name into a network."""

import math
from functools import partial

from ..errors import one_of
from .classifiers import (
    LeNet5, ResNet, VGG, WideResNet, from_torchvision, torchvision_names,
)  # fmt: skip
from .generators import (
    ConditionalGenerator, GeneratorA, GeneratorB, MADGenerator, MADResNetGenerator,
)  # fmt: skip
from .network import (
    Classifier, Cut, Features, Foreign, Generator, Network, classifier_of,
    embedding_and_logits, place,
)  # fmt: skip
from .plane import MLP, Flow, grid
from .segmentation import deeplab_small, deeplabv3_mobilenetv2, deeplabv3_resnet50
from .variants import ConvNet, small_vit

_WIDTHS = (64, 128, 256, 512)
CLASSIFIERS = {
    "lenet5": LeNet5,
    "lenet5_half": partial(LeNet5, half=True),
    "mlp": MLP,
    "mlp_half": partial(MLP, half=True),
    # DFAD, and after it MAD and HiDFD
    "resnet18_8x": partial(ResNet, 64, (2, 2, 2, 2), _WIDTHS),
    "resnet34_8x": partial(ResNet, 64, (3, 4, 6, 3), _WIDTHS),
    "resnet18": partial(from_torchvision, "resnet18"),
    "resnet34": partial(from_torchvision, "resnet34"),
    # MAD
    "wrn40_2": partial(WideResNet, 40, 2),
    "wrn16_2": partial(WideResNet, 16, 2),
    "alexnet": partial(from_torchvision, "alexnet"),
    # HiDFD
    "vgg11_bn": partial(VGG, 11),
    "vgg13_bn": partial(VGG, 13),
    "vgg16_bn": partial(VGG, 16),
    "resnet32x4": partial(ResNet, 32, (5, 5, 5), (64, 128, 256)),
    "resnet110": partial(ResNet, 16, (18, 18, 18), (16, 32, 64)),
    "resnet110x2": partial(ResNet, 16, (18, 18, 18), (32, 64, 128)),
    "resnet116": partial(ResNet, 16, (19, 19, 19), (16, 32, 64)),
    "shufflenet_v2": partial(from_torchvision, "shufflenet_v2"),
    # students of the same kind, narrower
    "wrn40_1": partial(WideResNet, 40, 1),
    "wrn16_1": partial(WideResNet, 16, 1),
    # teachers that differ in one property, of the network or of its training
    "conv": ConvNet,
    "conv_narrow": partial(ConvNet, width=8),
    "conv_wide": partial(ConvNet, width=32),
    "conv_deep": partial(ConvNet, depth=3),
    "conv_group": partial(ConvNet, norm="group"),
    "conv_plain": partial(ConvNet, norm="none"),
    "conv_sharp": ConvNet,
    "conv_soft": ConvNet,
    "conv_early": ConvNet,
    "vit_small": small_vit,
    # logits for every pixel
    "deeplabv3_resnet50": deeplabv3_resnet50,
    "deeplabv3_mobilenetv2": deeplabv3_mobilenetv2,
    "deeplab_small": deeplab_small,
    "deeplab_small_half": partial(deeplab_small, half=True),
}

# Called with (inputs, channels, size, width).
GENERATORS = {
    "generator_a": GeneratorA,
    "generator_b": GeneratorB,
    "flow": lambda z, channels, size, _: Flow(z, channels, size),
    "mad_cifar": lambda z, channels, size, _: MADGenerator(z, channels, size),
    "mad_tiny_imagenet": lambda z, channels, size, _: MADGenerator(z, channels, size),
    "mad_imagenet": lambda z, c, s, _: MADResNetGenerator(z, c, math.ceil(s / 64) * 64),
}


def build(name: str, num_classes: int) -> Classifier:
    """The classifier `name`, freshly initialised from torch's random state."""
    return CLASSIFIERS[one_of("network", name, CLASSIFIERS)](num_classes)


def generator(
    name: str, *, z_dim: int, channels: int, size: int, width: int, num_classes: int,
    conditioning: str = "none",
) -> Generator:  # fmt: skip
    """The generator `name`, given its class by `conditioning` (MAD App. B.3).

    Only DFAD's generators read `width`. mad_imagenet doubles its grid six times: its
    `size` is the next multiple of 64 (256 for teachers of 224, as in MAD Table 8).
    """
    make = GENERATORS[one_of("generator", name, GENERATORS)]
    one_of("conditioning", conditioning, ("cat", "none", "sum"))
    made = make(z_dim * (1 + (conditioning == "cat")), channels, size, width)
    if conditioning == "none":
        return made
    return ConditionalGenerator(made, num_classes, conditioning)
