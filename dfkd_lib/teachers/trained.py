"""A trained network, what is known of it, and how good it is."""

import hashlib
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int, Integer
from safetensors.torch import save as to_bytes
from torch import Tensor, nn

from ..data import VOID, Dataset, Images
from ..losses import Labels, Logits, kl

# Mean and standard deviation of each channel, of pixels from 0 to 1.
Constants = tuple[tuple[float, ...], tuple[float, ...]]


@dataclass(frozen=True)
class Teacher:
    """A trained network in evaluation mode, and what is known of it."""

    name: str
    network: nn.Module
    accuracy: float | None  # percent of the data set's test images; None without any
    hash: str  # SHA-256 of its weights file, or of what `weights` returns
    constants: Constants | None = None  # what its source normalises images by, if known


def weights(network: nn.Module) -> bytes:
    """The network's state as the content of a safetensors file."""
    state = {k: v for k, v in network.state_dict().items() if isinstance(v, Tensor)}
    # Copies: safetensors refuses tensors that share memory, as tied weights do.
    return to_bytes({k: v.cpu().clone().contiguous() for k, v in state.items()})


def digest(data: bytes) -> str:
    """SHA-256, in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


@torch.no_grad()
def logits_of(
    network: nn.Module, x: Float[Tensor, "n c h w"] | Images, batch: int = 512
) -> Logits:
    """A network's logits in evaluation mode; its mode is restored afterwards."""
    images, training = isinstance(x, Images), network.training
    parts = (torch.arange(len(x), device=x.y.device) if images else x).split(batch)
    network.eval()
    try:
        # A CUDA graph overwrites its last output, so each is cloned.
        return torch.cat([network(x.batch(p) if images else p).clone() for p in parts])
    finally:
        network.train(training)


def accuracy(logits: Logits, y: Labels) -> float:
    """Percent of images, or of pixels but void ones, whose largest logit is right."""
    right = logits.argmax(1) == y
    right = right[y != VOID] if y.ndim > 1 else right
    return 100 * right.double().mean().item()


def accuracy_on(network: nn.Module, dataset: Dataset, device: str = "cpu") -> float:
    """Percent of the test images that a network, already on that device, gets right.

    With label maps, percent of their pixels.
    """
    images = Images.of(dataset, device, "test")
    if dataset.crop:
        return segmentation(network, network, images).accuracy
    return accuracy(logits_of(network, images), images.y)


def confusion(
    y: Integer[Tensor, "*pixels"], answers: Int[Tensor, "*pixels"], classes: int
) -> Int[Tensor, "classes classes"]:
    """How many pixels of each class (row) have each answer; void ones are left out."""
    known = y < classes
    pairs = y[known].long() * classes + answers[known]
    return pairs.bincount(minlength=classes**2).view(classes, classes)


def miou(counts: Int[Tensor, "classes classes"]) -> float:
    """Mean intersection over union in percent, of the classes that occur, if any."""
    both = counts.diagonal().double()
    either = counts.sum(0) + counts.sum(1) - both
    return 100 * (both / either)[either > 0].mean().item()


@dataclass(frozen=True)
class Scores:
    """Of images, or of pixels: in percent; KL(p_T ‖ p_S) in nats, over all of them."""

    accuracy: float | None  # None without labels
    agreement: float
    kl: float
    miou: float | None = None  # of pixels, in percent; None for labels of images


@torch.no_grad()
def segmentation(
    student: nn.Module, teacher: nn.Module, images: Images, batch: int = 16
) -> Scores:
    """A student and its teacher on whole images with label maps, in evaluation mode.

    Batch by batch: the logits of all pixels would fill the memory.
    """
    training, total, right, same = student.training, 0.0, 0, 0
    student.eval()
    for part in torch.arange(len(images), device=images.y.device).split(batch):
        x = images.batch(part)
        logits = student(x)
        answers = logits if teacher is student else teacher(x)
        counted, n = logits.argmax(1), logits.shape[1]
        right = right + confusion(images.y[part], counted, n)
        same = same + confusion(answers.argmax(1), counted, n)
        total += kl(answers, logits).item() * len(part)
    student.train(training)
    hits = [100 * (m.diagonal().sum() / m.sum()).item() for m in (right, same)]
    return Scores(*hits, total / len(images), miou(right))


def least_accuracy(y: Integer[np.ndarray, "n *pixels"]) -> float:
    """The accuracy in percent below which a network has learned next to nothing.

    A network that always answers the most frequent class reaches that class's
    fraction. At least twice that is required, or a tenth of the way from it to 100 %.
    """
    y = y[y != VOID] if y.ndim > 1 else y
    fraction = 100 * np.bincount(y).max() / len(y)
    return float(fraction + min(fraction, (100 - fraction) / 10))
