"""What the training loop runs: a teacher, a student, and steps. Every method of the book is one of these.

A method says where the student's images come from and what its losses are. A loss is a dictionary of named terms, each
already signed and weighted; their sum is minimised. The names are what a run that breaks down can be told by.
"""

import contextlib
import copy
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from .. import ranks
from ..images import Images, augment
from ..models import build
from ..models.layout import keep_readable
from ..recipe import SETTINGS, STUDENT, Recipe
from ..teacher_recipes import teacher_recipe

Terms = dict[str, Tensor]

_STUDENT_OPTIMIZERS = {
    "sgd": lambda weights, r, fused: torch.optim.SGD(
        weights, r.student_lr, momentum=r.student_momentum, weight_decay=r.student_weight_decay, fused=fused
    ),
    "adam": lambda weights, r, fused: torch.optim.Adam(
        weights, r.student_lr, weight_decay=r.student_weight_decay, fused=fused
    ),
}


@dataclass(frozen=True)
class Choices:
    """The four choices that a data-free method makes; the book's overview is printed from these."""

    discrepancy: str
    generator_also: str
    samples_from: str
    generator_sees: str


class Method(ABC):
    """The teacher is fixed, in evaluation mode; the student trains, in training mode throughout (as in DFAD's code).

    ``precision="plain"``: float32, and everything computed as DFAD's public loop does it, what it needs and what it
    does not. The fast path is measured against that. ``fast_layers=False``: layers as they are named, so that their
    operations can be counted. `student` makes a student that the recipe's name does not stand for.
    """

    choices: Choices
    uses: tuple[str, ...] = STUDENT  # the settings of the recipe that the method reads
    own: tuple[str, ...] = ("random",)  # of its state, what differs from rank to rank
    needs: str | None = None  # the student's kind of real images: original, related, unrelated or collected

    def __init__(
        self,
        teacher: nn.Module,
        recipe: Recipe,
        num_classes: int,
        channels: int,
        *,
        seed: int,
        size: int = 32,
        device: str = "cpu",
        precision: str = "float32",
        images: Images | None = None,
        student: Callable[[], nn.Module] | None = None,
        fast_layers: bool = True,
    ):
        self.plain = precision == "plain"
        self.fast_layers = fast_layers and not self.plain and torch.device(device).type == "cpu"
        self.fused = None if self.plain else True  # optimisers: one pass over all weights
        self.recipe, self.num_classes, self.device = recipe, num_classes, torch.device(device)
        self.shape = (channels, size, size)
        self.dtype = torch.float32 if self.plain else getattr(torch, precision)
        self.seed, self.images = seed, images
        self.teacher = copy.deepcopy(teacher).eval().requires_grad_(False)
        with torch.random.fork_rng(devices=[]):  # initial weights depend on the seed, and disturb nobody's random state
            torch.default_generator.manual_seed(seed)
            self.make_student = student or (lambda: build(recipe.student, num_classes))
            self.student = self.make_student()
            self.build_networks()
        for network in self.networks():
            # The faster layout, on CPU and GPU.
            network.to(self.device, memory_format=torch.contiguous_format if self.plain else torch.channels_last)
        if not self.plain:
            for network in (self.teacher, self.student):
                keep_readable(network, self.shape)
        self.student.train()
        self.student_optimizer = ranks.averaging(
            _STUDENT_OPTIMIZERS[recipe.student_optimizer](self.student_parameters(), recipe, self.fused)
        )
        self.random = torch.Generator(self.device).manual_seed(ranks.own_seed(seed))
        self.samples = 0  # images the student has been trained on, reused ones each time, and on all ranks
        self.buffer: list[list[Tensor]] = []  # a stage's images, where they are used more than once,
        self.answered: dict[Tensor, Tensor] = {}  # and the teacher's logits on them

    @classmethod  # noqa: B027  most methods take any
    def check(cls, recipe: Recipe) -> None:
        """Refuse settings with which the method cannot run, before anything is trained.

        Raises
        ------
        UserError
            says which, and what to give.
        """

    @classmethod
    def choice(cls, recipe: Recipe, teacher: nn.Module, device: str) -> dict[str, Any]:
        """Of the real images that the method needs, which: options of `with_data.images_for`."""
        if cls.needs != "collected":
            return {"share": recipe.data_share}
        return {
            "source": recipe.collected_from,
            "ratio": recipe.collected_ratio,
            "by": recipe.collected_by,
            "imbalance": recipe.collected_imbalance or None,
        } | ({"teacher": copy.deepcopy(teacher).to(device)} if recipe.collected_by == "confidence" else {})

    @classmethod
    def unused(cls) -> set[str]:
        """The settings that the method does not read."""
        return set(SETTINGS - set(cls.uses))

    def build_networks(self) -> None:  # noqa: B027  most methods with data have none
        """Networks besides teacher and student, initialised from the seed."""

    def networks(self) -> list[nn.Module]:
        """All networks, to be moved to the device."""
        return [self.teacher, self.student]

    def student_parameters(self) -> list[nn.Parameter]:
        """What the student's optimiser updates."""
        return list(self.student.parameters())

    def optimizers(self) -> list[torch.optim.Optimizer]:
        """All optimisers whose learning rate follows the schedule."""
        return [self.student_optimizer]

    def progress(self, stage: int) -> float:
        """The share in [0, 1) of the learning rates' schedule that is done before a stage, counted from 1."""
        return (stage - 1) / self.recipe.stages

    def parts(self) -> dict[str, object]:
        """What a checkpoint must hold besides random states: everything here has a `state_dict`."""
        return {"student": self.student, "student_optimizer": self.student_optimizer}

    def statistics(self) -> list[Tensor]:
        """What networks remember of batches, BatchNorm's running moments: to be averaged over ranks."""
        networks = [part for part in self.parts().values() if isinstance(part, nn.Module)]
        layers = [
            m for network in networks for m in network.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)
        ]
        moments = [moment for layer in layers for moment in (layer.running_mean, layer.running_var)]
        return [moment for moment in moments if moment is not None]

    def state(self) -> dict[str, object]:
        """The whole state between two stages."""
        parts = {name: part.state_dict() for name, part in self.parts().items()}
        return parts | {"random": self.random.get_state(), "samples": self.samples}

    def load(self, state: dict[str, object]) -> None:
        """Continue from a `state`."""
        for name, part in self.parts().items():
            part.load_state_dict(state[name])
        self.random.set_state(state["random"])
        self.samples = state["samples"]

    def prepare(self) -> None:  # noqa: B027  most methods do nothing here
        """Called once, before the first stage of a new run."""

    def generator_step(self) -> Terms:
        """One step of whatever makes images; nothing here. Returns the loss's terms, detached."""
        return {}

    def augmented(self, pixels: UInt8[Tensor, "n channels h w"]) -> Float[Tensor, "n channels h w"]:
        """Real images as a teacher of their data set sees them in training: shifted, flipped where that is usual."""
        r = self.recipe
        how = teacher_recipe(r.dataset, r.student, images=len(self.images), size=self.shape[1])
        return self.images.normalise(augment(pixels, self.random, pad=how.pad, mode=how.border, flip=how.flip))

    def result(self) -> nn.Module:
        """The trained student by itself, as it is saved."""
        return self.student

    def end_generator_stage(self) -> None:  # noqa: B027  most methods do nothing here
        """Called once, behind the generator's last step of a stage."""

    def student_step(self, step: int = 0) -> Terms:
        """One update of the student, `step` counting within its stage. Returns the loss's terms, detached.

        With `recipe.reuse` = r, a stage draws an r-th of its batches, before its first step, and sees each r times: the
        buffer that MAD leaves to future work. The teacher is asked about each batch once.
        """
        reuse = self.recipe.reuse if "reuse" in self.uses else 1
        fresh = self.recipe.student_steps // reuse
        if step == 0:
            self.buffer = [self.student_images() for _ in range(fresh)] if reuse > 1 else []
            self.answered = {}
        images = self.buffer[step % fresh] if self.buffer else self.student_images()
        with self.precision_of_loss():
            terms = self.student_loss(images)
        self.student_optimizer.zero_grad()
        sum(terms.values()).backward()
        self.student_optimizer.step()
        self.samples += ranks.count() * sum(len(x) for x in images if x.ndim == 4)  # labels may come along
        return detached(terms)

    def answers(self, x: Float[Tensor, "n channels height width"]) -> Float[Tensor, "n classes"]:
        """The teacher's logits on a batch of `student_images`, which may come again. It is fixed: so are they."""
        if not self.buffer:
            return self.teacher(x).detach()
        if x not in self.answered:  # by identity, as tensors are hashed
            self.answered[x] = self.teacher(x).detach().clone()  # a CUDA graph writes over its last answer
        return self.answered[x]

    def precision_of_loss(self) -> contextlib.AbstractContextManager:
        """What the student's loss is computed in: float32, but for games."""
        return contextlib.nullcontext()

    @abstractmethod
    def student_images(self) -> list[Tensor]:
        """The images of one student step, one batch per source."""

    @abstractmethod
    def student_loss(self, images: list[Tensor]) -> Terms:
        """What the student minimises on those batches."""


def detached(terms: Terms) -> Terms:
    """The terms as numbers on the device, without their graph."""
    return {name: term.detach() for name, term in terms.items()}
