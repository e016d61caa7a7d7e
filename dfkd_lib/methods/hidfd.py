"""Hybrid Data-Free Knowledge Distillation (Tang et al. 2025, Algorithm A-1): a GAN learns from few collected images,
guided by the teacher; then the student learns from its images and from the collected ones, under the teacher's own
classifier.

A share of the stages, `gan_share`, is the GAN's, the others are the student's. Ours, where the paper is silent: the
projectors; real and fake of a discriminator's step have the same classes, so that Eq. 8 can pair them; a generator's
step asks for all classes alike; the frequencies of Eq. 11 have a floor; the student's images are shifted and flipped as
for KD. What the public code does instead is a setting: `gan_loss` = hinge, `distill` = simkd. Its losses of Eq. 8 and 9
carry no gradient there; here they do.
"""

import copy

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from .. import ranks
from ..losses import hidfd
from ..models import classifier_of, embedding_and_logits
from ..models.biggan import BigGANDiscriminator, BigGANGenerator, differentiable_augmentation
from ..recipe import STUDENT
from .mad import EMA
from .method import Choices, Method, Terms, detached
from .students import StudentLoss

GAN = (
    *("generator_width", "z_dim", "batch", "generator_steps", "generator_lr", "gan_share", "gan_loss"),
    *("discriminator_lr", "gan_augment", "gan_momentum"),
)
COLLECTED = ("collected_from", "collected_ratio", "collected_by", "collected_imbalance")


class HiDFD(Method):
    """A teacher-guided GAN on few collected images, then feature alignment on both kinds of images."""

    choices = Choices("features", "GAN and class losses, L_reg", "collected images and G", "z and y")
    uses = (
        *STUDENT,
        *GAN,
        *COLLECTED,
        *(
            "lambda_d",
            "integration",
            "lambda_g",
            "gate_q",
            "gate",
            "gamma",
            "frequency_floor",
            "synthetic",
            "inflation",
            "distill",
        ),
        *("temperature",),
    )
    needs = "collected"

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        r, device = self.recipe, self.device
        judging = [*self.discriminator.parameters(), *self.projector.parameters()]
        self.gan_optimizers = {
            "generator": torch.optim.Adam(self.generator.parameters(), r.generator_lr, betas=(0.0, 0.999)),
            "discriminator": torch.optim.Adam(judging, r.discriminator_lr, betas=(0.0, 0.999)),
        }
        for optimizer in self.gan_optimizers.values():
            ranks.averaging(optimizer)
        self.gan_stages = min(round(r.gan_share * r.stages), r.stages - 1)
        self.counters = Counters(torch.full((self.num_classes,), r.batch / self.num_classes, device=device), self.seed)
        self.ema = EMA(self.generator, r.gan_momentum) if r.gan_momentum else None
        self.mixture: tuple[Tensor, Tensor] | None = None  # the synthetic images and their labels, once G is trained

    def build_networks(self) -> None:
        r = self.recipe
        channels, size, _ = self.shape
        self.generator = BigGANGenerator(r.z_dim, self.num_classes, channels, size, r.generator_width)
        self.discriminator = BigGANDiscriminator(self.num_classes, channels, r.generator_width)
        width = classifier_of(self.teacher).in_features
        self.projector = nn.Linear(self.discriminator.num_features, width)  # Φ_D to the teacher's width
        self.student_loss_of = StudentLoss(r.distill, r.temperature)
        self.student = self.student_loss_of.student(self.student, self.teacher, self.shape)

    def networks(self) -> list[nn.Module]:
        return [*super().networks(), self.generator, self.discriminator, self.projector]

    def student_parameters(self) -> list[nn.Parameter]:
        return [p for p in self.student.parameters() if p.requires_grad]

    def parts(self) -> dict[str, object]:
        gan = {"generator": self.generator, "discriminator": self.discriminator, "projector": self.projector}
        gan |= {f"{name}_optimizer": optimizer for name, optimizer in self.gan_optimizers.items()}
        gan |= {"ema": self.ema.network} if self.ema else {}
        return super().parts() | gan | {"counters": self.counters}

    def statistics(self) -> list[Tensor]:
        return [*super().statistics(), self.counters.made]

    def load(self, state: dict[str, object]) -> None:
        super().load(state)
        self.mixture = None

    def progress(self, stage: int) -> float:
        """The student's schedule begins behind the GAN's stages; the GAN's rates are constant (HiDFD "Experiments")."""
        return max(stage - 1 - self.gan_stages, 0) / (self.recipe.stages - self.gan_stages)

    # --- module 1: teacher-guided generation

    def generator_step(self) -> Terms:
        """One step of the discriminator, then one of the generator (HiDFD Eq. 13); none once the student trains."""
        if self.counters.stage >= self.gan_stages:
            return {}
        terms = {f"D: {name}": term for name, term in self.update("discriminator", self.discriminator_loss()).items()}
        self.discriminator.requires_grad_(False)  # its weights' gradients would be computed for nothing
        try:
            loss = self.generator_loss()
        finally:
            self.discriminator.requires_grad_(True)
        return terms | self.update("generator", loss)

    def update(self, player: str, terms: Terms) -> Terms:
        self.gan_optimizers[player].zero_grad()
        sum(terms.values()).backward()
        self.gan_optimizers[player].step()
        return detached(terms)

    def end_generator_stage(self) -> None:
        self.counters.stage += 1
        if self.ema and self.counters.stage <= self.gan_stages:
            self.ema.update(self.generator)

    def discriminator_loss(self) -> Terms:
        """L_D: Eq. 1's discriminator, and λ_d (L_blend + L_trans) of Eq. 8 and 9. Trains D and its projector."""
        r = self.recipe
        x, fake, y = self.pairs()
        with torch.no_grad():
            guide_real, guide_fake = (embedding_and_logits(self.teacher, part)[0] for part in (x, fake))
        real, made = self.discriminator(self.hidden(x)), self.discriminator(self.hidden(fake))
        terms = {
            "GAN": hidfd.gan_discriminator(real.real, made.real, r.gan_loss),
            "classes": hidfd.class_discriminator(real.classes, y, made.classes, y),
        }
        if r.lambda_d:
            features = (guide_real, guide_fake, self.projector(real.features), self.projector(made.features))
            p = torch.rand(r.batch, generator=self.random, device=self.device)
            if r.integration != "transfer":
                terms["L_blend"] = r.lambda_d * hidfd.blend(*features, hidfd.blend_gate(p, r.gate_q, r.gate))
            if r.integration != "blend":
                terms["L_trans"] = r.lambda_d * hidfd.transfer(*features)
        return terms

    @torch.no_grad()
    def pairs(self) -> tuple[Tensor, Tensor, Tensor]:
        """Collected images, as many synthetic ones, and the classes that each pair shares."""
        index = torch.randint(len(self.images), (self.recipe.batch,), generator=self.random, device=self.device)
        y = self.images.y[index]
        return self.images.batch(index), self.generate(self.generator, y), y

    def generator_loss(self) -> Terms:
        """L_G: Eq. 1's generator, and λ_g L_reg of Eq. 12 with the frequencies of Eq. 10 and 11."""
        r = self.recipe
        y = torch.randint(self.num_classes, (r.batch,), generator=self.random, device=self.device)
        x = self.generate(self.generator, y)
        judged = self.discriminator(self.hidden(x))
        terms = {
            "GAN": hidfd.gan_generator(judged.real, r.gan_loss),
            "classes": hidfd.class_generator(judged.classes, y),
        }
        if r.lambda_g:
            logits = self.teacher(x)
            frequencies = hidfd.class_frequencies(self.counters.made, r.frequency_floor)
            terms["L_reg"] = r.lambda_g * hidfd.frequency_regulariser(logits, frequencies)
            made = hidfd.class_counts(logits.detach())
            self.counters.made.copy_(hidfd.smoothed_counts(self.counters.made, made, r.gamma))
        return terms

    def generate(self, generator: nn.Module, y: Int[Tensor, " n"]) -> Float[Tensor, "n channels height width"]:
        """Images of the classes asked for, in the teacher's normalised space."""
        z = torch.randn(len(y), self.recipe.z_dim, generator=self.random, device=self.device)
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
            pixels = generator(z, y)
        return ((pixels.float() + 1) / 2 - self.images.mean) / self.images.std

    def hidden(self, x: Tensor) -> Tensor:
        """What the discriminator is shown of images: all, or what differentiable augmentation leaves."""
        return differentiable_augmentation(x, self.random) if self.recipe.gan_augment else x

    # --- module 2: student distillation

    def student_step(self, step: int = 0) -> Terms:
        """One step on hybrid data; none while the GAN trains."""
        return super().student_step(step) if self.counters.stage > self.gan_stages else {}

    def student_images(self) -> list[Tensor]:
        """A batch of D = N × collected ∪ synthetic, and its labels (HiDFD "Student Distillation")."""
        n, collected = self.recipe.student_batch, len(self.images)
        if self.mixture is None:
            self.mixture = self.synthesise()
        repeats = self.inflation()
        index = torch.randint(
            repeats * collected + self.recipe.synthetic, (n,), generator=self.random, device=self.device
        )
        real = index < repeats * collected
        made, labels = (part[(index - repeats * collected).clamp_min(0)] for part in self.mixture)
        which = index % collected
        pixels = torch.where(real[:, None, None, None], self.images.pixels(which), made)
        return [self.augmented(pixels), torch.where(real, self.images.y[which], labels)]

    def inflation(self) -> int:
        """N: how often each collected image stands in the hybrid data; 0 is the paper's ⌊|D_s| / |D_c|⌋."""
        return self.recipe.inflation or max(self.recipe.synthetic // len(self.images), 1)

    @torch.no_grad()
    def synthesise(self) -> tuple[Tensor, Tensor]:
        """D_s, as whole grey levels, and the classes asked for; from a random state of its own, so the same after
        --resume.
        """
        usual, self.random = self.random, torch.Generator(self.device).manual_seed(int(self.counters.seed) + 1)
        try:
            y = torch.arange(self.recipe.synthetic, device=self.device) % self.num_classes
            generator = copy.deepcopy(self.ema.network if self.ema else self.generator)  # spectral norms move at a pass
            made = torch.cat([self.generate(generator, part) for part in y.split(self.recipe.batch)])
            pixels = (made * self.images.std + self.images.mean) * 255
            return pixels.round().clamp(0, 255).to(torch.uint8), y
        finally:
            self.random = usual

    def result(self) -> nn.Module:
        return self.student_loss_of.merged(self.student)

    def student_loss(self, images: list[Tensor]) -> Terms:
        """Eq. 14, or another loss of the ablation (HiDFD Table 2)."""
        return self.student_loss_of(self.teacher, self.student, *images)


class Counters(nn.Module):
    """What a checkpoint must hold besides networks: the stages done, the synthetic images' seed, and n of Eq. 10."""

    def __init__(self, made: Float[Tensor, " classes"], seed: int):
        super().__init__()
        self.register_buffer("seed", torch.tensor(seed))
        self.register_buffer("stage", torch.zeros((), dtype=torch.int64))  # on the CPU: read at every step
        self.register_buffer("made", made)
