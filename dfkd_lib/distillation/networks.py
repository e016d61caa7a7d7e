"""What `distill` asks of networks and of the constants that normalise images."""

import copy
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn

from ..errors import UserError, one_of, real, shown, told
from ..losses import kl
from ..models import CLASSIFIERS, build
from ..models.network import Shape
from ..teachers import Constants, Teacher, accuracy, digest, logits_of, weights
from ..teachers.foreign import as_foreign, copied, library_of, task_of, try_out
from ..teachers.names import LIBRARIES


def square_shape(input_shape: Any, num_classes: Any) -> tuple[int, int]:
    """An image's channels and side; a UserError for what no generator makes."""
    _, (channels, height, width) = task_of(None, num_classes, input_shape)
    step = 4 if height <= 64 else 16
    if height != width or height % step:
        near = max(height, width) // step * step or step
        raise UserError(
            f"input_shape: {input_shape} is not allowed; images must be square, with a "
            f"side that divides by {step}, as in ({channels}, {near}, {near})"
        )
    return channels, height


def student_of(source: Any, shape: Shape, num_classes: int) -> tuple[Callable, dict]:
    """A function that makes the student, from torch's random state; and its name."""
    library, _, name = str(source).partition(":")
    called = {"name": source}
    if isinstance(source, nn.Module):
        own = copied("student", source).requires_grad_(True)
        called = {"name": type(source).__name__, "hash": digest(weights(own))}
        make = partial(copy.deepcopy, own)
    elif library in LIBRARIES and name:
        module, options = library_of("student", library, name), {"in_chans": shape[0]}
        create = module.create_model if library == "timm" else module.get_model
        options = options if library == "timm" else {}
        make = partial(create, name, num_classes=num_classes, **options)
    elif name:
        line = f"student: {shown(source)} is not known; give a module, a network's name"
        raise UserError(f"{line}, torchvision:NAME or timm:NAME")
    else:
        make = partial(build, one_of("student", source, CLASSIFIERS), num_classes)
    with torch.random.fork_rng(devices=[]):
        for mode in (False, True):  # some networks answer differently in training
            try_out("student", called["name"], make().train(mode), num_classes, shape)
    return lambda: as_foreign(make()), called


def check_play(role: str, network: nn.Module, shape: Shape) -> None:
    """Refuse batches of one size only, changed images, and images without gradient."""
    for n in (1, 3):
        images = torch.randn(n, *shape, requires_grad=True)
        fails = f"{role}: it fails on {n} images or in the backward pass"
        todo = "give a module for batches of any size that changes no image in place "
        todo += "and works without inference_mode"
        with told(fails, todo, RuntimeError):
            logits = network.eval()(images)
            if logits.requires_grad:
                logits.sum().backward()
        if images.grad is None:
            line = f"{role}: its logits have no gradient with respect to its images, so"
            todo = "remove no_grad, detach or quantisation"
            raise UserError(f"{line} the generator cannot learn; {todo}")


def constants_of(teacher: Teacher, channels: int, mean: Any, std: Any) -> Constants:
    """Mean and std of each channel: as given, else as the teacher's source has them."""
    if mean is None and std is None and teacher.constants:
        return teacher.constants
    if mean is None or std is None:
        raise UserError(
            f"mean, std: give both, those by which the images of {teacher.name} were "
            "normalised, one number per channel; mean=(0.0,), std=(1.0,) if it takes "
            "pixels from 0 to 1"
        )
    for name, value, low in (("mean", mean, 0), ("std", std, 1e-6)):
        if not isinstance(value, tuple | list) or len(value) not in (1, channels):
            line = (
                f"{name}: {shown(value)} is not allowed; give {channels} numbers, one"
            )
            raise UserError(f"{line} per channel, or one number for all")
        for number in value:
            real(name, number, low, 1)  # of pixels from 0 to 1
    mean, std = (tuple(map(float, value)) for value in (mean, std))
    return (mean * channels)[:channels], (std * channels)[:channels]


def seen_constants(constants: Constants) -> Constants:
    """The constants of the images that the generator makes, of mean 0 and variance 1.

    The teacher's own, if they can be moments of its data: pixels from 0 to 1 of mean m
    have a variance below m (1 − m), and no data set's std is below 1/32. Otherwise they
    describe a range, such as 0 to 255 or −1 to 1: then 0.5 and 0.25.
    """
    pairs = zip(*constants, strict=True)
    if all(std >= 1 / 32 and std**2 < mean * (1 - mean) for mean, std in pairs):
        return constants
    channels = len(constants[0])
    return (0.5,) * channels, (0.25,) * channels


def check_on(
    networks: dict[str, nn.Module], images: tuple, constants: Constants, device: str
) -> dict[str, int | float]:
    """Agreement in percent and KL on real images; accuracies where there are labels."""
    pixels, y = images
    mean, std = (torch.tensor(c).view(-1, 1, 1) for c in constants)
    logits = {}
    for who, network in networks.items():
        network = copy.deepcopy(network).to(device)
        parts = torch.from_numpy(pixels).split(64)  # as floats they fill more memory
        parts = (((part.float() / 255 - mean) / std).to(device) for part in parts)
        logits[who] = torch.cat([logits_of(network, part).cpu() for part in parts])
    answers, student = logits["teacher"], logits["student"]
    found = {"images": len(pixels), "agreement": accuracy(student, answers.argmax(1))}
    found["kl"] = kl(answers, student).item()
    if y is not None:
        y = torch.from_numpy(y)
        found |= {f"{who}_accuracy": accuracy(logits[who], y) for who in logits}
    return found
