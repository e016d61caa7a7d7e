"""Network definitions, and the one place that turns a name into a network."""

from torch import nn

from ..errors import one_of
from .generators import ConditionalGenerator, GeneratorA, MADGenerator
from .lenet import LeNet5
from .wide_resnet import WideResNet

__all__ = ["ConditionalGenerator", "GeneratorA", "LeNet5", "MADGenerator", "WideResNet", "build"]

CLASSIFIERS = {
    "lenet5": lambda classes: LeNet5(classes),
    "lenet5_half": lambda classes: LeNet5(classes, half=True),
    "wrn40_2": lambda classes: WideResNet(40, 2, classes),
    "wrn16_2": lambda classes: WideResNet(16, 2, classes),
}


def build(name: str, num_classes: int) -> nn.Module:
    """The classifier called `name`, freshly initialised from torch's global random state.

    Raises
    ------
    UserError
        if there is no network of that name.
    """
    return CLASSIFIERS[one_of("network", name, CLASSIFIERS)](num_classes)
