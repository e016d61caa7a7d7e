"""A teacher of the user's own: a file of weights, a pretrained network of torchvision's or timm's, or any module."""

import copy
import pickle
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from safetensors.torch import load_file
from torch import Tensor, nn

from . import parameters
from .data import Dataset, check_fits
from .errors import UserError, first_line, shown, text, whole
from .models import build, torchvision_names
from .teacher_names import parse_teacher
from .trained import Constants, Teacher, accuracy_on, digest, least_accuracy, weights


class Renormalised(nn.Module):
    """A network that takes images normalised by `ours`, though its own are normalised by `theirs`: (mean, std) each."""

    def __init__(self, network: nn.Module, ours: Constants, theirs: Constants) -> None:
        super().__init__()
        self.network = network
        theirs, ours = ([torch.tensor(m, dtype=torch.float64).view(-1, 1, 1) for m in pair] for pair in (theirs, ours))
        self.register_buffer("scale", (ours[1] / theirs[1]).float(), persistent=False)
        self.register_buffer("shift", ((ours[0] - theirs[0]) / theirs[1]).float(), persistent=False)
        self.train(network.training)

    def forward(self, x: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch classes"]:
        return self.network(x * self.scale + self.shift)


def load_foreign(
    source: str | nn.Module,
    dataset: Dataset | None = None,
    *,
    num_classes: int | None = None,
    input_shape: tuple[int, ...] | None = None,
    name: str | None = None,
    device: str = "auto",
) -> Teacher:
    """A teacher that was trained elsewhere, tried out before any work starts.

    Parameters
    ----------
    source
        FILE:NETWORK, torchvision:NAME or timm:NAME, as `teacher_names` describes them; or a module that maps
        normalised images to logits, of which a copy is taken.
    dataset
        what it was trained for: gives the classes and the shape of the images, and the test split to measure it on.
    num_classes, input_shape
        in place of a data set: the classes, and an image's channels, height and width. The accuracy is then None.
    name
        what to call it; by default the source, or the module's class.
    device
        where it is measured. The teacher itself stays on the CPU.

    Raises
    ------
    UserError
        for a source that is unknown, absent, not to be had offline, or not to be trusted: a file that holds more than
        weights is refused, and none of it is executed. And for a network that does not take such images, or does not
        answer in that many classes.
    """
    device = parameters.device("device", device)
    classes, shape = task_of(dataset, num_classes, input_shape)
    kind = None if isinstance(source, nn.Module) else parse_teacher(source)
    name = text("name", name if name is not None else source if isinstance(source, str) else type(source).__name__)
    sha, constants = None, None
    if kind is None:
        network = copied("teacher", source)
    else:
        if kind.kind == "ours":
            raise UserError(f"teacher: {source} is a network of this library without weights; write FILE:{source}")
        if kind.kind == "file":
            if dataset is not None:
                check_fits(dataset, "teacher", kind.network)
            network, sha = _from_file(kind.path, kind.network, classes)
        else:
            network, constants = _PRETRAINED[kind.kind](kind.network)
            if dataset is not None and len(constants[0]) == len(dataset.mean):
                network = renormalised(network, (dataset.mean, dataset.std), constants)
    network = network.eval().requires_grad_(False)
    try_out("teacher", name, network, classes, shape)
    sha = sha or digest(weights(network))
    score = None if dataset is None else _measure(name, network, dataset, device)
    return Teacher(name, network, score, sha, constants)


def copied(role: str, network: nn.Module) -> nn.Module:
    """A copy on the CPU. `role`: teacher or student.

    Raises
    ------
    UserError
        for a module that cannot be copied, or that has no values.
    """
    try:
        made = copy.deepcopy(network).cpu().requires_grad_(False)
        digest(weights(made))  # a lazy layer has none yet
        return made
    except Exception as error:  # whatever its author's code holds
        raise UserError(
            f"{role}: {type(network).__name__} cannot be copied to the CPU ({first_line(error)}); give a module that "
            "is no script, whose weights have values, and that holds no result of a computation"
        ) from error


def task_of(
    dataset: Dataset | None, num_classes: int | None, input_shape: tuple[int, ...] | None
) -> tuple[int, tuple[int, int, int]]:
    """The number of classes, and an image's channels, height and width."""
    if dataset is not None:
        if num_classes is not None or input_shape is not None:
            raise UserError("teacher: num_classes and input_shape are the data set's; leave them out, or leave it out")
        height, width, channels = dataset.x_test.shape[1:]
        return dataset.num_classes, (channels, height, width)
    whole("num_classes", num_classes, 2)
    if not isinstance(input_shape, tuple) or len(input_shape) != 3:
        raise UserError(f"input_shape: {shown(input_shape)} is not allowed; give (channels, height, width)")
    for size in input_shape:
        whole("input_shape", size, 1)
    return num_classes, input_shape


def _from_file(path: Path, architecture: str, num_classes: int) -> tuple[nn.Module, str]:
    """The library's network with a file's weights, and the file's hash."""
    try:
        if path.suffix == ".safetensors":
            state = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file fails in the reader of its format, each in its own way
        code = isinstance(error, pickle.UnpicklingError)
        reason = "it holds more than weights, or is damaged; nothing of it was executed" if code else first_line(error)
        raise UserError(
            f"teacher: {path} cannot be read as weights and nothing else ({reason}); "
            "write them with safetensors.torch.save_file(network.state_dict(), ...)"
        ) from error
    with torch.random.fork_rng(devices=[]):
        network = build(architecture, num_classes)
    try:
        state = _as_here(_unwrapped(state), architecture, network)
        _same_kinds(state, network)
        network.load_state_dict(state)
    except (RuntimeError, TypeError, AttributeError) as error:
        raise UserError(
            f"teacher: {path} does not hold the weights of {architecture} with {num_classes} classes "
            f"({first_line(error)}); name the network that it was saved from"
        ) from error
    return network, digest(path.read_bytes())


def _same_kinds(state: Any, network: nn.Module) -> None:
    """A TypeError for whole or complex numbers in place of real ones: torch would round them, or drop a part."""
    for name, ours in network.state_dict().items():
        theirs = state.get(name)
        if isinstance(theirs, Tensor) and theirs.is_floating_point() != ours.is_floating_point():
            raise TypeError(f"{name} is {theirs.dtype}, which is not {ours.dtype}")


def _unwrapped(state: Any) -> Any:
    """A network's state from a checkpoint that holds it beside other things, and from a DataParallel's names."""
    for key in ("state_dict", "model"):
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
    if isinstance(state, dict) and state and all(str(key).startswith("module.") for key in state):
        return {key.removeprefix("module."): value for key, value in state.items()}
    return state


def _as_here(state: Any, architecture: str, network: nn.Module) -> Any:
    """A state under torchvision's own names of the layers, under this library's."""
    ours = dict(zip(torchvision_names(architecture), network.state_dict(), strict=False))
    if not isinstance(state, dict) or not state or not set(state) <= set(ours):
        return state  # as it is: load_state_dict says what is wrong
    return {ours[name]: value for name, value in state.items()}  # old files lack BatchNorm's counters; torch allows it


def _from_torchvision(name: str) -> tuple[nn.Module, Constants]:
    from torchvision import models

    if name not in models.list_models(module=models):
        raise UserError(f"teacher: torchvision has no classifier {name!r}; torchvision.models.list_models() lists them")
    chosen = models.get_model_weights(name).DEFAULT
    seen = sys.stderr.isatty()
    # Read once as weights and nothing else: torchvision itself would unpickle whatever lies in torch's cache.
    _got(f"torchvision:{name}", lambda: chosen.get_state_dict(progress=seen, check_hash=True, weights_only=True))
    with torch.random.fork_rng(devices=[]):
        network = models.get_model(name, weights=chosen)
    way = chosen.transforms()
    return network, (tuple(way.mean), tuple(way.std))


def _from_timm(name: str) -> tuple[nn.Module, Constants]:
    try:
        import timm
    except ImportError as error:
        raise UserError(
            f"teacher: timm:{name} needs timm, which is not installed; "
            f"get it with: {shlex.quote(sys.executable)} -m pip install timm"
        ) from error
    if not timm.is_model(name):
        raise UserError(f"teacher: timm has no network {name!r}; timm.list_models(pretrained=True) lists them")
    with torch.random.fork_rng(devices=[]):
        network = _got(f"timm:{name}", lambda: timm.create_model(name, pretrained=True))
    way = network.pretrained_cfg
    return network, (tuple(way["mean"]), tuple(way["std"]))


_PRETRAINED = {"torchvision": _from_torchvision, "timm": _from_timm}


def _got(name: str, get: Callable[[], Any]) -> Any:
    """What `get` gets, or one line: there are as many exceptions for a broken line as there are clients."""
    try:
        return get()
    except Exception as error:
        raise UserError(
            f"teacher: the weights of {name} cannot be had ({first_line(error)}); connect this machine to the network, "
            "or give a file of weights, FILE:NETWORK"
        ) from error


def renormalised(network: nn.Module, ours: Constants, theirs: Constants) -> nn.Module:
    """The network, for images normalised by `ours`, though it takes those normalised by `theirs`."""
    return network if ours == theirs else Renormalised(network, ours, theirs)


@torch.no_grad()
def try_out(role: str, name: str, network: nn.Module, num_classes: int, shape: tuple[int, int, int]) -> None:
    """Refuse a network that does not turn two images into two rows of finite logits. `role`: teacher or student."""
    images = "×".join(map(str, shape))
    for key, value in network.state_dict().items():
        # An infinite bias may hide behind a ReLU.
        if isinstance(value, Tensor) and not (value.is_meta or value.isfinite().all()):
            raise UserError(f"{role}: {name} has numbers in {key} that are not finite; its weights are broken")
    try:
        logits = network(torch.zeros(2, *shape))
        # Here, since tensors without values, on torch's meta device, refuse to be looked at.
        finite = isinstance(logits, Tensor) and bool(logits.isfinite().all())
    except Exception as error:  # whatever its author's code raises
        raise UserError(
            f"{role}: {name} does not take normalised float32 images of {images} ({first_line(error)}); "
            f"give a network for such images"
        ) from error
    if not isinstance(logits, Tensor) or logits.ndim != 2 or len(logits) != 2:
        found = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise UserError(f"{role}: {name} answers 2 images with {found}; it must give logits of shape (2, classes)")
    if logits.shape[1] != num_classes:
        raise UserError(f"{role}: {name} knows {logits.shape[1]} classes; {num_classes} are needed")
    if not logits.is_floating_point():
        raise UserError(f"{role}: {name} answers in {logits.dtype}; it must give logits, which are real numbers")
    if not finite:
        raise UserError(f"{role}: {name} answers grey images with numbers that are not finite; its weights are broken")


def _measure(name: str, network: nn.Module, dataset: Dataset, device: str) -> float:
    score = accuracy_on(network.to(device), dataset, device)
    network.cpu()
    if score < least_accuracy(dataset.y_test):
        print(
            f"teacher {name}: {score:.1f} % of {dataset.name}'s test images are next to chance; "
            "its classes may be in another order, or its images normalised by other constants",
            file=sys.stderr,
        )
    return score
