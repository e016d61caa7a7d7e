"""Hybrid Data-Free Knowledge Distillation (Tang et al. 2025, Algorithm A-1): a GAN learns from few collected images,
guided by the teacher; then the student learns from its images and from the collected ones, under the teacher's own
classifier.

Ours, where the paper is silent: the projectors; real and fake of a discriminator's step have the same classes, so that
Eq. 8 can pair them; a generator's step asks for all collected classes alike; the frequencies of Eq. 11 have a floor;
the student's images are shifted and flipped as for KD. What the public code does instead is a setting: `gan_loss` =
hinge, `distill` = simkd. Its losses of Eq. 8 and 9 carry no gradient there; here they do.
"""

import torch
from torch import Tensor, nn

from ..losses import hidfd
from ..models import classifier_of, embedding_and_logits
from ..recipe import COLLECTED, GAN, STUDENT
from .gan import GANMethod
from .method import Choices, Terms
from .students import StudentLoss


class HiDFD(GANMethod):
    """A teacher-guided GAN on few collected images, then feature alignment on both kinds of images."""

    choices = Choices("features", "GAN and class losses, L_reg", "collected images and G", "z and y")
    uses = (
        *(*STUDENT, *GAN, *COLLECTED),
        *("lambda_d", "integration", "gate_q", "gate", "lambda_g", "gamma", "frequency_floor"),
        *("synthetic", "inflation", "distill", "temperature"),
    )

    def build_networks(self) -> None:
        super().build_networks()
        width = classifier_of(self.teacher).in_features
        self.projector = nn.Linear(self.discriminator.num_features, width)  # Φ_D to the teacher's width
        self.student_loss_of = StudentLoss(self.recipe.distill, self.recipe.temperature)
        self.student = self.student_loss_of.student(self.student, self.teacher, self.shape)

    def helpers(self) -> list[nn.Module]:
        return [self.projector]

    # --- module 1: teacher-guided generation

    def discriminator_loss(self) -> Terms:
        """L_D: Eq. 1's discriminator, and λ_d (L_blend + L_trans) of Eq. 8 and 9. Trains D and its projector."""
        r = self.recipe
        x, fake, y = self.pairs()
        real, made = self.discriminator(self.shown(x)), self.discriminator(self.shown(fake))
        terms = {
            "GAN": hidfd.gan_discriminator(real.real, made.real, r.gan_loss),
            "classes": hidfd.class_discriminator(real.classes, y, made.classes, y),
        }
        if r.lambda_d:
            with torch.no_grad():
                guide_real, guide_fake = (embedding_and_logits(self.teacher, part)[0] for part in (x, fake))
            features = (guide_real, guide_fake, self.projector(real.features), self.projector(made.features))
            p = torch.rand(r.batch, generator=self.random, device=self.device)
            if r.integration != "transfer":
                terms["L_blend"] = r.lambda_d * hidfd.blend(*features, hidfd.blend_gate(p, r.gate_q, r.gate))
            if r.integration != "blend":
                terms["L_trans"] = r.lambda_d * hidfd.transfer(*features)
        return terms

    def generator_loss(self) -> Terms:
        """L_G: Eq. 1's generator, and λ_g L_reg of Eq. 12 with the frequencies of Eq. 10 and 11."""
        r = self.recipe
        y = self.classes_asked_for()
        x = self.generate(self.generator, y)
        judged = self.discriminator(self.shown(x))
        terms = {
            "GAN": hidfd.gan_generator(judged.real, r.gan_loss),
            "classes": hidfd.class_generator(judged.classes, y),
        }
        if r.lambda_g:
            logits = self.teacher(x)
            frequencies = hidfd.class_frequencies(self.counters.counts, r.frequency_floor)
            terms["L_reg"] = r.lambda_g * hidfd.frequency_regulariser(logits, frequencies)
            made = hidfd.class_counts(logits.detach())
            self.counters.counts.copy_(hidfd.smoothed_counts(self.counters.counts, made, r.gamma))
        return terms

    # --- module 2: student distillation

    def student_images(self) -> list[Tensor]:
        """A batch of D = N × collected ∪ synthetic, and its labels (HiDFD "Student Distillation")."""
        if self.synthetic is None:
            self.synthetic = self.synthesise()
        collected = self.inflation() * len(self.images)
        sizes = collected + self.recipe.synthetic, (self.recipe.student_batch,)
        index = torch.randint(*sizes, generator=self.random, device=self.device)
        real = index < collected
        made, labels = (part[(index - collected).clamp_min(0)] for part in self.synthetic)
        which = index % len(self.images)
        pixels = torch.where(real[:, None, None, None], self.images.pixels(which), made)
        return [self.augmented(pixels), torch.where(real, self.images.y[which], labels)]

    def inflation(self) -> int:
        """N: how often each collected image stands in the hybrid data; 0 is the paper's ``⌊|D_s| / |D_c|⌋``."""
        return self.recipe.inflation or max(self.recipe.synthetic // len(self.images), 1)

    def student_loss(self, images: list[Tensor]) -> Terms:
        """Eq. 14, or another loss of the ablation (HiDFD Table 2)."""
        return self.student_loss_of(self.teacher, self.student, *images)

    def result(self) -> nn.Module:
        """The student as a network of its own kind, its projector merged into the classifier."""
        return self.student_loss_of.merged(self.student)
