"""The networks of `distill`: what a student may be, how images are normalised, and what the generator sees of that."""

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from .errors import UserError, first_line, one_of, real, shown
from .foreign import copied, task_of, try_out
from .models import CLASSIFIERS, build
from .teacher_names import LIBRARIES
from .trained import Constants, Teacher, digest, weights

_PIXELS = (0.5, 0.25)  # the mean and the spread of pixels, where nobody tells them


def square_shape(input_shape: Any, num_classes: Any) -> tuple[int, int]:
    """An image's channels and its side; a UserError for what no generator makes."""
    _, (channels, height, width) = task_of(None, num_classes, input_shape)
    step = 4 if height <= 64 else 16
    if height != width or height % step:
        near = max(height, width) // step * step
        raise UserError(
            f"input_shape: {input_shape} is not allowed; images must be square, with a side that divides by {step}, as "
            f"({channels}, {near or step}, {near or step}): generators double a grid"
        )
    return channels, height


def student_of(
    source: Any, shape: tuple[int, int, int], num_classes: int
) -> tuple[Callable[[], nn.Module], dict[str, str]]:
    """What makes a student, from torch's global random state, after a trial; and what to call it.

    Raises
    ------
    UserError
        for a name that is unknown, or a network that does not fit.
    """
    if isinstance(source, nn.Module):
        own = copied("student", source).requires_grad_(True)
        made, called = (lambda: copy.deepcopy(own)), {"name": type(source).__name__, "hash": digest(weights(own))}
    else:
        made, called = _named(source, shape[0], num_classes), {"name": source}
    with torch.random.fork_rng(devices=[]):
        for mode in (False, True):  # some networks answer otherwise in training
            try_out("student", called["name"], made().train(mode), num_classes, shape)
    return made, called


def _named(source: Any, channels: int, num_classes: int) -> Callable[[], nn.Module]:
    library, _, name = source.partition(":") if isinstance(source, str) else ("", "", "")
    if library == "torchvision":
        from torchvision import models

        if name not in models.list_models(module=models):
            raise UserError(
                f"student: torchvision has no classifier {name!r}; torchvision.models.list_models() lists them"
            )
        return lambda: models.get_model(name, weights=None, num_classes=num_classes)
    if library == "timm":
        try:
            import timm
        except ImportError as error:
            raise UserError(f"student: {source} needs timm, which is not installed: pip install timm") from error
        if not timm.is_model(name):
            raise UserError(f"student: timm has no network {name!r}; timm.list_models() lists them")
        return lambda: timm.create_model(name, pretrained=False, num_classes=num_classes, in_chans=channels)
    if library and name:
        raise UserError(
            f"student: {shown(source)} is not known; give a module, a name, or {' or '.join(LIBRARIES)}:NAME"
        )
    one_of("student", source, CLASSIFIERS)
    return lambda: build(source, num_classes)


def check_play(role: str, network: nn.Module, shape: tuple[int, int, int]) -> None:
    """Refuse a network with which the game cannot be played: one that takes batches of one size only, that writes into
    its images, or through which no gradient reaches them. `network` gets gradients, and is left in evaluation mode.

    Raises
    ------
    UserError
        says which; `role` is teacher or student.
    """
    random = torch.Generator().manual_seed(0)
    for n in (1, 3):
        images = torch.randn(n, *shape, generator=random).requires_grad_()
        try:
            logits = network.eval()(images)
            if logits.requires_grad:
                logits.sum().backward()
        except RuntimeError as error:
            raise UserError(
                f"{role}: it fails on {n} images or on the way back through them ({first_line(error)}); give "
                "a module for batches of any size, that writes into no image and works outside of inference_mode"
            ) from error
        if images.grad is None:
            raise UserError(
                f"{role}: its logits have no gradient with respect to its images, so the generator would learn "
                "nothing; remove no_grad, detach or quantisation"
            )


def constants_of(teacher: Teacher, channels: int, mean: Any, std: Any) -> Constants:
    """Mean and std of each channel, of pixels from 0 to 1, as they were given, or as the teacher's source tells them.

    Raises
    ------
    UserError
        where nobody tells them, or they are no such numbers.
    """
    if (mean is None) != (std is None):
        raise UserError("mean, std: one is given without the other; give both, or neither if the teacher brings them")
    if mean is None:
        if teacher.constants is None:
            raise UserError(
                f"mean, std: give those by which the images of {teacher.name} were normalised, one number per channel; "
                "mean=(0.0,), std=(1.0,) if it takes pixels from 0 to 1 as they are"
            )
        return teacher.constants
    for name, value, low in (("mean", mean, 0), ("std", std, 1e-6)):
        if not isinstance(value, tuple | list) or len(value) not in (1, channels):
            raise UserError(f"{name}: {shown(value)} is not allowed; give {channels} numbers, one per channel, or one")
        for number in value:
            real(name, number, low, 1)  # of pixels from 0 to 1: constants of 0 to 255 are to be divided
    return tuple(tuple(float(v) for v in (value * channels)[:channels]) for value in (mean, std))


def seen_constants(constants: Constants) -> Constants:
    """The constants of the images that the generator makes and the student is trained on, whose pixels have mean 0 and
    variance 1: the teacher's own, if they can be moments of its data. Else they tell a range, as 0 to 255 or −1 to 1:
    then 0.5 and 0.25.

    Pixels from 0 to 1 of mean m have a variance below m (1 − m). Below 1/32 of the range no data set spreads.
    """
    if all(std >= 1 / 32 and std**2 < mean * (1 - mean) for mean, std in zip(*constants, strict=True)):
        return constants
    return tuple((value,) * len(constants[0]) for value in _PIXELS)
