# ruff: noqa: I001  (long imports in a few lines)
"""Hybrid Data-Free Knowledge Distillation (Tang et al. 2025, Algorithm A-1).

First a GAN learns from few collected images, guided by the teacher; then the student
learns from its images and from the collected ones, under the teacher's own classifier.

Eq. 14 and the losses that Table 2 compares it with are in `hidfd_students` and
`hidfd_maps`; Eq. 2 to 7 are theory (`dfkd_lib.theory`).

Ours, where the paper is silent: the projectors; a discriminator's step has real and
fake images of the same classes, so that Eq. 8 can pair them; a generator's step asks
for all collected classes alike; the frequencies of Eq. 11 have a floor; the student's
images are shifted and flipped as for KD. The public code's choices are settings
(`gan_loss` = hinge, `distill` = simkd); there, Eq. 8 and 9 carry no gradient.
"""

import copy
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn
from torch.nn import functional as F

from ..losses import (
    Classes, Images, Labels, Logits, Rows, Scalar, distance, information_entropy,
    log_class_share, one_hot,
)  # fmt: skip
from ..models import classifier_of, embedding_and_logits
from ..models.biggan import BigGANDiscriminator, BigGANGenerator
from . import setting
from .hidfd_maps import learners
from .hidfd_students import Distill, merged, student_for, student_terms
from .state import Choices, Losses, State, Task, frozen

Vector, TwoClasses = Float[Tensor, " n"], Float[Tensor, "_ two_c"]
Index = Int[Tensor, " _"]


@dataclass(frozen=True)
class HiDFD:
    """A teacher-guided GAN on few collected images, then feature alignment on both."""

    choices: ClassVar = Choices(
        "features", "GAN and class losses, L_reg", "collected images and G", "z and y"
    )
    data: ClassVar = "collected"

    guide: str = setting.fixed("HiDFD")  # or DeGAN's losses
    # the collected images
    collected_from: str = "auto"  # a data set; auto: the first related one here
    collected_ratio: setting.Positive = 0.2  # ρ: per training image of the teacher's
    collected_by: Literal["category", "confidence"] = "category"  # not without labels
    collected_imbalance: setting.Weight = 5.0  # largest class : smallest; 0: as it is
    # module 1: the GAN
    gan_share: setting.BelowOne = 0.5  # of the stages: the first ones are the GAN's
    gan_loss: Literal["hinge", "log", "non_saturating"] = "log"  # log: Eq. 1
    lambda_d: setting.Weight = 0.1  # of L_blend + L_trans, Eq. 13
    integration: Literal["blend", "both", "transfer"] = "both"  # for Table 2
    gate_q: setting.Fraction = 0.7  # q of Eq. 8
    lambda_g: setting.Weight = 0.1  # of L_reg, Eq. 13
    gamma: setting.Fraction = 0.5  # of the class counts, Eq. 10
    frequency_floor: setting.Fraction = 0.1  # of Eq. 11, as a fraction of 1/C
    generator_width: setting.Size = 8
    z_dim: setting.Size = 100
    batch: setting.Size = 128
    generator_steps: setting.Count = 1  # of D and of G, a stage
    generator_lr: setting.Weight = 1e-3
    discriminator_lr: setting.Weight = 4e-4
    # module 2: the student
    synthetic: setting.Count = 2000  # |D_s|
    inflation: setting.CountFrom0 = 0  # N; 0 is the paper's ⌊|D_s| / |D_c|⌋
    distill: Distill = "align"
    distill_weight: setting.Weight = 1.0  # of catkd's or semckd's own, for other maps
    temperature: setting.Temperature = 1.0
    student_steps: setting.Count = 5
    student_batch: setting.Size = 128
    student_optimizer: setting.Optimizer = "sgd"
    student_lr: setting.Weight = 0.03
    student_momentum: setting.Fraction = 0.9
    student_weight_decay: setting.Weight = 5e-4
    schedule: setting.Schedule = "cosine"  # of the student; the GAN's rates are fixed
    milestones: tuple[float, ...] = (1 / 3, 2 / 3)
    stages: setting.Count = 160
    stages_per_epoch: setting.Count = 10  # how often the student is tested

    __post_init__ = setting.check

    @property
    def gan_stages(self) -> int:
        """How many stages are the GAN's; at least one is the student's."""
        return min(round(self.gan_share * self.stages), self.stages - 1)

    def start(self, teacher: nn.Module, student: nn.Module, task: Task, seed: int):
        """Networks, optimisers and noise of a run."""
        s = State(teacher, student, task, seed)
        classes, (channels, size, _) = task.num_classes, task.shape
        wide = self.generator_width
        generator = BigGANGenerator(self.z_dim, classes, channels, size, wide)
        discriminator = BigGANDiscriminator(classes, channels, wide)
        width = classifier_of(teacher).in_features
        projector = nn.Linear(discriminator.num_features, width)  # Φ_D to Φ_T's width
        student = student_for(self.distill, s.student, s.teacher, task.shape)
        s.generator, s.discriminator, s.projector, s.student = (
            task.place(network).train()
            for network in (generator, discriminator, projector, student)
        )
        s.counts = torch.full((classes,), self.batch / classes, device=task.device)
        s.present = task.images.y.unique()  # D learns no other class
        judges = [*s.discriminator.parameters(), *s.projector.parameters()]
        adam = partial(torch.optim.Adam, betas=(0.0, 0.999))  # as in BigGAN
        s.generator_optimizer = adam(s.generator.parameters(), self.generator_lr)
        s.discriminator_optimizer = adam(judges, self.discriminator_lr)
        s.optimize_student(self, learners(self, s), begins=self.gan_stages)
        s.made = None  # D_s and its labels, once the GAN is trained
        return s

    def stage(self, s: State) -> Losses:
        """A stage of Algorithm A-1: the GAN's, or after `gan_stages` the student's."""
        gan = s.stage <= self.gan_stages
        return self.gan_stage(s) if gan else self.student_stage(s)

    # --- module 1: teacher-guided generation

    def gan_stage(self, s: State) -> Losses:
        """Steps of the discriminator and of the generator, in turns (Eq. 13)."""
        losses = Losses()
        for _ in range(self.generator_steps):
            loss = losses.add("discriminator", self.discriminator_loss(s))
            s.discriminator_optimizer.zero_grad()
            loss.backward()
            s.discriminator_optimizer.step()

            with frozen(s.discriminator):
                loss = losses.add("generator", self.generator_loss(s))
                s.generator_optimizer.zero_grad()
                loss.backward()
            s.generator_optimizer.step()
        s.watched()
        return losses

    def discriminator_loss(self, s: State) -> dict[str, Tensor]:
        """L_D: Eq. 1, and λ_d (L_blend + L_trans) of Eq. 8 and 9."""
        images, size = s.task.images, (self.batch,)
        given = {"generator": s.random, "device": s.task.device}
        index = torch.randint(len(images), size, **given)
        x, y = images.batch(index), images.y[index]
        with torch.no_grad():
            fake = images_of(s, s.generator, y)
        real, made = s.discriminator(x), s.discriminator(fake)
        terms = {"GAN": gan_discriminator(real.real, made.real, self.gan_loss)}
        if self.guide == "DeGAN":
            return terms
        terms["classes"] = class_discriminator(real.classes, y, made.classes, y)
        if self.lambda_d:
            with torch.no_grad():
                guides = [embedding_and_logits(s.teacher, i)[0] for i in (x, fake)]
            features = *guides, s.projector(real.features), s.projector(made.features)
            p = torch.rand(self.batch, **given)
            if self.integration != "transfer":
                gate = (p > self.gate_q).to(p.dtype)
                terms["L_blend"] = self.lambda_d * blend(*features, gate)
            if self.integration != "blend":
                terms["L_trans"] = self.lambda_d * transfer(*features)
        return terms

    def generator_loss(self, s: State) -> dict[str, Tensor]:
        """L_G: Eq. 1, and λ_g L_reg of Eq. 12 with the frequencies of Eq. 10 and 11.

        DeGAN: L_adv + λ_e L_entropy − λ_d L_diversity, the latter two being DAFL's
        one-hot and information-entropy terms.
        """
        given = {"generator": s.random, "device": s.task.device}
        y = s.present[torch.randint(len(s.present), (self.batch,), **given)]
        x = images_of(s, s.generator, y)
        judged = s.discriminator(x)
        terms = {"GAN": gan_generator(judged.real, self.gan_loss)}
        if self.guide == "DeGAN":
            logits = s.teacher(x)
            terms["sure"] = self.lambda_onehot * one_hot(logits)
            terms["diverse"] = self.lambda_entropy * information_entropy(logits)
            return terms
        terms["classes"] = class_generator(judged.classes, y)
        if self.lambda_g:
            logits = s.teacher(x)
            frequencies = class_frequencies(s.counts, self.frequency_floor)
            terms["L_reg"] = self.lambda_g * frequency_regulariser(logits, frequencies)
            made = F.one_hot(logits.argmax(dim=1), len(s.counts)).float().sum(dim=0)
            s.counts.copy_(smoothed_counts(s.counts, made, self.gamma))
        return terms

    # --- module 2: student distillation

    def student_stage(self, s: State) -> Losses:
        """Steps of the student on D = N × D_c ∪ D_s (Eq. 14, or a loss of Table 2)."""
        losses = Losses()
        s.made = s.made or self.synthesise(s)
        for _ in range(self.student_steps):
            x, y = self.hybrid_batch(s)
            terms = student_terms(self, s, x, y)
            loss = losses.add("student", terms)
            s.student_optimizer.zero_grad()
            loss.backward()
            s.student_optimizer.step()
            s.samples += len(x)
        return losses

    def hybrid_batch(self, s: State) -> tuple[Tensor, Tensor]:
        """A batch of N times the collected images and D_s; DeGAN's is of D_s alone."""
        images, device = s.task.images, s.task.device
        repeats = self.inflation or max(self.synthetic // len(images), 1)
        repeated = 0 if self.guide == "DeGAN" else repeats * len(images)
        total, size = repeated + self.synthetic, (self.student_batch,)
        index = torch.randint(total, size, generator=s.random, device=device)
        real, which = index < repeated, index % len(images)
        made, labels = (part[(index - repeated).clamp_min(0)] for part in s.made)
        pixels = torch.where(real[:, None, None, None], images.pixels(which), made)
        y = torch.where(real, images.y[which], labels)
        return images.shifted(pixels, s.random), y

    @torch.no_grad()
    def synthesise(self, s: State) -> tuple[UInt8[Tensor, "n c h w"], Labels]:
        """D_s as whole grey levels, and the classes asked for."""
        device = s.task.device
        random = torch.Generator(device).manual_seed(s.seed + 1)  # as when resumed
        y = s.present[torch.arange(self.synthetic, device=device) % len(s.present)]
        generator = copy.deepcopy(s.generator)  # spectral norms move at every pass
        made = []
        for part in y.split(self.batch):
            x = images_of(s, generator, part, random)
            x = (x * s.task.images.std + s.task.images.mean) * 255
            made.append(x.round().clamp(0, 255).to(torch.uint8))
        return torch.cat(made), y

    def finished(self, s: State) -> nn.Module:
        """The student as a network of its own kind, its projector merged."""
        return merged(self.distill, s.student)


@dataclass(frozen=True)
class DeGAN(HiDFD):
    """DeGAN (Addepalli et al. 2020) with HiDFD's networks and without its classes."""

    choices: ClassVar = Choices("KL", "GAN loss; sure and diverse answers", "G", "z")

    guide: str = setting.fixed("DeGAN")
    lambda_d: float = setting.fixed(0.0)
    integration: str = setting.fixed("both")
    gate_q: float = setting.fixed(0.7)
    lambda_g: float = setting.fixed(0.0)
    gamma: float = setting.fixed(0.5)
    frequency_floor: float = setting.fixed(0.1)
    inflation: int = setting.fixed(0)
    lambda_onehot: setting.Weight = 1.0  # the teacher's answers to G's images: firm,
    lambda_entropy: setting.Weight = 5.0  # and diverse


def images_of(s: State, generator: nn.Module, y: Labels, random: Any = None) -> Images:
    """Images of the classes asked for, in the teacher's normalised space."""
    given = {"generator": random or s.random, "device": y.device}
    z = torch.randn(len(y), generator.z_dim, **given)
    return ((generator(z, y).float() + 1) / 2 - s.task.images.mean) / s.task.images.std


# --- ADCGAN (Eq. 1). The discriminator gives a logit u, N_D = σ(u), and 2C logits of
# --- classes: C for "real and of class y" (y⁺), then C for "fake and of class y" (y⁻)


def gan_discriminator(real: Tensor, fake: Tensor, form: str = "log") -> Scalar:
    """−L_d = −log σ(u_real) − log(1 − σ(u_fake)), from the logits u (HiDFD Eq. 1).

    hinge, as in the public code: max(1 − u_real, 0) + max(1 + u_fake, 0).
    """
    if form == "hinge":
        return F.relu(1 - real).mean() + F.relu(1 + fake).mean()
    return F.softplus(-real).mean() + F.softplus(fake).mean()


def gan_generator(fake: Vector, form: str = "log") -> Scalar:
    """L_g from the discriminator's logits u (HiDFD Eq. 1).

    log: log(1 − σ(u)), whose gradient vanishes with σ(u) (Eq. 6); non_saturating:
    −log σ(u); hinge, as in the public code: −u.
    """
    if form == "log":
        return -F.softplus(fake).mean()
    return F.softplus(-fake).mean() if form == "non_saturating" else -fake.mean()


def class_discriminator(
    real: TwoClasses, y_real: Index, fake: TwoClasses, y_fake: Index
) -> Scalar:
    """−E_P log Ψ(y⁺ | x) − E_Q log Ψ(y⁻ | x) (HiDFD Eq. 1, the sign corrected).

    Eq. 1 prints a plus, which trains D to fail; appendix and public code do not.
    """
    classes = fake.shape[1] // 2
    return F.cross_entropy(real, y_real) + F.cross_entropy(fake, y_fake + classes)


def class_generator(fake: TwoClasses, y: Labels) -> Scalar:
    """−E_Q log Ψ(y⁺ | x) + E_Q log Ψ(y⁻ | x), a difference of logits (HiDFD Eq. 1)."""
    rows = torch.arange(len(y), device=y.device)
    return (fake[rows, y + fake.shape[1] // 2] - fake[rows, y]).mean()


# --- feature integration: T's and D's features; rows i of real and fake have one class


def blend(
    t_real: Rows, t_fake: Rows, d_real: Rows, d_fake: Rows, gate: Vector
) -> Scalar:
    """L_blend: Φ_D of fakes to Φ_T of real images and vice versa (HiDFD Eq. 8).

    `gate` is I(p > q) for p from U(0, 1), open with probability 1 − q. The text below
    the equation says "with a probability of q": that is `gate_q` = 1 − q.
    """
    return (gate * (distance(t_real, d_fake) + distance(t_fake, d_real))).mean()


def transfer(t_real: Rows, t_fake: Rows, d_real: Rows, d_fake: Rows) -> Scalar:
    """L_trans: Φ_D to Φ_T of the same image, real and fake (HiDFD Eq. 9)."""
    return (distance(t_real, d_real) + distance(t_fake, d_fake)).mean()


# --- category frequency smoothing


def smoothed_counts(counts: Classes, made: Classes, gamma: float) -> Classes:
    """n^t = (1 − γ) n^{t−1} + γ n̄^{t−1} (HiDFD Eq. 10).

    n̄ counts images by the teacher's class: the paper does not say whose, its code does.
    """
    return (1 - gamma) * counts + gamma * made


def class_frequencies(counts: Classes, floor: float) -> Classes:
    """n̂ = n / Σ n, at least `floor` times 1/C (HiDFD Eq. 11; the floor is ours).

    Eq. 12 divides by n̂, which goes to 0 for a class that is never made.
    """
    return (counts / counts.sum()).clamp_min(floor / len(counts))


def frequency_regulariser(teacher: Logits, frequencies: Classes) -> Scalar:
    """L_reg = Σ_c p_c log p_c / n̂_c, p the mean probabilities (HiDFD Eq. 12)."""
    log_p = log_class_share(teacher)
    return (log_p.exp() * log_p / frequencies).sum()
