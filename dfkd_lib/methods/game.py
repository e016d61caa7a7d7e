"""The adversarial game that DFAD, AR+VI, ABM and MAD share: three networks, two optimisers, and noise.

A method subclasses `Game` and writes its paper's two losses. Everything that is not in the paper's equations is here.
"""

import math
from abc import abstractmethod
from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from .. import ranks
from ..models import GeneratorA, GeneratorB, MADGenerator, MADResNetGenerator, conditioned, flow_for
from ..models.fast_layers import quicken
from ..models.precision import gains_from_reduction, keep_logits_exact
from ..recipe import GENERATOR, STUDENT
from .method import Method, Terms, detached

GENERATORS = {
    "generator_a": lambda recipe, z, c, size: GeneratorA(z, c, size, width=recipe.generator_width),
    "generator_b": lambda recipe, z, c, size: GeneratorB(z, c, size, width=recipe.generator_width),
    "flow": lambda recipe, z, c, size: flow_for(z, c, size),
    "mad_cifar": lambda recipe, z, c, size: MADGenerator(z, c, size),
    "mad_tiny_imagenet": lambda recipe, z, c, size: MADGenerator(z, c, size),
    "mad_imagenet": lambda recipe, z, c, size: MADResNetGenerator(z, c, size),
}


class Game(Method):
    """Student and generator train in both phases, each against the other as it stands."""

    uses = (*STUDENT, *GENERATOR)

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        r = self.recipe
        self.generator.train()
        players = (self.teacher, self.student)
        self.reduces_all = self.dtype != torch.float32 and all(gains_from_reduction(network) for network in players)
        if self.reduces_all:
            for network in players:
                keep_logits_exact(network)
        self.teacher.requires_grad_(self.plain)  # the public loop never fixes it
        if self.fast_layers:
            for network in self.networks():
                quicken(network)
        self.generator_optimizer = ranks.averaging(
            torch.optim.Adam(
                self.generator.parameters(),
                r.generator_lr,
                betas=(r.generator_beta1, 0.999),
                weight_decay=r.generator_weight_decay,
                fused=self.fused,
            )
        )

    def result(self) -> nn.Module:
        """The trained student by itself, with the layers that it was made of."""
        with torch.random.fork_rng(devices=[]):
            student = self.make_student().to(self.device)
        student.load_state_dict(self.student.state_dict())
        return student

    @property
    def conditional(self) -> bool:
        """Whether the generator is told a class."""
        return self.recipe.conditional and "conditional" in self.uses

    def build_networks(self) -> None:
        r = self.recipe
        channels, size, _ = self.shape
        if r.generator == "mad_imagenet":  # it doubles 6 times: 256 for teachers of 224, as in MAD's Table 8
            size = math.ceil(size / 64) * 64
            self.shape = (channels, size, size)
        self.generator = conditioned(
            r.conditioning if self.conditional else "none",
            lambda z: GENERATORS[r.generator](r, z, channels, size),
            r.z_dim,
            self.num_classes,
        )

    def networks(self) -> list[nn.Module]:
        return [*super().networks(), self.generator]

    def optimizers(self) -> list[torch.optim.Optimizer]:
        return [*super().optimizers(), self.generator_optimizer]

    def parts(self) -> dict[str, object]:
        return super().parts() | {"generator": self.generator, "generator_optimizer": self.generator_optimizer}

    def noise(self, n: int) -> tuple[Float[Tensor, "n z"], Int[Tensor, " n"]]:
        """z ~ N(0, I), and y uniform over the classes (read by a conditional generator only)."""
        z = torch.randn(n, self.recipe.z_dim, generator=self.random, device=self.device)
        y = torch.randint(self.num_classes, (n,), generator=self.random, device=self.device)
        return z, y

    def generate(
        self, generator: nn.Module, z: Float[Tensor, "n z"], y: Int[Tensor, " n"]
    ) -> Float[Tensor, "n channels height width"]:
        """Images in the teacher's normalised input space."""
        with self.reduced():
            x = generator(*self.inputs(z, y))
        return x.float()

    def generate_both(
        self, generator: nn.Module, z: Float[Tensor, "n z"], y: Int[Tensor, " n"]
    ) -> tuple[Tensor, Tensor]:
        """The images before their squashing, and the images."""
        with self.reduced():
            before = generator.logits(*self.inputs(z, y))
            x = generator.squash(before)
        return before.float(), x.float()

    def inputs(self, z: Tensor, y: Tensor) -> tuple[Tensor, ...]:
        """What a generator is called with."""
        return (z, y) if self.conditional else (z,)

    def reduced(self) -> torch.autocast:
        """The generator's precision."""
        return torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32)

    def precision_of_loss(self) -> torch.autocast:
        """Teacher's and student's: the generator's, where they gain by it."""
        return torch.autocast(self.device.type, self.dtype, enabled=self.reduces_all)

    def draw(self, generator: nn.Module, n: int) -> Float[Tensor, "n channels height width"]:
        """n fresh images to learn from: no graph is kept, nor even built but by the public loop."""
        with torch.set_grad_enabled(self.plain):
            return self.generate(generator, *self.noise(n)).detach()

    def generator_step(self) -> Terms:
        """One update of the generator, against the student as it stands. Returns the loss's terms, detached."""
        return self.update_generator(self.generator_loss)

    def update_generator(self, loss: Callable[[], Terms]) -> Terms:
        """One update of the generator by a loss, a function without arguments."""
        self.student.requires_grad_(self.plain)  # the public loop computes its gradients, which nobody reads
        try:
            with self.precision_of_loss():
                terms = loss()
            self.generator_optimizer.zero_grad()
            sum(terms.values()).backward()
        finally:
            self.student.requires_grad_(True)
        self.generator_optimizer.step()
        return detached(terms)

    @abstractmethod
    def generator_loss(self) -> Terms:
        """What the generator minimises, on fresh noise; a graph to its weights."""

    def student_images(self) -> list[Tensor]:
        """The images of one student step, one batch per source; here, one from the generator."""
        return [self.draw(self.generator, self.recipe.student_batch)]
