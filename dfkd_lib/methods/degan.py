"""DeGAN (Addepalli et al. 2020): a GAN on collected images, whose generator also wants the teacher sure and its answers
diverse; the student sees synthetic images only. Here with HiDFD's networks and without its classes (ours: to compare).
"""

from ..losses import baselines, hidfd
from ..recipe import COLLECTED, GAN, STUDENT
from .hidfd import HiDFD
from .method import Choices, Terms


class DeGAN(HiDFD):
    """A GAN on collected images, whose generator pleases the teacher, too."""

    choices = Choices("KL", "GAN loss; sure and diverse answers", "G", "z")
    uses = (
        *(*STUDENT, *GAN, *COLLECTED),
        *("synthetic", "distill", "temperature", "lambda_onehot", "lambda_entropy"),
    )

    def discriminator_loss(self) -> Terms:
        """L_adv of the discriminator."""
        x, fake, _ = self.pairs()
        judged = [self.discriminator(self.shown(part)).real for part in (x, fake)]
        return {"GAN": hidfd.gan_discriminator(*judged, self.recipe.gan_loss)}

    def generator_loss(self) -> Terms:
        """L_adv + λ_e L_entropy − λ_d L_diversity; the latter two are DAFL's one-hot and information-entropy terms."""
        r = self.recipe
        x = self.generate(self.generator, self.classes_asked_for())
        logits = self.teacher(x)
        return {
            "GAN": hidfd.gan_generator(self.discriminator(self.shown(x)).real, r.gan_loss),
            "sure": r.lambda_onehot * baselines.one_hot(logits),
            "diverse": r.lambda_entropy * baselines.information_entropy(logits),
        }

    def inflation(self) -> int:
        """No collected image is shown to the student."""
        return 0
