"""How images lie in memory, for networks that mind."""

import itertools

import torch
from torch import nn

from .classifier import Classifier


def keep_readable(network: nn.Module, shape: tuple[int, int, int]) -> None:
    """Give a network that fails on channels-last images, as ``x.view(len(x), -1)`` does, contiguous ones; in place.

    `shape`: an image's channels, height and width. The library's own networks read both layouts, and are not tried.
    """
    if isinstance(network, Classifier):
        return
    held = itertools.chain(network.parameters(), network.buffers())
    device = next((tensor.device for tensor in held), torch.device("cpu"))
    x = torch.zeros(2, *shape, device=device).to(memory_format=torch.channels_last)
    training = network.training
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            network.eval()(x)
    except RuntimeError:
        network.to(memory_format=torch.contiguous_format)
        network.register_forward_pre_hook(lambda _, images: (images[0].contiguous(), *images[1:]))
    finally:
        network.train(training)
