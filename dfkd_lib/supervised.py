"""Supervised training of a teacher on real images, and how long it will take."""

import itertools
import math
import sys
import time
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from .compiling import compile_classifier, restore
from .data import Dataset
from .errors import UserError
from .images import Images, augment
from .models import build
from .teacher_recipes import TeacherRecipe

_LINES = 10  # of progress, where stderr is no terminal
_TIMED_SECONDS, _TIMED_STEPS = 3.0, 20  # for so long, at most, steps are timed


def train_teacher(
    dataset: Dataset, name: str, recipe: TeacherRecipe, *, seed: int = 0, device: str = "cpu"
) -> nn.Module:
    """Train the network `name` on the training split; the last network, not the best on the test split.

    It is on the CPU and in evaluation mode. On a CPU, the same seed gives the same weights to the last bit, at the
    same number of threads and with the same processor's instructions; a GPU promises less.

    Raises
    ------
    UserError
        where the loss ceases to be finite.
    """
    started, per_epoch = time.perf_counter(), _steps_per_epoch(len(dataset.y_train), recipe)
    title, terminal = f"{name} on {dataset.name}", sys.stderr.isatty()
    with torch.random.fork_rng(devices=[torch.cuda.current_device()] if device == "cuda" else []):
        torch.manual_seed(seed)
        network = build(name, dataset.num_classes)
        losses = _steps(network, Images.of(dataset, device), recipe, seed, device)
        for epoch in tqdm(range(1, recipe.epochs + 1), desc=title, unit="epoch", disable=not terminal):
            loss = float(sum(itertools.islice(losses, per_epoch))) / per_epoch  # read once per epoch
            if not math.isfinite(loss):
                raise UserError(
                    f"teacher: the loss of {title} is {loss} in epoch {epoch} of {recipe.epochs}; nothing was saved; "
                    f"train it with a lower learning rate than {recipe.lr:g}"
                )
            if not terminal and epoch % math.ceil(recipe.epochs / _LINES) == 0:
                passed = time.perf_counter() - started
                print(f"{title}: epoch {epoch} of {recipe.epochs}, loss {loss:.3f}, {passed:.0f} s", file=sys.stderr)
    restore([network])
    return network.cpu().to(memory_format=torch.contiguous_format).eval()


def seconds_needed(dataset: Dataset, name: str, recipe: TeacherRecipe, device: str = "cpu") -> float:
    """How long `train_teacher` will take here: some steps are timed on a network that is thrown away."""
    with torch.random.fork_rng(devices=[torch.cuda.current_device()] if device == "cuda" else []):
        losses = _steps(build(name, dataset.num_classes), Images.of(dataset, device), recipe, 0, device)
        first = _timed(losses, 1)  # slower than those that follow; it tells how many of them can be timed
        steps = _TIMED_STEPS if device == "cuda" else min(_TIMED_STEPS, 1 + int(_TIMED_SECONDS / first))
        per_step = _timed(losses, steps)
    return per_step * recipe.epochs * _steps_per_epoch(len(dataset.y_train), recipe)


def _timed(losses: Iterator[Tensor], steps: int) -> float:
    """Seconds per step; reading the sum waits for the device."""
    started = time.perf_counter()
    float(sum(itertools.islice(losses, steps)))
    return (time.perf_counter() - started) / steps


def precision_on(device: str, recipe: TeacherRecipe) -> str:
    """What a teacher is trained in: the recipe's choice on a GPU, float32 on a CPU."""
    return recipe.gpu_precision if device == "cuda" else "float32"


def _steps_per_epoch(images: int, recipe: TeacherRecipe) -> int:
    return images // min(recipe.batch, images)


def _steps(network: nn.Module, images: Images, recipe: TeacherRecipe, seed: int, device: str) -> Iterator[Tensor]:
    """Train the network without end; each step's loss, left on the device. The last, smaller batch is left out."""
    fast = precision_on(device, recipe) == "bfloat16"
    layout = torch.channels_last if fast else torch.contiguous_format
    network.to(device, memory_format=layout).train()
    random = torch.Generator(device).manual_seed(seed)
    optimizer = torch.optim.SGD(
        network.parameters(),
        recipe.lr,
        momentum=recipe.momentum,
        weight_decay=recipe.weight_decay,
        nesterov=recipe.nesterov,
        fused=True if fast else None,
    )
    batch, per_epoch = min(recipe.batch, len(images)), _steps_per_epoch(len(images), recipe)
    if fast:
        x = images.normalise(images.pixels(torch.arange(batch, device=device))).contiguous(memory_format=layout)
        mode, refused = compile_classifier(network, x, torch.bfloat16)
        if refused:
            print(f"torch.compile: {refused}; the teacher is compiled: {mode}", file=sys.stderr)
    for epoch in itertools.count():
        order = torch.randperm(len(images), generator=random, device=device)
        for step, index in enumerate(order.split(batch)[:per_epoch], epoch * per_epoch):
            optimizer.param_groups[0]["lr"] = recipe.lr * recipe.lr_factor(step, per_epoch)
            pixels = augment(images.pixels(index), random, pad=recipe.pad, mode=recipe.border, flip=recipe.flip)
            x = images.normalise(pixels).contiguous(memory_format=layout)
            with torch.autocast(device, torch.bfloat16, enabled=fast):
                loss = F.cross_entropy(network(x), images.y[index])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            yield loss.detach()
