"""What every method is given and what it leaves: a task, a state, a stage's losses.

A method is a frozen dataclass of its settings with two functions. `start` makes the
networks and optimisers of a run, `stage` runs one stage of the paper's algorithm. The
loop in `dfkd_lib.train` knows nothing else of a paper.
"""

import contextlib
import copy
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from .. import models
from ..data import Images, augment


class Choices(NamedTuple):
    """The five choices of a data-free method; the book's overview prints them."""

    discrepancy: str
    generator_also: str
    samples_from: str
    generator_sees: str
    keeps: str = "no"


# --- a run --------------------------------------------------------------------------


@dataclass(frozen=True)
class Task:
    """What is to be distilled, where, and how precisely.

    `dtype` is bfloat16 or float32: what networks that gain by it compute in. `images`
    are the real images that the method may see, None for data-free methods. `names`
    are the words for the classes, where they are known.
    """

    num_classes: int
    shape: tuple[int, int, int]  # channels, height, width
    device: torch.device = torch.device("cpu")
    dtype: torch.dtype = torch.float32
    images: Images | None = None
    names: tuple[str, ...] = ()

    def place(self, network: nn.Module) -> nn.Module:
        """The network on the device, channels-last, in the precision it gains by."""
        return models.place(network, self.device, self.dtype, self.shape)


class State:
    """The networks, optimisers and noise of a run, between two stages.

    Whatever has a `state_dict`, and every tensor, is part of a checkpoint; the teacher
    is fixed and is not. Methods add attributes of their own.
    """

    def __init__(self, teacher: nn.Module, student: nn.Module, task: Task, seed: int):
        self.task, self.seed = task, seed
        self.teacher = task.place(copy.deepcopy(teacher)).eval().requires_grad_(False)
        self.student = task.place(student).train()
        self.random = torch.Generator(task.device).manual_seed(seed)
        self.samples = 0  # images the student has been trained on, repeated ones too
        self.stage = 0  # the stage that runs, counted from 1
        self.observe: Callable[[State], None] | None = None

    # --- what most `start`s do with a method's settings

    def make_generator(self, settings: Any, conditioning: str = "none") -> None:
        """The generator that the settings name, in training mode."""
        channels, *sides = self.task.shape
        step = 1 if max(sides) < 4 else 4 if max(sides) <= 64 else 16  # it doubles
        size = -(-max(sides) // step) * step
        made = models.generator(
            settings.generator, z_dim=settings.z_dim, channels=channels, size=size,
            width=settings.generator_width, num_classes=self.task.num_classes,
            conditioning=conditioning,
        )  # fmt: skip
        made = made if sides == [size, size] else models.Cut(made, tuple(sides))
        self.generator = self.task.place(made).train()

    def optimize_generator(self, settings: Any) -> None:
        """Adam on the generator's weights, and its schedule."""
        options = {"lr": settings.generator_lr, "fused": True}
        options["betas"] = settings.generator_beta1, 0.999
        options["weight_decay"] = settings.generator_weight_decay
        weights = self.generator.parameters()
        self.generator_optimizer = torch.optim.Adam(weights, **options)
        self.generator_schedule = scheduled(self.generator_optimizer, settings)

    def optimize_student(
        self, settings: Any, parameters: Iterable[nn.Parameter] = (), begins: int = 0
    ) -> None:
        """SGD or Adam on the student's weights, or on these, and its schedule."""
        own = [p for p in self.student.parameters() if p.requires_grad]
        options = {"lr": settings.student_lr, "fused": True}
        options["weight_decay"] = settings.student_weight_decay
        kind = torch.optim.Adam
        if settings.student_optimizer == "sgd":
            kind, options["momentum"] = torch.optim.SGD, settings.student_momentum
        self.student_optimizer = kind(list(parameters) or own, **options)
        self.student_schedule = scheduled(self.student_optimizer, settings, begins)

    # --- what a stage asks for

    def noise(self, n: int) -> tuple[Float[Tensor, "n z"], Int[Tensor, " n"]]:
        """z ~ N(0, I), and y uniform over the classes.

        Only a conditional generator reads y. It is drawn for all, so that methods
        with one seed see the same noise and can be compared in pairs.
        """
        given = {"generator": self.random, "device": self.task.device}
        z = torch.randn(n, self.generator.z_dim, **given)
        return z, torch.randint(self.task.num_classes, (n,), **given)

    @torch.no_grad()
    def draw(self, generator: nn.Module, n: int) -> Float[Tensor, "n c h w"]:
        """n fresh images to learn from, without a graph."""
        return generator(*self.noise(n))

    def view(self, x: Tensor, shift: int, flips: bool) -> Float[Tensor, "n c h w"]:
        """Images shifted by up to so many pixels, and flipped or not, at random."""
        return augment(x, self.random, pad=shift, mode="replicate", flip=flips)

    def reinitialise(self, network: nn.Module, number: int) -> None:
        """Draw a network's weights again, by torch's defaults for its layers.

        `number` and the seed decide them, so that all processes have the same.
        """
        cuda = [self.task.device] if self.task.device.type == "cuda" else []
        with torch.random.fork_rng(devices=cuda):
            torch.manual_seed(hash((self.seed, number)) % 2**32)
            for module in network.modules():
                if hasattr(module, "reset_parameters"):
                    module.reset_parameters()

    def watched(self) -> None:
        """Measurements look here, when the generator has just moved."""
        if self.observe:
            self.observe(self)

    # --- what the loop asks for

    def parts(self) -> dict[str, Any]:
        """All that a checkpoint holds besides random states."""
        kept = {n: p for n, p in vars(self).items() if hasattr(p, "state_dict")}
        kept |= {n: p for n, p in vars(self).items() if isinstance(p, Tensor)}
        return {n: part for n, part in kept.items() if n != "teacher"}

    def state_dict(self) -> dict[str, Any]:
        """The whole state between two stages."""
        made = {"random": self.random.get_state(), "samples": self.samples}
        for name, part in self.parts().items():
            tensor = isinstance(part, Tensor)
            made[name] = part.clone() if tensor else part.state_dict()
        return made

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a `state_dict`."""
        for name, part in self.parts().items():
            if isinstance(part, Tensor):
                part.copy_(state[name])
            else:
                part.load_state_dict(state[name])
        self.random.set_state(state["random"])
        self.samples = state["samples"]


def drawn_beta(a: float, n: int, random: torch.Generator) -> Float[Tensor, " n"]:
    """n draws from Beta(a, a), on the random state's device.

    Beta(a, a) is X / (X + Y) of two Gamma(a) variables, taken by their logarithms: at a
    small a both round to zero. Gamma(a) is Gamma(a + 1) · U^(1/a).
    """
    both = torch.full((2, n), a, device=random.device)
    u = 1 - torch.rand(2, n, generator=random, device=random.device)  # never 0
    gamma = torch._standard_gamma(both + 1, generator=random)
    first, second = gamma.log() + u.log() / both
    return (first - second).sigmoid()


class Memory(nn.Module):
    """Up to `capacity` images. A module, so that its content is in checkpoints."""

    def __init__(self, capacity: int, shape: tuple[int, ...], device=None):
        super().__init__()
        self.register_buffer("images", torch.zeros(capacity, *shape, device=device))
        self.register_buffer("filled", torch.zeros((), dtype=torch.int64))  # on the CPU

    def add(self, x: Float[Tensor, "n *shape"], random: torch.Generator) -> None:
        """Keep x: in free places first, then in those of random images."""
        capacity, filled = len(self.images), int(self.filled)
        free = min(capacity - filled, len(x))
        self.images[filled : filled + free] = x[:free]
        rest = x[free : free + capacity]
        if len(rest):
            device = self.images.device
            places = torch.randperm(capacity, generator=random, device=device)
            self.images[places[: len(rest)]] = rest
        self.filled.add_(free)

    def draw(self, n: int, random: torch.Generator) -> Float[Tensor, "n *shape"]:
        """n of the images, with replacement."""
        filled, device = int(self.filled), self.images.device
        return self.images[torch.randint(filled, (n,), generator=random, device=device)]


class Losses:
    """The named terms of every update of a stage, in order, left on the device."""

    def __init__(self) -> None:
        self.updates: list[tuple[str, dict[str, Tensor]]] = []

    def add(self, player: str, terms: dict[str, Tensor]) -> Tensor:
        """Note one update's terms, signed and weighted; their sum is its loss."""
        self.updates.append((player, {n: term.detach() for n, term in terms.items()}))
        return sum(terms.values())

    def mean(self, player: str) -> Tensor | float:
        """A player's mean loss; 0 without any update."""
        sums = [sum(terms.values()) for who, terms in self.updates if who == player]
        return sum(sums) / len(sums) if sums else 0.0


def learning_rate_factor(
    schedule: str, milestones: tuple[float, ...], progress: float
) -> float:
    """The learning rate's factor when a fraction `progress` of the stages is done."""
    if schedule == "cosine":
        return (1 + math.cos(math.pi * progress)) / 2
    if schedule in ("step", "step_0.3"):
        by = 0.1 if schedule == "step" else 0.3
        return by ** sum(progress >= m for m in milestones)
    return 1.0


def scheduled(optimizer: Optimizer, settings: Any, begins: int = 0) -> LambdaLR:
    """The settings' schedule of a learning rate, from after stage `begins` on."""

    def factor(done: int) -> float:
        progress = max(done - begins, 0) / (settings.stages - begins)
        return learning_rate_factor(settings.schedule, settings.milestones, progress)

    return LambdaLR(optimizer, factor)


@contextlib.contextmanager
def frozen(*networks: nn.Module) -> Iterator[None]:
    """Networks whose weights need no gradient here, though their inputs do."""
    weights = [p for network in networks for p in network.parameters()]
    weights = [p for p in weights if p.requires_grad]
    for parameter in weights:
        parameter.requires_grad = False
    try:
        yield
    finally:
        for parameter in weights:
            parameter.requires_grad = True
