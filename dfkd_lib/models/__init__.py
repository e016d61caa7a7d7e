"""Network definitions, and the one place that turns a name into a network."""

from ..errors import one_of
from .classifier import Classifier, Features, classifier_of, embedding_and_logits
from .generators import Generator, GeneratorA, GeneratorB
from .lenet import LeNet5
from .mad_generators import ConditionalGenerator, MADGenerator, MADResNetGenerator, conditioned
from .plane import MLP, Flow, flow_for, grid
from .resnet import ResNet
from .torchvision_networks import alexnet, resnet18, resnet34, shufflenet_v2, split, torchvision_names
from .vgg import VGG
from .wide_resnet import WideResNet

__all__ = [
    "MLP",
    "VGG",
    "Classifier",
    "ConditionalGenerator",
    "Features",
    "Flow",
    "Generator",
    "GeneratorA",
    "GeneratorB",
    "LeNet5",
    "MADGenerator",
    "MADResNetGenerator",
    "ResNet",
    "WideResNet",
    "build",
    "classifier_of",
    "conditioned",
    "embedding_and_logits",
    "flow_for",
    "grid",
    "split",
    "torchvision_names",
]

CLASSIFIERS = {
    "lenet5": lambda classes: LeNet5(classes),
    "lenet5_half": lambda classes: LeNet5(classes, half=True),
    "mlp": lambda classes: MLP(classes),
    "mlp_half": lambda classes: MLP(classes, half=True),
    # DFAD, and after it MAD and HiDFD
    "resnet18_8x": lambda classes: ResNet(64, (2, 2, 2, 2), (64, 128, 256, 512), classes),
    "resnet34_8x": lambda classes: ResNet(64, (3, 4, 6, 3), (64, 128, 256, 512), classes),
    "resnet18": resnet18,
    "resnet34": resnet34,
    # MAD
    "wrn40_2": lambda classes: WideResNet(40, 2, classes),
    "wrn16_2": lambda classes: WideResNet(16, 2, classes),
    "alexnet": alexnet,
    # HiDFD
    "vgg11_bn": lambda classes: VGG(11, classes),
    "vgg13_bn": lambda classes: VGG(13, classes),
    "vgg16_bn": lambda classes: VGG(16, classes),
    "resnet32x4": lambda classes: ResNet(32, (5, 5, 5), (64, 128, 256), classes),
    "resnet110": lambda classes: ResNet(16, (18, 18, 18), (16, 32, 64), classes),
    "resnet110x2": lambda classes: ResNet(16, (18, 18, 18), (32, 64, 128), classes),
    "resnet116": lambda classes: ResNet(16, (19, 19, 19), (16, 32, 64), classes),
    "shufflenet_v2": shufflenet_v2,
    # students of the same kind, narrower
    "wrn40_1": lambda classes: WideResNet(40, 1, classes),
    "wrn16_1": lambda classes: WideResNet(16, 1, classes),
}


def build(name: str, num_classes: int) -> Classifier:
    """The classifier called `name`, freshly initialised from torch's global random state.

    Raises
    ------
    UserError
        if there is no network of that name.
    """
    return CLASSIFIERS[one_of("network", name, CLASSIFIERS)](num_classes)
