"""What is known of networks and data sets before anything is loaded."""

from typing import Any, NamedTuple


class Input(NamedTuple):
    """The images that a network takes; size None: any."""

    channels: int
    size: int | None = 32


_CIFARS = "resnet32x4 resnet110 resnet110x2 resnet116 shufflenet_v2 vgg11_bn vgg13_bn "
_CIFARS += "vgg16_bn wrn16_1 wrn16_2 wrn40_1 wrn40_2"
_ANY_SIZE = (
    "alexnet resnet18 resnet18_8x resnet34 resnet34_8x"  # alexnet: 63×63 or more
)
NETWORKS: dict[str, Input] = {
    **dict.fromkeys(("lenet5", "lenet5_half"), Input(1)),
    **dict.fromkeys(("mlp", "mlp_half"), Input(2, 1)),
    **dict.fromkeys(_ANY_SIZE.split(), Input(3, None)),
    **dict.fromkeys(_CIFARS.split(), Input(3)),
}


class Facts(NamedTuple):
    """Classes, and images as the networks see them: square, of `size` pixels.

    `mean` and `std` normalise pixels scaled to [0, 1]; None: computed when loaded.
    """

    classes: int
    channels: int
    size: int
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None


_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_TINY = ((0.4802, 0.4481, 0.3975), (0.2770, 0.2691, 0.2821))
# the published figures; MNIST's and its kin's are of the 28×28 images
DATASETS: dict[str, Facts] = {
    "digits": Facts(10, 1, 32),
    "digits_half": Facts(10, 1, 32),
    "digits_hybrid": Facts(10, 1, 32),
    "digits_rest": Facts(10, 1, 32),  # what digits_hybrid leaves, to collect from
    "moons": Facts(2, 2, 1),  # points, as images of one pixel
    "mnist": Facts(10, 1, 32, (0.1307,), (0.3081,)),
    "fashion_mnist": Facts(10, 1, 32, (0.2860,), (0.3530,)),
    "kmnist": Facts(10, 1, 32, (0.1918,), (0.3483,)),
    "usps": Facts(10, 1, 32),
    "svhn": Facts(10, 3, 32, (0.4377, 0.4438, 0.4728), (0.1980, 0.2010, 0.1970)),
    "cifar10": Facts(10, 3, 32, (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
    # DFAD's code uses CIFAR-10's for CIFAR-100 too
    "cifar100": Facts(100, 3, 32, (0.5071, 0.4866, 0.4409), (0.2673, 0.2564, 0.2762)),
    "cinic10": Facts(10, 3, 32, (0.4789, 0.4723, 0.4305), (0.2421, 0.2383, 0.2587)),
    "tiny_imagenet": Facts(200, 3, 64, *_TINY),
    "tiny_imagenet_32": Facts(200, 3, 32),
    "caltech101": Facts(101, 3, 128, *_IMAGENET),
    "food101": Facts(101, 3, 224, *_IMAGENET),
    "places365": Facts(365, 3, 224, *_IMAGENET),
    "imagenet": Facts(1000, 3, 224, *_IMAGENET),
    "ham10000": Facts(7, 3, 224, *_IMAGENET),
}


def augmentation(name: str, channels: int, size: int) -> dict[str, Any]:
    """The arguments of `augment` that are usual for a data set's training images."""
    if channels == 1 or size == 1:  # grey images; points
        return {"pad": 0 if size == 1 else 2, "mode": "replicate", "flip": False}
    # 4 of CIFAR's 32 pixels, black; a mirrored digit is none
    return {"pad": size // 8, "mode": "zeros", "flip": name != "svhn"}
