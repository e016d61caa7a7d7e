"""What HiDFD and DeGAN share: a GAN trained on collected images first, a student on its images then.

A share of the stages, `gan_share`, is the GAN's; the others are the student's.
"""

import copy
from abc import abstractmethod
from typing import Any

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn

from .. import ranks
from ..errors import UserError
from ..models.biggan import BigGANDiscriminator, BigGANGenerator, differentiable_augmentation
from ..recipe import Recipe
from .mad import EMA
from .method import Method, Terms, detached

_BETAS = (0.0, 0.999)  # Adam's in BigGAN; ours, where HiDFD is silent


class GANMethod(Method):
    """A GAN's stages, then the student's (HiDFD Algorithm A-1). Who makes the losses is the method."""

    needs = "collected"

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        r = self.recipe
        trained = {"generator": [self.generator], "discriminator": [self.discriminator, *self.helpers()]}
        rates = {"generator": r.generator_lr, "discriminator": r.discriminator_lr}
        self.gan_optimizers = {
            name: ranks.averaging(
                torch.optim.Adam([p for part in parts for p in part.parameters()], rates[name], betas=_BETAS)
            )
            for name, parts in trained.items()
        }
        fair = torch.full((self.num_classes,), r.batch / self.num_classes, device=self.device)
        self.counters = Counters(fair, self.seed)
        self.ema = EMA(self.generator, r.gan_momentum) if r.gan_momentum else None
        self.present = self.images.y.unique()  # D learns nothing of other classes, so G is asked for none
        self.synthetic: tuple[Tensor, Tensor] | None = None  # D_s and its labels, once G is trained

    @classmethod
    def check(cls, recipe: Recipe) -> None:
        if recipe.collected_by == "random":
            raise UserError(
                "collected_by: random images have no labels, which the GAN needs; give category or confidence"
            )

    def build_networks(self) -> None:
        r = self.recipe
        channels, size, _ = self.shape
        self.generator = BigGANGenerator(r.z_dim, self.num_classes, channels, size, r.generator_width)
        self.discriminator = BigGANDiscriminator(self.num_classes, channels, r.generator_width)

    def helpers(self) -> list[nn.Module]:
        """Networks that learn with the discriminator."""
        return []

    def networks(self) -> list[nn.Module]:
        return [*super().networks(), self.generator, self.discriminator, *self.helpers()]

    def student_parameters(self) -> list[nn.Parameter]:
        return [p for p in self.student.parameters() if p.requires_grad]

    def parts(self) -> dict[str, object]:
        gan = {"generator": self.generator, "discriminator": self.discriminator}
        gan |= {f"helper{i}": helper for i, helper in enumerate(self.helpers())}
        gan |= {f"{name}_optimizer": optimizer for name, optimizer in self.gan_optimizers.items()}
        gan |= {"ema": self.ema.network} if self.ema else {}
        return super().parts() | gan | {"counters": self.counters}

    def statistics(self) -> list[Tensor]:
        return [*super().statistics(), self.counters.counts]

    def load(self, state: dict[str, object]) -> None:
        super().load(state)
        self.synthetic = None

    def progress(self, stage: int) -> float:
        """The student's schedule begins behind the GAN's stages; the GAN's rates are constant (HiDFD "Experiments")."""
        gan = self.recipe.gan_stages
        return max(stage - 1 - gan, 0) / (self.recipe.stages - gan)

    # --- module 1: the GAN

    @abstractmethod
    def discriminator_loss(self) -> Terms:
        """What the discriminator and its helpers minimise."""

    @abstractmethod
    def generator_loss(self) -> Terms:
        """What the generator minimises."""

    def generator_step(self) -> Terms:
        """One step of the discriminator, then one of the generator (HiDFD Eq. 13); none once the student trains."""
        if self.counters.stage >= self.recipe.gan_stages:
            return {}
        terms = {f"D: {name}": term for name, term in self.update("discriminator", self.discriminator_loss()).items()}
        self.discriminator.requires_grad_(False)  # its weights' gradients would be computed for nothing
        try:
            loss = self.generator_loss()
        finally:
            self.discriminator.requires_grad_(True)
        terms |= self.update("generator", loss)
        if self.ema:
            self.ema.update(self.generator)
            for mine, theirs in zip(self.ema.network.buffers(), self.generator.buffers(), strict=True):
                mine.copy_(theirs)  # spectral norms' vectors follow the weights
        return terms

    def update(self, player: str, terms: Terms) -> Terms:
        """One step down the sum of a player's terms."""
        self.gan_optimizers[player].zero_grad()
        sum(terms.values()).backward()
        self.gan_optimizers[player].step()
        return detached(terms)

    def end_generator_stage(self) -> None:
        self.counters.stage += 1

    @torch.no_grad()
    def pairs(self) -> tuple[Tensor, Tensor, Tensor]:
        """Collected images, as many synthetic ones, and the classes that each pair shares."""
        index = torch.randint(len(self.images), (self.recipe.batch,), generator=self.random, device=self.device)
        y = self.images.y[index]
        return self.images.batch(index), self.generate(self.generator, y), y

    def classes_asked_for(self) -> Int[Tensor, " batch"]:
        """For a step of the generator: all classes that were collected, alike."""
        index = torch.randint(len(self.present), (self.recipe.batch,), generator=self.random, device=self.device)
        return self.present[index]

    def generate(self, generator: nn.Module, y: Int[Tensor, " n"]) -> Float[Tensor, "n channels height width"]:
        """Images of the classes asked for, in the teacher's normalised space."""
        z = torch.randn(len(y), self.recipe.z_dim, generator=self.random, device=self.device)
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
            pixels = generator(z, y)
        return ((pixels.float() + 1) / 2 - self.images.mean) / self.images.std

    def shown(self, x: Tensor) -> Tensor:
        """What the discriminator is shown of images: all, or what differentiable augmentation leaves."""
        return differentiable_augmentation(x, self.random) if self.recipe.gan_augment else x

    # --- module 2: the student

    def student_step(self, step: int = 0) -> Terms:
        """One step on synthetic or hybrid images; none while the GAN trains."""
        return super().student_step(step) if self.counters.stage > self.recipe.gan_stages else {}

    @torch.no_grad()
    def synthesise(self) -> tuple[UInt8[Tensor, "n channels height width"], Int[Tensor, " n"]]:
        """D_s, as whole grey levels, and the classes asked for; from a random state of its own, so the same after
        --resume.
        """
        usual, self.random = self.random, torch.Generator(self.device).manual_seed(int(self.counters.seed) + 1)
        try:
            y = self.present[torch.arange(self.recipe.synthetic, device=self.device) % len(self.present)]
            generator = copy.deepcopy(self.ema.network if self.ema else self.generator)  # spectral norms move at a pass
            made = []
            for part in y.split(self.recipe.batch):
                x = self.generate(generator, part)
                made.append(((x * self.images.std + self.images.mean) * 255).round().clamp(0, 255).to(torch.uint8))
            return torch.cat(made), y
        finally:
            self.random = usual


class Counters(nn.Module):
    """What a checkpoint must hold besides networks: the stages done, the synthetic images' seed, and n of Eq. 10."""

    def __init__(self, counts: Float[Tensor, " classes"], seed: int):
        super().__init__()
        self.register_buffer("seed", torch.tensor(seed))
        self.register_buffer("stage", torch.zeros((), dtype=torch.int64))  # on the CPU: read at every step
        self.register_buffer("counts", counts)
