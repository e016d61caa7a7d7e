"""A trained network, what is known of it, and how good it is."""

import hashlib
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from safetensors.torch import save as to_bytes
from torch import Tensor, nn

from ..data import Dataset, Images

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
) -> Float[Tensor, "n classes"]:
    """A network's logits in evaluation mode; its mode is restored afterwards."""
    images, training = isinstance(x, Images), network.training
    parts = (torch.arange(len(x), device=x.y.device) if images else x).split(batch)
    network.eval()
    try:
        # A CUDA graph overwrites its last output, so each is cloned.
        return torch.cat([network(x.batch(p) if images else p).clone() for p in parts])
    finally:
        network.train(training)


def accuracy(logits: Float[Tensor, "n classes"], y: Int[Tensor, " n"]) -> float:
    """Percent of images whose largest logit is their label's."""
    return 100 * (logits.argmax(1) == y).double().mean().item()


def accuracy_on(network: nn.Module, dataset: Dataset, device: str = "cpu") -> float:
    """Percent of the test images that a network, already on that device, gets right."""
    images = Images.of(dataset, device, "test")
    return accuracy(logits_of(network, images), images.y)


def least_accuracy(y: Int[np.ndarray, " n"]) -> float:
    """The accuracy in percent below which a network has learned next to nothing.

    A network that always answers the most frequent class reaches that class's
    fraction. At least twice that is required, or a tenth of the way from it to 100 %.
    """
    fraction = 100 * np.bincount(y).max() / len(y)
    return float(fraction + min(fraction, (100 - fraction) / 10))
