"""What is measured: games and GANs of every size, as they are by default and as the public code would have them."""

from dataclasses import dataclass, field

import torch

from dfkd_lib.budget import resolve_precision
from dfkd_lib.compiling import compile_networks
from dfkd_lib.images import Images
from dfkd_lib.methods import METHODS
from dfkd_lib.methods.game import Game
from dfkd_lib.methods.method import Method
from dfkd_lib.models import build
from dfkd_lib.recipe import Recipe
from dfkd_lib.recipes import recipe_for

FAST, PLAIN = "fast", "plain"


@dataclass(frozen=True)
class Case:
    """One method on one pair, for images of `shape`; `stages` of it are timed `rounds` times in each variant."""

    name: str
    method: str
    dataset: str
    pair: tuple[str, str] = ("auto", "auto")
    paper: str = "auto"
    settings: dict[str, object] = field(default_factory=dict)
    shape: tuple[int, int] = (1, 32)  # channels, pixels of a side
    classes: int = 10
    variants: tuple[str, ...] = (PLAIN, FAST)
    rounds: int = 9
    stages: int = 1

    @property
    def recipe(self) -> Recipe:
        return recipe_for(self.dataset, self.method, *self.pair, self.paper).replace(**self.settings)

    def make(self, variant: str, device: str, compiling: bool = True) -> tuple[Method, str]:
        """The method, ready to run a stage, and how it is compiled. What the random weights are costs nothing.

        A variant may also be a precision, in which the fast path then runs.
        """
        torch.manual_seed(0)
        recipe, (channels, size) = self.recipe, self.shape
        precision = resolve_precision("auto", device) if variant == FAST else variant
        method = METHODS[self.method](
            build(recipe.teacher, self.classes),
            recipe,
            self.classes,
            channels,
            seed=0,
            size=size,
            device=device,
            precision=precision,
            images=self.collected(device) if METHODS[self.method].needs else None,
        )
        method.prepare()
        if not (compiling and device == "cuda" and variant != PLAIN and isinstance(method, Game)):
            return method, "none"
        mode, refused = compile_networks(method)
        return method, f"{mode} ({refused})" if refused else mode

    def collected(self, device: str) -> Images:
        """Two hundred images of noise for the methods that see images."""
        channels, size = self.shape
        pixels = torch.randint(256, (200, channels, size, size), dtype=torch.uint8, device=device)
        labels = torch.arange(200, device=device) % self.classes
        return Images(pixels, labels, *(torch.full((channels, 1, 1), value, device=device) for value in (0.4, 0.25)))


def run_stage(method: Method) -> None:
    """One stage, as the training loop runs it; a GPU is waited for."""
    for _ in range(method.recipe.generator_steps):
        method.generator_step()
    method.end_generator_stage()
    for step in range(method.recipe.student_steps):
        method.student_step(step)
    if method.device.type == "cuda":
        torch.cuda.synchronize()


def cases(device: str) -> list[Case]:
    """Fast against plain, by method and by pair. A CPU gets smaller batches of the large pairs."""
    here = device == "cuda"
    one_stage = {"student_steps": 5, "generator_steps": 1}
    wide = one_stage | ({} if here else {"batch": 16, "student_batch": 16})
    wrn, resnet = ("wrn40_2", "wrn16_2"), ("resnet34_8x", "resnet18_8x")
    colour = {"shape": (3, 32), "classes": 100}
    rounds = 25 if here else 15
    few = {} if here else {"rounds": 3}
    return [
        # As many as make the caches theirs, as in a run.
        *(Case(f"{m}, digits", m, "digits", rounds=rounds, stages=4) for m in ("dfad", "arvi", "abm", "mad")),
        Case("dfad, MNIST (the paper's recipe)", "dfad", "mnist", paper="dfad", rounds=25 if here else 3),
        *(Case(f"{m}, WRN-40-2 → WRN-16-2", m, "cifar100", wrn, settings=wide, **few, **colour)
          for m in ("dfad", "abm", "mad")),
        Case("dfad, ResNet-34 → ResNet-18", "dfad", "cifar100", resnet, settings=wide, **few, **colour),
        Case("hidfd, GAN step, digits", "hidfd", "digits_hybrid", settings={"student_steps": 1, "generator_steps": 5}),
    ]  # fmt: skip


def reuse_cases() -> list[Case]:
    """MAD's two batches per step, drawn anew or kept in a buffer, beside ABM's one: 20 student steps a stage."""
    steps = {"student_steps": 20}
    return [
        Case("abm", "abm", "digits_half", settings=steps, variants=(FAST,)),
        *(
            Case(f"mad, reuse {r}", "mad", "digits_half", settings=steps | {"reuse": r}, variants=(FAST,))
            for r in (1, 2, 4, 5, 10, 20)
        ),
    ]


def growth_cases(device: str) -> dict[str, dict[int, Case]]:
    """DFAD, fast: one thing at a time."""
    batch = 64 if device == "cuda" else 8
    base = {"student_steps": 5, "generator_steps": 1, "batch": batch, "student_batch": batch, "generator_width": 64}

    def case(shape: tuple[int, int] = (3, 32), classes: int = 10, **changes: object) -> Case:
        how = {"settings": base | changes, "shape": shape, "classes": classes, "variants": (FAST,)}
        return Case("dfad", "dfad", "cifar10", ("wrn40_2", "wrn16_2"), **how)

    return {
        "images in a batch": {n * batch: case(batch=n * batch, student_batch=n * batch) for n in (1, 2, 4, 8)},
        "pixels of a side": {side: case((3, side)) for side in (16, 32, 64)},
        "classes": {number: case(classes=number) for number in (10, 100, 1000)},
    }
