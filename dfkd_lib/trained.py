"""A trained network, and what is known of it."""

import hashlib
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int
from safetensors.torch import save as to_bytes
from torch import nn

from .data import Dataset
from .evaluation import logits_of

_BATCH = 512


Constants = tuple[tuple[float, ...], tuple[float, ...]]  # mean and std of each channel, of pixels from 0 to 1


@dataclass(frozen=True)
class Teacher:
    """A trained network in evaluation mode, and what is known of it."""

    name: str
    network: nn.Module
    accuracy: float | None  # percent, on the data set's test split; None where there is no data set
    hash: str  # SHA-256 of its weights file, or of the file that `weights` makes
    constants: Constants | None = None  # by which its images are normalised, where its source tells and no data set


def weights(network: nn.Module) -> bytes:
    """The network's state as the content of a safetensors file."""
    state = {key: value for key, value in network.state_dict().items() if isinstance(value, torch.Tensor)}
    # Copies, since safetensors refuses tensors that share memory, as tied weights do.
    return to_bytes({key: value.detach().cpu().clone().contiguous() for key, value in state.items()})


def digest(data: bytes) -> str:
    """SHA-256, in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def accuracy_on(network: nn.Module, dataset: Dataset, device: str = "cpu") -> float:
    """Percent of the test split that the network, on that device, gets right; normalised part by part."""
    right = 0
    for start in range(0, len(dataset.x_test), _BATCH):
        part = slice(start, start + _BATCH)
        x = torch.from_numpy(dataset.normalise(dataset.x_test[part])).to(device)
        right += int((logits_of(network, x).argmax(1).cpu() == torch.from_numpy(dataset.y_test[part])).sum())
    return 100 * (right / len(dataset.y_test))


def least_accuracy(y: Int[np.ndarray, " test"]) -> float:
    """The accuracy, in percent, below which a network has learned next to nothing.

    A network that always answers the commonest class has that class's share: at least twice that is asked, or a tenth
    of the way from there to 100 %, whichever is less. The share is large for two classes, or for unequal ones.
    """
    share = 100 * np.bincount(y).max() / len(y)
    return float(share + min(share, (100 - share) / 10))
