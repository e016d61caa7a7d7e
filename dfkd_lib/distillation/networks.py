"""What `distill` asks of networks and of the constants that normalise images."""

import contextlib
import copy
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from .. import data
from ..errors import UserError, one_of, plain, real, shown, told
from ..losses import kl
from ..methods import Task
from ..models import CLASSIFIERS, build
from ..models.network import Images, Network, Shape, trial_images
from ..teachers import Constants, Teacher, accuracy, digest, logits_of, weights
from ..teachers.foreign import Answers, as_foreign, copied, library_of, try_out
from ..teachers.names import LIBRARIES
from ..teachers.trained import segmentation
from .fresh import agreement

Pair = tuple[Images, Images]  # of the same images, normalised in two ways
ROUNDING = {torch.float32: 0.01, torch.bfloat16: 0.1}  # of the logits' deviation


@contextlib.contextmanager
def usual_defaults() -> Iterator[None]:
    """torch's own defaults, whatever the caller has set: float32, CPU, gradients."""
    dtype, device = torch.get_default_dtype(), torch.get_default_device()
    cpu = contextlib.nullcontext() if device.type == "cpu" else torch.device("cpu")
    torch.set_default_dtype(torch.float32)
    try:
        with cpu, torch.inference_mode(False), torch.enable_grad():
            yield
    finally:
        torch.set_default_dtype(dtype)


def student_of(
    source: Any, shape: Shape, num_classes: int, batches: Iterable[int]
) -> tuple[Callable[[], nn.Module], dict]:
    """A function that makes the student, from torch's random state; and its name."""
    library, _, name = str(source).partition(":")
    called = {"name": source}
    if isinstance(source, nn.Module):
        own = copied("student", source)
        answer = None
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            with contextlib.suppress(Exception):  # `try_out` says what is wrong
                answer = copy.deepcopy(own).eval()(trial_images(2, shape))
        own = Answers(own, "out") if isinstance(answer, Mapping) else own
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
        # some networks answer differently in training
        for mode, sizes in ((False, (2, 1, 3, *batches)), (True, batches)):
            made = make().train(mode)
            try_out("student", called["name"], made, num_classes, shape, sizes)
    if not any(p.requires_grad for p in made.parameters()):
        todo = "set requires_grad where it learns"
        raise UserError(f"student: all of it is frozen; {todo}")
    return lambda: as_foreign(make()), called


def check_play(role: str, network: nn.Module, shape: Shape) -> bool:
    """Refuse changed images, and images without gradient.

    Returns whether two answers to the same images differ, in evaluation mode.
    """
    images = trial_images(3, shape).requires_grad_()
    fails = f"{role}: it fails in the backward pass"
    todo = "give a module that changes no image in place and works without "
    with told(fails, f"{todo}inference_mode", RuntimeError):
        logits = network.eval()(images)
        if logits.requires_grad:
            logits.sum().backward()
    if images.grad is None:
        raise UserError(
            f"{role}: its logits have no gradient with respect to its images, so the "
            "generator cannot learn; remove no_grad, detach or quantisation"
        )
    with torch.no_grad():
        again, limit = network(images), 1e-4 * logits.abs().max().item()
    return not torch.allclose(again, logits, rtol=1e-4, atol=limit)


def same_images(task: Task, theirs: Constants, ours: Constants) -> Pair:
    """Trial images normalised by `theirs`, and, on the device, by `ours`."""
    x = trial_images(8, task.shape)
    (mean, std), (m, s) = (torch.tensor(c)[..., None, None] for c in (theirs, ours))
    placed = x.to(task.device, memory_format=torch.channels_last)  # as generators do
    return (x * s + m - mean) / std, placed


def difference(given: nn.Module, prepared: nn.Module, images: Pair) -> float:
    """How far a network, as prepared for a run, is from the one that was given.

    The largest difference of a logit on `same_images`, over the logits' deviation.
    """
    wanted, found = logits_of(given, images[0]), logits_of(prepared, images[1]).cpu()
    return ((found - wanted).abs().max() / wanted.std().clamp_min(1e-6)).item()


def agree_or_float32(
    role: str, given: nn.Module, prepared: nn.Module, images: Pair
) -> str:
    """Take a network back to float32 if bfloat16 changes its answers beyond rounding.

    Returns a sentence about it. A UserError where it is not float32 either.
    """
    networks = [m for m in prepared.modules() if isinstance(m, Network)]
    reduced = {m.dtype for m in networks} - {torch.float32}
    gap = difference(given, prepared, images)
    if gap <= ROUNDING[torch.bfloat16 if reduced else torch.float32]:
        return ""
    line = f"{role}: prepared for the run, its answers differ by {100 * gap:.0f} % of "
    line += "their spread from those of the module that was given"
    if not reduced:
        todo = "give a module whose answer depends on the pixels' values alone"
        raise UserError(f"{line}; {todo}")
    for network in networks:
        network.dtype = torch.float32
    agree_or_float32(role, given, prepared, images)
    return f"{line}: it computes in float32 instead of bfloat16"


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
    found = {}
    for name, value, low in (("mean", mean, 0), ("std", std, 1e-6)):
        each = plain(value)
        each = each if isinstance(each, tuple) else (each,)
        if len(each) not in (1, channels):
            line = f"{name}: {shown(value)} is not allowed; give {channels} numbers"
            raise UserError(f"{line}, one per channel, or one number for all")
        each = tuple(real(name, number, low, 255) for number in each)
        found[name] = each * (channels // len(each))
    mean, std = found.values()
    # no pixels from 0 to 1 have such moments
    if min(mean) > 1 or (min(std) > 1 and all(m == 0 or m > 1 for m in mean)):
        print("mean, std: of pixels from 0 to 255; divided by 255 here")
        return tuple(m / 255 for m in mean), tuple(s / 255 for s in std)
    for name, each in found.items():
        real(name, max(each), 0, 1)
    return mean, std


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
    networks: dict[str, nn.Module], images: tuple, constants: Constants, device: Any
) -> dict[str, int | float]:
    """Agreement in percent and KL on real images; accuracies where there are labels."""
    pixels, y = images
    mean, std = (torch.tensor(c, device=device)[:, None, None] for c in constants)
    logits = {}
    for who, network in networks.items():
        network = copy.deepcopy(network).to(device)
        parts = torch.from_numpy(pixels).split(64)  # as floats they fill more memory
        parts = ((part.to(device) / 255 - mean) / std for part in parts)
        logits[who] = torch.cat([logits_of(network, part).cpu() for part in parts])
    answers, student = logits["teacher"], logits["student"]
    found = {"images": len(pixels), "agreement": agreement(answers, student)}
    found["kl"] = kl(answers, student).item()
    if y is not None:
        y = torch.from_numpy(y)
        found |= {f"{who}_accuracy": accuracy(logits[who], y) for who in logits}
    return found


def check_maps_on(
    networks: dict[str, nn.Module], images: tuple, constants: Constants, device: Any
) -> dict[str, int | float]:
    """`check_on` of pixels, void ones only in agreement and KL; with maps, mIoU too."""
    pixels, y = images
    maps = np.full(pixels[:, 0].shape, data.VOID, np.uint8) if y is None else y
    x, maps = (torch.from_numpy(each).to(device) for each in (pixels, maps))
    moments = torch.tensor(constants, device=device)[..., None, None]
    of = data.Images(x, maps, *moments, {})
    pair = {who: copy.deepcopy(n).to(device).eval() for who, n in networks.items()}
    scores = {who: segmentation(n, pair["teacher"], of) for who, n in pair.items()}
    agreed = scores["student"]
    found = {"images": len(x), "agreement": agreed.agreement, "kl": agreed.kl}
    for who, each in scores.items() if y is not None else ():
        found |= {f"{who}_accuracy": each.accuracy, f"{who}_miou": each.miou}
    return found
