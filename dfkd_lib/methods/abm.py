"""Adversarial Belief Matching (Micaelli and Storkey 2019), as MAD runs it for its baseline: MAD without EMA(G).

Differs from ABM's own code, which divides KL by the number of classes, takes its student steps on the generator's one
batch, and adds attention transfer. MAD's baseline keeps "exactly the same settings" as MAD; so does this.
"""

from torch import Tensor

from ..losses import mad
from .game import Choices, Game


class ABM(Game):
    """KL(p_T ‖ p_S), shrunk by the student and widened by the generator, which also minimises what MAD adds."""

    choices = Choices("KL", "BNmm, where T has BatchNorm; NLL and norm, where G is told a class", "G", "z, or z + e_y")
    unused = ("momentum", "lambda1", "ema_statistics")

    def generator_loss(self) -> Tensor:
        """MAD Eq. 2 and BNmm (Eq. 9); for a conditional generator Eq. 6."""
        r = self.recipe
        z, y = self.noise(r.batch)
        x = self.generate(self.generator, z, y)
        teacher_logits, bn = mad.bn_moments(self.teacher, x)
        loss = -mad.kl(teacher_logits, self.student(x)) + r.lambda_bn * bn
        if r.conditional:
            loss = loss + r.lambda_nll * mad.nll(teacher_logits, y)
            e = self.generator.embedding(y)
            loss = loss + r.lambda_norm * mad.embedding_norm(e, r.norm_scale)
        return loss

    def student_loss(self, images: list[Tensor]) -> Tensor:
        """MAD Eq. 1: λ0·KL on G's images (λ0 = 1, but for the chapter's control of the loss's scale)."""
        (x,) = images
        return self.recipe.lambda0 * mad.kl(self.teacher(x), self.student(x))
