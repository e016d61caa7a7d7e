"""How teachers are trained: settings by the kind of network and the data set, each with its source. No torch here."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

from .errors import UserError


@dataclass(frozen=True)
class TeacherRecipe:
    """Supervised training by SGD. The defaults are MAD's for CIFAR-10 and CIFAR-100 (appendix A.2)."""

    epochs: int = 160
    lr: float = 0.1
    batch: int = 128
    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 5e-4
    schedule: str = "step"  # step (×0.1 at `milestones`) | cosine (down to 0, step by step)
    milestones: tuple[float, ...] = (1 / 2, 3 / 4)  # as shares of the epochs: 80 and 120 of 160
    warmup: int = 0  # epochs in which the learning rate rises to its full value, in a straight line
    pad: int = 4  # pixels by which an image is shifted, at most, each way
    border: str = "zeros"  # what a shifted image shows behind its border: zeros (black) | replicate
    flip: bool = True  # mirror every other image
    gpu_precision: str = "bfloat16"  # autocast with channels last, on a GPU only; a CPU computes in float32
    source: str = "MAD A.2; shifts and flips, which it does not mention: ours, the usual ones"

    def replace(self, **changes: Any) -> "TeacherRecipe":
        """A copy with some values changed."""
        return dataclasses.replace(self, **changes)

    def lr_factor(self, step: int, steps_per_epoch: int) -> float:
        """What the learning rate is multiplied by at a step, counted from 0."""
        steps = self.epochs * steps_per_epoch
        if step < self.warmup * steps_per_epoch:
            return (step + 1) / (self.warmup * steps_per_epoch)
        if self.schedule == "cosine":
            return (1 + math.cos(math.pi * step / steps)) / 2
        return 0.1 ** sum(step >= share * steps for share in self.milestones)


# LeNet-5's are ours: at a rate of 0.1 it learns as well, but in our trials students followed it far worse.
_LENET = TeacherRecipe(
    epochs=20,
    lr=0.01,
    nesterov=True,
    schedule="cosine",
    pad=2,
    border="replicate",
    flip=False,
    gpu_precision="float32",
    source="ours: 99.33 % on MNIST, 99.1 % on the digits",
)
_FEW_IMAGES = 10_000  # of fewer, 20 epochs are too few steps: the digits' 1,347 get 100
_MLP = _LENET.replace(lr=0.1, epochs=60, pad=0, source="ours")
_RESNET = TeacherRecipe()
_ALEXNET = _RESNET.replace(
    lr=0.01,
    weight_decay=1e-4,
    batch=512,
    warmup=5,
    nesterov=True,
    source="MAD A.2 for Food101; its Table 4 lost its headings: warm-up and Nesterov are inferred; augmentation: ours",
)

# What differs from a network's kind on one data set, and why.
_TINY = {"batch": 256, "source": _RESNET.source + "; batch: MAD A.2 for TinyImageNet"}
_BY_DATASET: dict[str, dict[str, Any]] = {
    "tiny_imagenet": _TINY,
    "tiny_imagenet_32": _TINY,
    "svhn": {"lr": 0.01, "source": "as for CIFAR (MAD A.2), with the rate of the wide ResNets' own paper for SVHN"},
    "caltech101": {"lr": 0.05, "source": "as for CIFAR (MAD A.2); rate: DFAD A.2, where it is the student's"},
}
_NOT_MIRRORED = ("svhn",)  # a mirrored digit is none

# Too large to be trained here, and what to give instead.
NEVER_TRAINED = {
    "imagenet": "give torchvision:alexnet, or another classifier of torchvision's or timm's",
    "places365": "give a trained one of your own, as in weights.safetensors:alexnet",
}


def check_trainable(dataset: str) -> None:
    """Refuse the data sets that no teacher is trained on here."""
    if dataset in NEVER_TRAINED:
        raise UserError(f"teacher: none is trained on {dataset} here; {NEVER_TRAINED[dataset]}")


def teacher_recipe(dataset: str, network: str, *, images: int, size: int) -> TeacherRecipe:
    """The recipe for a network on a data set of so many training images, of `size` pixels a side."""
    if network.startswith("mlp"):
        return _MLP
    if network.startswith("lenet"):
        return _LENET.replace(epochs=100) if images < _FEW_IMAGES else _LENET
    recipe = _RESNET.replace(pad=size // 8, flip=dataset not in _NOT_MIRRORED)  # 4 pixels of CIFAR's 32
    if network.startswith("alexnet"):
        return _ALEXNET.replace(pad=recipe.pad, flip=recipe.flip)
    recipe = recipe.replace(**_BY_DATASET.get(dataset, {}))
    if network.startswith(("vgg", "shufflenet")):
        return recipe.replace(
            lr=min(recipe.lr, 0.05), source=f"{recipe.source}; rate at most 0.05 for this kind of network: ours"
        )
    return recipe
