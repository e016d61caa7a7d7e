"""How teachers are trained: settings by network and data set, each with its source.

Augmentation is the usual one of the data set, `data.augmentation`.
"""

import math
from dataclasses import dataclass
from typing import Any

from ..errors import UserError


@dataclass(frozen=True)
class TeacherRecipe:
    """Supervised training by SGD. The defaults are MAD's for CIFAR (appendix A.2)."""

    epochs: int = 160
    lr: float = 0.1
    batch: int = 128
    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 5e-4
    # step: ×0.1 after 1/2 and 3/4 of the epochs | cosine, to 0 | one_cycle: up during
    # the first fifth, then down to 0, both linearly
    schedule: str = "step"
    warmup: int = 0  # epochs in which the learning rate rises linearly
    shift: int | None = None  # pixels at most; None: as usual for the data set
    alternate: bool = False  # flip an image in every second epoch, not at random
    scale: float = 1.0  # of the trained network's logits
    gamma: float = 0.0  # of the focal loss (Lin et al. 2017); 0: cross entropy
    source: str = "MAD A.2"

    def lr_factor(self, step: int, steps_per_epoch: int) -> float:
        """The factor of the learning rate at a step, counted from 0."""
        if step < self.warmup * steps_per_epoch:
            return (step + 1) / (self.warmup * steps_per_epoch)
        progress = step / (self.epochs * steps_per_epoch)
        if self.schedule == "one_cycle":
            return min(5 * (progress + 1e-3), (1 - progress) / 0.8)
        if self.schedule == "cosine":
            return (1 + math.cos(math.pi * progress)) / 2
        return 0.1 ** ((progress >= 1 / 2) + (progress >= 3 / 4))


# At a rate of 0.1 LeNet-5 learns as well, but students followed it far worse.
_LENET = {"epochs": 20, "lr": 0.01, "nesterov": True, "schedule": "cosine"}
_ALEXNET = {"lr": 0.01, "weight_decay": 1e-4, "batch": 512, "warmup": 5}
_LOWER = {"lr": 0.05, "source": "MAD A.2; rate: ours, lower for this network"}
_VARIANT = {"epochs": 60, "lr": 0.05, "batch": 32, "nesterov": True}
_VARIANT |= {"schedule": "cosine", "source": "ours"}
# A twelfth to an eighth of the epochs: a laptop's teacher. Small shifts and alternating
# flips gain in short trainings (airbench); smoothed labels would, too, but they blur
# what a student learns from.
_SHORT = {"lr": 0.3, "batch": 256, "nesterov": True, "schedule": "one_cycle"}
_SHORT |= {"epochs": 20, "shift": 2, "alternate": True, "source": "ours"}
# rate, decay and schedule: ours
_SEGMENTATION = {"batch": 16, "epochs": 200, "gamma": 2.0, "schedule": "cosine"}
_SEGMENTATION |= {"source": "DFAD's code: focal loss, batch, epochs; else ours"}
# By the beginnings of the network's and the data set's name; the first that fit count.
TABLE: dict[tuple[str, str], dict[str, Any]] = {
    ("lenet", ""): _LENET | {"source": "ours: 99.33 % on MNIST, 99.1 % on digits"},
    ("mlp", ""): _LENET | {"epochs": 60, "lr": 0.1, "source": "ours"},
    ("conv_early", ""): _VARIANT | {"epochs": 12},
    ("conv_plain", ""): _VARIANT | {"epochs": 200},  # learns slowly without a norm
    ("conv_sharp", ""): _VARIANT | {"scale": 4.0},
    ("conv_soft", ""): _VARIANT | {"scale": 0.25},
    ("conv", ""): _VARIANT,
    ("vit", ""): _VARIANT,
    ("alexnet", ""): _ALEXNET | {"nesterov": True, "source": "MAD A.2 for Food101; "
     "warm-up and Nesterov are inferred, since its Table 4 has no headings"},
    ("", "svhn"): {"lr": 0.01, "source": "MAD A.2; rate: the Wide ResNet paper's"},
    ("", "caltech101"): {"lr": 0.05, "source": "MAD A.2; rate: DFAD A.2, student"},
    ("", "tiny_imagenet"): {"batch": 256},
    ("wrn16_2", "cifar"): _SHORT,
    ("wrn40_2", "cifar"): _SHORT | {"epochs": 12},
    ("deeplab", "scenes"): _SEGMENTATION | {"epochs": 60, "nesterov": True},
    ("deeplab", ""): _SEGMENTATION | {"nesterov": True},
    ("vgg", ""): _LOWER,
    ("shufflenet", ""): _LOWER,
    ("", ""): {},
}  # fmt: skip


def teacher_recipe(dataset: str, network: str, images: int) -> TeacherRecipe:
    """The recipe for a network on a data set of so many training images.

    ``TeacherRecipe()`` is the papers' for CIFAR, of 160 epochs.
    """
    if dataset in ("imagenet", "places365"):
        raise UserError(
            f"teacher: none is trained on {dataset} here; give torchvision:alexnet, or "
            "trained weights of your own, as in weights.safetensors:alexnet"
        )
    fits = (n for n in TABLE if network.startswith(n[0]) and dataset.startswith(n[1]))
    settings = TABLE[next(fits)]
    if network.startswith("lenet") and images < 10_000:  # 20 epochs are too few steps
        settings = settings | {"epochs": 100}
    return TeacherRecipe(**settings)
