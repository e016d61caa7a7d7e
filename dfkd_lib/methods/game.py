"""The adversarial game that DFAD, ABM and MAD share: three networks, two optimisers, and noise.

A method subclasses `Game` and writes its paper's two losses. Everything that is not in the paper's equations is here.
"""

import copy
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from ..models import ConditionalGenerator, GeneratorA, MADGenerator, build
from ..recipes import Recipe

GENERATORS = {
    "generator_a": lambda r, c: GeneratorA(r.z_dim, c, width=r.generator_width),
    "mad_cifar": lambda r, c: MADGenerator(r.z_dim, c),
}
_STUDENT_OPTIMIZERS = {
    "sgd": lambda weights, r: torch.optim.SGD(
        weights, r.student_lr, momentum=r.student_momentum, weight_decay=r.student_weight_decay, fused=True
    ),
    "adam": lambda weights, r: torch.optim.Adam(weights, r.student_lr, weight_decay=r.student_weight_decay, fused=True),
}


@dataclass(frozen=True)
class Choices:
    """The four choices that an adversarial method makes; the book's overview is printed from these."""

    discrepancy: str
    generator_also: str
    samples_from: str
    generator_sees: str


class Game(ABC):
    """The teacher is fixed, in evaluation mode; student and generator train in both phases (as in DFAD's code)."""

    choices: Choices
    unused: tuple[str, ...] = ()  # settings of the recipe that the method does not read

    def __init__(
        self,
        teacher: nn.Module,
        recipe: Recipe,
        num_classes: int,
        channels: int,
        *,
        seed: int,
        device: str = "cpu",
        precision: str = "float32",
    ):
        self.recipe, self.num_classes, self.device = recipe, num_classes, torch.device(device)
        self.dtype = getattr(torch, precision)
        self.teacher = copy.deepcopy(teacher).eval().requires_grad_(False)
        with torch.random.fork_rng(devices=[]):  # initial weights depend on the seed, and disturb nobody's random state
            torch.default_generator.manual_seed(seed)
            self.student = build(recipe.student, num_classes)
            self.generator = GENERATORS[recipe.generator](recipe, channels)
            if recipe.conditional:
                self.generator = ConditionalGenerator(self.generator, num_classes)
        for network in (self.teacher, self.student, self.generator):
            network.to(self.device, memory_format=torch.channels_last)  # the faster layout, on CPU and GPU
        self.student.train()
        self.generator.train()
        self.student_optimizer = _STUDENT_OPTIMIZERS[recipe.student_optimizer](self.student.parameters(), recipe)
        self.generator_optimizer = torch.optim.Adam(
            self.generator.parameters(),
            recipe.generator_lr,
            betas=(recipe.generator_beta1, 0.999),
            weight_decay=recipe.generator_weight_decay,
            fused=True,
        )
        self.random = torch.Generator(self.device).manual_seed(seed)
        self.samples = 0  # images the student has been trained on, reused ones each time
        self.buffer: list[list[Tensor]] = []  # a stage's images, where they are used more than once

    def noise(self, n: int) -> tuple[Float[Tensor, "n z"], Int[Tensor, " n"]]:
        """z ~ N(0, I), and y uniform over the classes (read by a conditional generator only)."""
        z = torch.randn(n, self.recipe.z_dim, generator=self.random, device=self.device)
        y = torch.randint(self.num_classes, (n,), generator=self.random, device=self.device)
        return z, y

    def generate(
        self, generator: nn.Module, z: Float[Tensor, "n z"], y: Int[Tensor, " n"]
    ) -> Float[Tensor, "n channels height width"]:
        """Images in the teacher's normalised input space. Only the generator runs in reduced precision."""
        inputs = (z, y) if self.recipe.conditional else (z,)
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
            x = generator(*inputs)
        return x.float()

    @torch.no_grad()
    def draw(self, generator: nn.Module, n: int) -> Float[Tensor, "n channels height width"]:
        """n fresh images to learn from: no graph is kept."""
        return self.generate(generator, *self.noise(n))

    def generator_step(self) -> Tensor:
        """One update of the generator, against the student as it stands. Returns the loss, detached."""
        self.student.requires_grad_(False)  # its weights' gradients would be computed for nothing
        try:
            loss = self.generator_loss()
        finally:
            self.student.requires_grad_(True)
        self.generator_optimizer.zero_grad()
        loss.backward()
        self.generator_optimizer.step()
        return loss.detach()

    def student_step(self, step: int = 0) -> Tensor:
        """One update of the student, `step` counting within its stage. Returns the loss, detached.

        With `recipe.reuse` = r, a stage draws an r-th of its batches, before its first step, and sees each r times: the
        buffer that MAD leaves to future work.
        """
        fresh = self.recipe.student_steps // self.recipe.reuse
        if step == 0:
            self.buffer = [self.student_images() for _ in range(fresh)] if self.recipe.reuse > 1 else []
        images = self.buffer[step % fresh] if self.buffer else self.student_images()
        loss = self.student_loss(images)
        self.student_optimizer.zero_grad()
        loss.backward()
        self.student_optimizer.step()
        self.samples += sum(len(x) for x in images)
        return loss.detach()

    def end_generator_stage(self) -> None:  # noqa: B027  most methods do nothing here
        """Called once, behind the generator's last step of a stage."""

    @abstractmethod
    def generator_loss(self) -> Tensor:
        """What the generator minimises, on fresh noise; a graph to its weights."""

    def student_images(self) -> list[Tensor]:
        """The images of one student step, one batch per source; here, one from the generator."""
        return [self.draw(self.generator, self.recipe.student_batch)]

    @abstractmethod
    def student_loss(self, images: list[Tensor]) -> Tensor:
        """What the student minimises on those batches."""
