"""A teacher trained elsewhere: a file, a pretrained network, or any module."""

import copy
import importlib
import shlex
import sys
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from ..data import Dataset, check_fits
from ..errors import UserError, shown, text, told, whole
from ..models import Foreign, build, torchvision_names
from ..models.network import Images, Logits, Network, Shape
from .machine import resolve_device
from .names import parse_teacher
from .trained import Constants, Teacher, accuracy_on, digest, least_accuracy, weights


class Renormalised(Network):
    """A network that takes images normalised by `ours` instead of by `theirs`."""

    def __init__(self, network: nn.Module, ours: Constants, theirs: Constants) -> None:
        super().__init__()
        self.network = network
        pair = torch.tensor([ours, theirs], dtype=torch.float64)[..., None, None]
        (mean, std), (their_mean, their_std) = pair
        scale, shift = std / their_std, (mean - their_mean) / their_std
        self.register_buffer("scale", scale.float(), persistent=False)
        self.register_buffer("shift", shift.float(), persistent=False)
        self.training = network.training

    def gains(self) -> bool:
        return False

    def forward(self, x: Images) -> Logits:
        return self.network(x * self.scale + self.shift)


def renormalised(network: nn.Module, ours: Constants, theirs: Constants) -> nn.Module:
    """The network, for images normalised by `ours` instead of by `theirs`."""
    if ours == theirs:
        return network
    if isinstance(network, Foreign):
        return Foreign(Renormalised(network.network, ours, theirs))
    return Renormalised(network, ours, theirs)


def load_foreign(
    source: str | nn.Module, dataset: Dataset | None = None, *,
    num_classes: int | None = None, input_shape: tuple[int, ...] | None = None,
    name: str | None = None, device: str = "auto",
) -> Teacher:  # fmt: skip
    """A teacher that was trained elsewhere, on the CPU, tried on two images.

    `source`: FILE:NETWORK, torchvision:NAME, timm:NAME, or a module from normalised
    images to logits, which is copied. `dataset`: what it was trained for; its accuracy
    is measured on `device`. Without one, give `num_classes` and `input_shape`
    (channels, height, width). `name`: by default the source, or the module's class.

    A UserError for a source that is unknown, missing or damaged; for a file that holds
    more than weights, none of which is executed; for a network that does not answer
    such images with a logit per class.
    """
    device = resolve_device("device", device)
    classes, shape = task_of(dataset, num_classes, input_shape)
    if name is None:
        name = source if isinstance(source, str) else type(source).__name__
    text("name", name)
    constants = sha = score = None
    if isinstance(source, nn.Module):
        network = copied("teacher", source)
    elif (found := parse_teacher(source)).kind == "ours":
        raise UserError(f"teacher: {source} has no weights; write FILE:{source}")
    elif found.kind == "file":
        if dataset is not None:
            check_fits(dataset, "teacher", found.network)
        network = _from_file(found.path, found.network, classes)
        sha = digest(found.path.read_bytes())
    else:
        network, constants = _pretrained(found.kind, found.network)
    try_out("teacher", name, network.eval().requires_grad_(False), classes, shape)
    network = as_foreign(network)
    if dataset is not None:
        if constants:
            network = renormalised(network, (dataset.mean, dataset.std), constants)
        score = accuracy_on(network.to(device), dataset, device)
        network.cpu()
        if score < least_accuracy(dataset.y_test):
            line = f"teacher {name}: {score:.1f} % of {dataset.name}'s test images is "
            line += "next to chance; check the order of its classes and its constants"
            print(line, file=sys.stderr)
    return Teacher(name, network, score, sha or digest(weights(network)), constants)


def as_foreign(network: nn.Module) -> nn.Module:
    """Wrap a module that is not the library's, so that `place` can prepare it."""
    return network if isinstance(network, Network) else Foreign(network)


def copied(role: str, network: nn.Module) -> nn.Module:
    """A copy on the CPU; `role` is teacher or student."""
    cannot = f"{role}: {type(network).__name__} cannot be copied to the CPU"
    with told(cannot, "give a module with initialised weights"):
        made = copy.deepcopy(network).cpu()
        weights(made)  # fails for lazy layers and for meta tensors
    return made


def task_of(dataset: Dataset | None, num_classes: Any, input_shape: Any) -> tuple:
    """The number of classes, and the `Shape` of an image."""
    if dataset is not None:
        if num_classes is not None or input_shape is not None:
            raise UserError("teacher: give a data set, or num_classes and input_shape")
        height, width, channels = dataset.x_test.shape[1:]
        return dataset.num_classes, (channels, height, width)
    whole("num_classes", num_classes, 2)
    if not isinstance(input_shape, tuple) or len(input_shape) != 3:
        line = f"input_shape: {shown(input_shape)} is not allowed; give "
        raise UserError(line + "(channels, height, width)")
    return num_classes, tuple(whole("input_shape", size, 1) for size in input_shape)


def _from_file(path: Path, architecture: str, classes: int) -> nn.Module:
    """The library's network with the weights of a file."""
    safe, save = path.suffix == ".safetensors", "safetensors.torch.save_file"
    todo = (
        f"nothing in it was executed; write it with {save}(network.state_dict(), ...)"
    )
    with told(f"teacher: {path} cannot be read as weights and nothing else", todo):
        state = load_file(path) if safe else torch.load(path, "cpu", weights_only=True)
    with torch.random.fork_rng(devices=[]):
        network = build(architecture, classes)
    wrong = (
        f"teacher: {path} does not hold the weights of {architecture} with {classes}"
    )
    todo, kinds = "that it was saved from", (RuntimeError, TypeError, AttributeError)
    with told(f"{wrong} classes", f"name the network {todo}", kinds):
        for key in ("state_dict", "model"):  # a checkpoint holds more than the weights
            state = state[key] if isinstance(state.get(key), dict) else state
        # DataParallel and torchvision have names of their own for the layers.
        theirs = torchvision_names(architecture)
        ours = dict(zip(theirs, network.state_dict(), strict=False))
        names = {key: key.removeprefix("module.") for key in state}
        state = {ours.get(n, n): state[key] for key, n in names.items()}
        for key, value in network.state_dict().items():  # torch would round, or drop
            other = state.get(key, value)
            if other.is_floating_point() != value.is_floating_point():
                raise TypeError(f"{key} is {other.dtype}, not {value.dtype}")
        network.load_state_dict(state)
    return network


def _pretrained(library: str, name: str) -> tuple[nn.Module, Constants]:
    """A network with the weights of its library, and its images' constants."""
    module = library_of("teacher", library, name)
    cannot = f"teacher: {library}:{name} cannot be loaded"
    todo = "connect this machine to the network, or give FILE:NETWORK"
    with told(cannot, todo), torch.random.fork_rng(devices=[]):
        if library == "timm":
            network = module.create_model(name, pretrained=True)
            way = network.pretrained_cfg
            return network, (tuple(way["mean"]), tuple(way["std"]))
        chosen = module.get_model_weights(name).DEFAULT
        # Read as weights only first: torchvision would unpickle whatever is there.
        chosen.get_state_dict(progress=False, check_hash=True, weights_only=True)
        way, network = chosen.transforms(), module.get_model(name, weights=chosen)
        return network, (tuple(way.mean), tuple(way.std))


def library_of(role: str, library: str, name: str) -> Any:
    """timm or torchvision.models, if it knows a network of that name."""
    models = library == "torchvision"
    try:
        module = importlib.import_module(library + ".models" * models)
    except ImportError as error:
        line = f"{role}: {library}:{name} needs {library}; install it with: "
        pip = f"{shlex.quote(sys.executable)} -m pip install {library}"
        raise UserError(line + pip) from error
    if name in module.list_models(module=module) if models else module.is_model(name):
        return module
    listed = f"{module.__name__}.list_models() lists them"
    raise UserError(f"{role}: {library} has no network {shown(name)}; {listed}")


@torch.no_grad()
def try_out(role: str, name: str, network: nn.Module, classes: int, shape: Shape):
    """Refuse a network that does not answer two images with rows of finite logits."""
    fails = f"{role}: {name} does not take normalised float32 images of "
    with told(fails + "×".join(map(str, shape)), "give a network for such images"):
        logits = network(torch.zeros(2, *shape))
    if not isinstance(logits, Tensor):
        form = type(logits).__name__
    elif logits.shape != (2, classes) or not logits.is_floating_point():
        form = f"{logits.dtype} of shape {tuple(logits.shape)}"
    elif not logits.isfinite().all():
        form = "numbers that are not finite"
    else:
        return
    raise UserError(
        f"{role}: {name} answers two grey images with {form}; give a network that "
        f"answers with finite logits of shape (2, {classes})"
    )
