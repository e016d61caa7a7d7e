"""What the tests of the methods share: small set-ups in which there is something of everything, and their steps."""

import functools
from typing import Any

import numpy as np
import torch
from torch import nn

from dfkd_lib.collected import collect
from dfkd_lib.data import Dataset, load_dataset
from dfkd_lib.images import Images
from dfkd_lib.methods import METHODS
from dfkd_lib.methods.game import Game
from dfkd_lib.methods.method import Method
from dfkd_lib.methods.with_data import images_for
from dfkd_lib.models import build
from dfkd_lib.recipes import Recipe
from dfkd_lib.teachers import load_teacher

TINY = Recipe(
    generator_width=2,
    z_dim=6,
    batch=8,
    student_batch=8,
    student_steps=4,
    stages=2,
    stages_per_epoch=1,
    memory=24,
    inversion_steps=3,
    gan_share=0.0,  # the GAN's stages have tests of their own
    collected_ratio=0.5,
    synthetic=20,
)
GAMES = [name for name, kind in METHODS.items() if issubclass(kind, Game)]
ADVERSARIAL = [name for name in GAMES if name != "dafl"]
SHOWN = [name for name, kind in METHODS.items() if kind.needs]  # real images


@functools.cache
def lenet() -> nn.Module:
    """The shipped teacher. Frozen, and shared: whoever changes it breaks the tests of everybody else."""
    return load_teacher(load_dataset("digits"), "lenet5", train=False).network


@functools.cache
def with_batchnorm() -> nn.Module:
    """A teacher of colour images whose BatchNorm layers have seen something. Shared, too."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = build("wrn16_1", 10)
        network(1 + 2 * torch.randn(16, 3, 32, 32))
    return network.eval().requires_grad_(False)


def colour() -> dict[str, Any]:
    """The set-up with BatchNorm in both networks."""
    return {"teacher": with_batchnorm(), "student": "wrn16_1"}


@functools.cache
def real_dataset(channels: int) -> Dataset:
    """40 training images that nothing resembles, four of each class."""
    x = np.random.default_rng(channels).integers(256, size=(42, 32, 32, channels), dtype=np.uint8)
    y = np.arange(42) % 10
    return Dataset("noise", x[:40], y[:40], x[40:], y[40:], (0.4,) * channels, (0.25,) * channels)


def real_images(channels: int, share: float = 1.0) -> Images:
    return images_for("original", real_dataset(channels), share=share, seed=0, device="cpu")[0]


@functools.cache
def collected_images(channels: int, source: str, ratio: float, by: str, imbalance: float) -> Images:
    """Digits that stand in for the 40 images."""
    teacher = {1: lenet, 3: with_batchnorm}[channels]() if by == "confidence" else None
    target, same_labels = real_dataset(channels), {y: y for y in range(10)}
    found = collect(
        "digits_rest" if source == "auto" else source,
        target,
        ratio=ratio,
        by=by,
        imbalance=imbalance,
        teacher=teacher,
        categories=same_labels,
    )
    return Images.of_collected(found, target, "cpu")


def play(
    method: str,
    *,
    seed: int = 0,
    teacher: nn.Module | None = None,
    recipe: Recipe = TINY,
    precision: str = "float32",
    fast_layers: bool = True,
    **changes: Any,
) -> Method:
    """Make a method: `play("mad", momentum=0.5)`, with the shipped teacher unless another is given."""
    teacher = lenet() if teacher is None else teacher
    recipe = recipe.replace(**changes)
    channels = next(teacher.parameters()).shape[1]
    kind = METHODS[method]
    images = None
    if kind.needs == "collected":
        how = recipe.collected_from, recipe.collected_ratio, recipe.collected_by, recipe.collected_imbalance
        images = collected_images(channels, *how)
    elif kind.needs:
        images = real_images(channels, recipe.data_share)
    return kind(teacher, recipe, 10, channels, seed=seed, precision=precision, images=images, fast_layers=fast_layers)


def generator_stage(game: Method) -> None:
    for _ in range(game.recipe.generator_steps):
        game.generator_step()
    game.end_generator_stage()


def stage(game: Method) -> None:
    generator_stage(game)
    for step in range(game.recipe.student_steps):
        game.student_step(step)


def played(game: Method, stages: int = 2) -> Method:
    game.prepare()
    for _ in range(stages):
        stage(game)
    return game


def networks(game: Method) -> dict[str, nn.Module]:
    """Everything that has weights or a content; AT's helpers have none."""
    found = {name: part for name, part in vars(game).items() if isinstance(part, nn.Module) and part.state_dict()}
    return found | ({"ema": game.ema.network} if getattr(game, "ema", None) else {})


def weights(network: nn.Module) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in network.parameters()])


def content(network: nn.Module) -> torch.Tensor:
    """Weights and buffers."""
    return torch.cat([value.detach().flatten().float() for value in network.state_dict().values()])


def random_images(n: int = 8, channels: int = 1, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, channels, 32, 32, generator=torch.Generator().manual_seed(seed))


def numbers(terms: dict[str, torch.Tensor]) -> dict[str, float]:
    return {name: term.item() for name, term in terms.items()}
