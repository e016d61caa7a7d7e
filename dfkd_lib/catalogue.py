"""The names of networks and data sets, and what must be known of each before anything is loaded. No torch here."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Input:
    """What images a network takes; None: any number of channels, or any size."""

    channels: int | None
    size: int | None = 32


@dataclass(frozen=True)
class Images:
    """A data set's classes, and its images as the networks see them: square, of `size` pixels.

    `mean` and `std` normalise a channel of the training pixels, scaled to [0, 1]; `source` says where they come from.
    """

    classes: int
    channels: int
    size: int
    mean: tuple[float, ...] | None
    std: tuple[float, ...] | None
    source: str

    @property
    def short_side(self) -> int:
        """To what photographs are reduced before their middle is cut out: 256 for 224, as ImageNet's tests do."""
        return 256 if self.size == 224 else self.size


NETWORKS: dict[str, Input] = {
    "alexnet": Input(3, None),  # at least 63×63
    "lenet5": Input(1),
    "lenet5_half": Input(1),
    "mlp": Input(2, 1),
    "mlp_half": Input(2, 1),
    "resnet18": Input(3, None),
    "resnet18_8x": Input(3, None),
    "resnet34": Input(3, None),
    "resnet34_8x": Input(3, None),
    "resnet32x4": Input(3),
    "resnet110": Input(3),
    "resnet110x2": Input(3),
    "resnet116": Input(3),
    "shufflenet_v2": Input(3),
    "vgg11_bn": Input(3),
    "vgg13_bn": Input(3),
    "vgg16_bn": Input(3),
    "wrn16_1": Input(3),
    "wrn16_2": Input(3),
    "wrn40_1": Input(3),
    "wrn40_2": Input(3),
}

# Where no figure is well known, they are computed: over all training images, or over 10,000 of image files.
_OWN_PIXELS = "computed from the training pixels when loaded"
_PUBLISHED = "the published figures"
_GREY_28 = "the published figures, of the 28×28 training images"
_CIFAR10 = ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616))
_CIFAR100 = ((0.5071, 0.4866, 0.4409), (0.2673, 0.2564, 0.2762))
_CINIC10 = ((0.4789, 0.4723, 0.4305), (0.2421, 0.2383, 0.2587))
_SVHN = ((0.4377, 0.4438, 0.4728), (0.1980, 0.2010, 0.1970))
_TINY = ((0.4802, 0.4481, 0.3975), (0.2770, 0.2691, 0.2821))
_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_IMAGENETS = "ImageNet's, as torchvision's networks take them"

DATASETS: dict[str, Images] = {
    "digits": Images(10, 1, 32, None, None, _OWN_PIXELS),
    "digits_half": Images(10, 1, 32, None, None, _OWN_PIXELS),
    "digits_hybrid": Images(10, 1, 32, None, None, _OWN_PIXELS),
    "digits_rest": Images(10, 1, 32, None, None, _OWN_PIXELS),  # what digits_hybrid leaves, to collect from
    "moons": Images(2, 2, 1, None, None, _OWN_PIXELS),  # points, as images of one pixel
    "mnist": Images(10, 1, 32, (0.1307,), (0.3081,), _GREY_28),
    "fashion_mnist": Images(10, 1, 32, (0.2860,), (0.3530,), _GREY_28),
    "kmnist": Images(10, 1, 32, (0.1918,), (0.3483,), _GREY_28),
    "usps": Images(10, 1, 32, None, None, _OWN_PIXELS),
    "svhn": Images(10, 3, 32, *_SVHN, _PUBLISHED),
    "cifar10": Images(10, 3, 32, *_CIFAR10, _PUBLISHED),
    # DFAD's code takes CIFAR-10's for CIFAR-100 too.
    "cifar100": Images(100, 3, 32, *_CIFAR100, "computed; equal to the published figures"),
    "cinic10": Images(10, 3, 32, *_CINIC10, "the published figures, of its authors' README"),
    "tiny_imagenet": Images(200, 3, 64, *_TINY, _PUBLISHED),
    "tiny_imagenet_32": Images(200, 3, 32, None, None, _OWN_PIXELS),
    "caltech101": Images(101, 3, 128, *_IMAGENET, _IMAGENETS),
    "food101": Images(101, 3, 224, *_IMAGENET, _IMAGENETS),
    "places365": Images(365, 3, 224, *_IMAGENET, _IMAGENETS),
    "imagenet": Images(1000, 3, 224, *_IMAGENET, _IMAGENETS),
    "ham10000": Images(7, 3, 224, *_IMAGENET, _IMAGENETS),
}
