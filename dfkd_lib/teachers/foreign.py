"""A teacher trained elsewhere: a file, a pretrained network, or any module."""

import argparse
import copy
import importlib
import shlex
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from ..data import Dataset, check_fits
from ..errors import UserError, plain, shown, text, told, whole
from ..models import Foreign, build, torchvision_names
from ..models.network import Images, Logits, Network, Shape, trial_images
from .machine import resolve_device
from .names import parse_teacher
from .trained import Constants, Teacher, accuracy_on, digest, least_accuracy, weights

# Of checkpoints: averaged weights are better than those they are an average of.
_AVERAGED = ("state_dict_ema", "model_ema", "ema_state_dict", "ema")
_RAW = ("state_dict", "model_state_dict", "model", "net")
_PREFIXES = ("module.", "_orig_mod.", "model.")
# What training scripts store beside weights; none of it executes anything.
_NUMBER = np._core.multiarray.scalar
_HARMLESS = [argparse.Namespace, _NUMBER, (_NUMBER, "numpy.core.multiarray.scalar")]
_HARMLESS += [np.dtype, *{type(np.dtype(c)) for c in "?bhilqBHILQefd"}]
_BINARY = "a network with one logit z is a task='binary' of distill, or give logits="
_BINARY += "lambda z: torch.cat([torch.zeros_like(z), z], 1)"


class Answers(nn.Module):
    """A network whose logits are a part, or a function, of what it returns.

    The state dict is the network's own.
    """

    def __init__(self, network: nn.Module, logits: Any) -> None:
        super().__init__()
        self.network, self.logits = network, logits

    state_dict, load_state_dict = Foreign.state_dict, Foreign.load_state_dict

    def forward(self, x: Images) -> Logits:
        answer = self.network(x)
        if callable(self.logits):
            return self.logits(answer)
        named = isinstance(self.logits, str) and not isinstance(answer, Mapping)
        return getattr(answer, self.logits) if named else answer[self.logits]


class Renormalised(nn.Module):
    """A network that takes images normalised by `ours` instead of by `theirs`."""

    def __init__(self, network: nn.Module, ours: Constants, theirs: Constants) -> None:
        super().__init__()
        self.network, self.training = network, network.training
        pair = torch.tensor([ours, theirs], dtype=torch.float64)[..., None, None]
        (mean, std), (their_mean, their_std) = pair
        scale, shift = std / their_std, (mean - their_mean) / their_std
        self.register_buffer("scale", scale.float(), persistent=False)
        self.register_buffer("shift", shift.float(), persistent=False)

    def forward(self, x: Images) -> Logits:
        return self.network(x * self.scale + self.shift)


class Labels(Foreign):
    """A network whose logits z, one a label, are as many binary decisions (0, z)."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__(network.network if type(network) is Foreign else network)

    def forward(self, x: Images) -> Tensor:
        z = super().forward(x)
        return torch.stack([torch.zeros_like(z), z], 1)


def renormalised(network: nn.Module, ours: Constants, theirs: Constants) -> nn.Module:
    """The network, for images normalised by `ours` instead of by `theirs`."""
    if ours == theirs:
        return network
    foreign = isinstance(network, Foreign)
    kind, inner = (type(network), network.network) if foreign else (Foreign, network)
    return kind(Renormalised(inner, ours, theirs))


def load_foreign(
    source: str | nn.Module, dataset: Dataset | None = None, *,
    num_classes: Any = None, input_shape: Any = None,
    name: str | None = None, device: str = "auto", logits: Any = None,
) -> Teacher:  # fmt: skip
    """A teacher that was trained elsewhere, on the CPU, tried on a few images.

    `source`: FILE:NETWORK, torchvision:NAME, timm:NAME, or a module from normalised
    images to logits, which is copied. `dataset`: what it was trained for; its accuracy
    is measured on `device`. Without one, give `num_classes` and `input_shape`
    (channels, height, width). `name`: by default the source, or the module's class.
    `logits`: where they are in its answer: a key, an index, a field or a function.

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
        with torch.random.fork_rng(devices=[]):
            network = build(found.network, classes)
        fill(found.path, network, f"{found.network} with {classes} classes")
        sha = digest(found.path.read_bytes())
    else:
        network, constants = _pretrained(found.kind, found.network)
    network = network if logits is None else Answers(network, logits)
    for parameter in network.eval().parameters():
        parameter.requires_grad = False
    answers = try_out("teacher", name, network, classes, shape)
    network = as_foreign(network)
    if dataset is not None:
        wanted = shape[1:] if dataset.crop else ()
        if answers.shape[2:] != wanted:
            line = f"teacher {name}: its logits are {tuple(answers.shape)}, but "
            form = "×".join(map(str, ("n", classes, *wanted)))
            raise UserError(f"{line}{dataset.name}'s labels need {form}")
        if constants:
            network = renormalised(network, (dataset.mean, dataset.std), constants)
        score = accuracy_on(network.to(device), dataset, device)
        network.cpu()
        if score < least_accuracy(dataset.y_test):
            line = f"teacher {name}: {score:.1f} % of {dataset.name}'s test images is"
            todo = "next to chance; check the order of its classes and its constants"
            print(line, todo, file=sys.stderr)
    return Teacher(name, network, score, sha or digest(weights(network)), constants)


def as_foreign(network: nn.Module) -> nn.Module:
    """Wrap a module that is not the library's, so that `place` can prepare it."""
    return network if isinstance(network, Network) else Foreign(network)


def copied(role: str, network: nn.Module) -> nn.Module:
    """A copy on the CPU, in float32; `role` is teacher or student."""
    network = getattr(network, "_orig_mod", network)  # torch.compile's wrapper
    if isinstance(network, torch.jit.ScriptModule):
        todo = "give the module that it was made from, or a program of torch.export"
        raise UserError(f"{role}: a TorchScript module hides its layers; {todo}")
    cannot = f"{role}: {type(network).__name__} cannot be copied to the CPU"
    with told(cannot, "give a module with initialised weights"):
        made = copy.deepcopy(network).cpu()
        weights(made)  # fails for lazy layers and for meta tensors
        kinds = {t.dtype for t in made.state_dict().values() if isinstance(t, Tensor)}
        others = kinds & {torch.half, torch.bfloat16, torch.double}
        return made.float() if others else made


def task_of(dataset: Dataset | None, num_classes: Any, input_shape: Any) -> tuple:
    """The number of classes, and the `Shape` of an image."""
    if dataset is not None:
        if num_classes is not None or input_shape is not None:
            raise UserError("teacher: give a data set, or num_classes and input_shape")
        return dataset.num_classes, dataset.shape
    if plain(num_classes) == 1:
        raise UserError(f"num_classes: 1 is not allowed, give 2; {_BINARY}")
    num_classes, input_shape = whole("num_classes", num_classes, 2), plain(input_shape)
    if not isinstance(input_shape, tuple) or len(input_shape) != 3:
        line = f"input_shape: {shown(input_shape)} is not allowed"
        raise UserError(f"{line}; give (channels, height, width)")
    return num_classes, tuple(whole("input_shape", size, 1) for size in input_shape)


def read_weights(path: Path) -> Any:
    """The content of a file of weights; nothing in it is executed."""
    safe = path.suffix.lower() == ".safetensors"
    fails = f"teacher: {path} cannot be read as weights and nothing else"
    todo = "nothing in it was executed; write it with safetensors.torch.save_file"
    numbers = torch.serialization.safe_globals(_HARMLESS)
    with told(fails, f"{todo}(network.state_dict(), ...)"), numbers:
        return load_file(path) if safe else torch.load(path, "cpu", weights_only=True)


def fill(path: Path, network: nn.Module, name: str) -> None:
    """Load weights from a file, by the library's or torchvision's names of layers."""
    state = _held(path, read_weights(path))
    keys = [*state][:6] if isinstance(state, dict) else []
    fails = f"teacher: {path} does not hold the weights of {name}"
    todo = "name the network that it was saved from; its first keys are"
    with told(fails, f"{todo} {shown(keys)}"):
        kind = name.partition(" ")[0]
        state = _renamed(state, [*network.state_dict()], torchvision_names(kind))
        for key, value in network.state_dict().items():  # torch would round, or drop
            other = state.get(key, value)
            if other.is_floating_point() != value.is_floating_point():
                raise TypeError(f"{key} is {other.dtype}, not {value.dtype}")
        network.load_state_dict(state)


def _held(path: Path, state: Any) -> Any:
    """The weights that a checkpoint holds, the averaged ones if there are two."""
    while isinstance(state, dict):
        held = [k for k in (*_AVERAGED, *_RAW) if isinstance(state.get(k), dict)]
        if not held:
            break
        if held[0] in _AVERAGED and len(held) > 1:
            line = f"teacher: {path} has averaged weights and raw ones ({held[1]})"
            print(f"{line}; taken: {held[0]}", file=sys.stderr)
        state = state[held[0]]
    return state


def _renamed(state: dict, own: list[str], theirs: Iterable[str]) -> dict:
    """Weights by the network's own names of its layers, without counters."""
    # DataParallel, torch.compile, Lightning and torchvision have names of their own.
    names = dict(zip(own, own, strict=True)) | dict(zip(theirs, own, strict=False))
    found = {}
    for key, value in state.items():
        known = key
        while known not in names and known.startswith(_PREFIXES):
            known = known.partition(".")[2]
        # A number that no layer has is a counter, of batches or of operations.
        if known in names or (isinstance(value, Tensor) and value.numel() > 1):
            found[names.get(known, key)] = value
    return found


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
        pip = f"{shlex.quote(sys.executable)} -m pip install {library}"
        line = f"{role}: {library}:{name} needs {library}; install it with: {pip}"
        raise UserError(line) from error
    if name in module.list_models(module=module) if models else module.is_model(name):
        return module
    if models and name in module.list_models():
        line = f"{role}: torchvision's {name} does not classify images; give distill"
        raise UserError(f"{line} the module itself, or FILE.py:FUNCTION that makes it")
    listed = f"{module.__name__}.list_models() lists them"
    raise UserError(f"{role}: {library} has no network {shown(name)}; {listed}")


@torch.no_grad()
def try_out(
    role: str, name: str, network: nn.Module, classes: int, shape: Shape,
    sizes: Iterable[int] = (2, 1, 3),
) -> Logits:  # fmt: skip
    """Refuse a network that does not answer any batch with rows of finite logits.

    `sizes`: of the batches, a grey image and noise. Returns its last answer.
    """
    mode = "training" if network.training else "evaluation"
    images = f"normalised float32 images of {'×'.join(map(str, shape))} in {mode}"
    todo = "give a network for such images in batches of any size, or larger batches"
    for n in sizes:
        fails = f"{role}: {name} fails on {n} {images}"
        with told(fails, todo), torch.random.fork_rng(devices=[]):
            logits = network(trial_images(n, shape))
        if wrong := _wrong(logits, n, classes):
            form, give = wrong
            give = give or f"finite logits of shape ({n}, {classes})"
            line = f"{role}: {name} answers {n} images with {form}"
            raise UserError(f"{line}; give a network that answers with {give}")
    return logits


def _wrong(logits: Any, n: int, classes: int) -> tuple[str, str] | None:
    """What is wrong with an answer to n images, and what to give if not logits."""
    if not isinstance(logits, Tensor):
        keys = ", ".join(map(str, getattr(logits, "keys", tuple)()))
        take = "a tensor, or a key, an index, a field or a function as logits="
        return f"{type(logits).__name__}{keys and f' of {keys}'}", take
    if logits.shape in ((n,), (n, 1)) and classes == 2:
        return f"one number each, for 2 classes; {_BINARY}", ""
    # of images, or of their pixels
    form = logits.shape[:2] == (n, classes) and logits.ndim in (2, 4)
    if not form or not logits.is_floating_point():
        return f"{logits.dtype} of shape {tuple(logits.shape)}", ""
    if not logits.isfinite().all():
        return "numbers that are not finite", ""
    if (logits >= 0).all() and (logits.sum(1) - 1).abs().max() < 1e-3:
        cure = "leave out its last softmax, or take the logarithm: logits=torch.log"
        return "probabilities, not logits", f"logits: {cure}"
    return None


def doubts(logits: Logits, discrepancy: str) -> str:
    """A sentence on finite answers that may be no logits, or an empty one.

    `discrepancy`: kl, mae or mse, which say different things of such answers.
    """
    spread = (logits.amax(1) - logits.amin(1)).mean().item()
    if 0 <= logits.min() and logits.max() <= 1 and spread > 1e-3:
        line = "all of the teacher's answers are from 0 to 1, as those of sigmoids are"
        by_kl = "its softmax is nearly flat, so the student learns little"
        by_others = "MAE and MSE compare these numbers"
    elif logits.logsumexp(1).abs().max() < 1e-3:
        line = "the teacher's answers are log-probabilities"
        by_kl = "KL is the same as of logits"
        by_others = "MAE and MSE see other numbers than logits"
    elif not 1 <= spread <= 100:
        line = f"the teacher's answers to an image differ by {spread:.2g}"
        form = "uniform" if spread < 1 else "one-hot"
        by_kl = f"their softmax is nearly {form}, and KL has little to teach"
        by_others = "adapt student_lr to losses of that size"
    else:
        return ""
    return f"{line}: {by_kl if discrepancy == 'kl' else by_others}"
