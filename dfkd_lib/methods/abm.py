"""Adversarial Belief Matching (Micaelli and Storkey 2019), as MAD runs it for its baseline: MAD without EMA(G).

Differs from ABM's own code, which divides KL by the number of classes, takes its student steps on the generator's one
batch, and adds attention transfer. MAD's baseline keeps "exactly the same settings" as MAD; so does this.
"""

from torch import Tensor, nn

from ..errors import UserError
from ..losses import mad
from .game import Game
from .method import Choices, Terms


class ABM(Game):
    """KL(p_T ‖ p_S), shrunk by the student and widened by the generator, which also minimises what MAD adds."""

    choices = Choices("KL", "BNmm, where T has BatchNorm; NLL and norm, where G is told a class", "G", "z, or z + e_y")
    uses = (
        *Game.uses,
        *("lambda0", "conditional", "conditioning", "lambda_nll", "lambda_norm", "norm_scale", "lambda_bn"),
        *("lambda_logit", "logit_bound", "pretrain_steps"),
    )

    def prepare(self) -> None:
        """Generator steps without the discrepancy (MAD Section 5.1, for large data)."""
        has_batchnorm = any(isinstance(layer, nn.BatchNorm2d) for layer in self.teacher.modules())
        if self.recipe.pretrain_steps and not (self.conditional or has_batchnorm):
            raise UserError("pretrain_steps: without discrepancy, BatchNorm or classes there is no loss; set it to 0")
        for _ in range(self.recipe.pretrain_steps):
            self.update_generator(lambda: self.generator_loss(adversarial=False))

    def generator_loss(self, adversarial: bool = True) -> Terms:
        """MAD Eq. 2 and BNmm (Eq. 9); for a conditional generator Eq. 6; the logit bounds of Eq. 11."""
        r = self.recipe
        z, y = self.noise(r.batch)
        if r.lambda_logit:
            before, x = self.generate_both(self.generator, z, y)
        else:
            x = self.generate(self.generator, z, y)  # one call, which may be compiled
        teacher_logits, bn = mad.bn_moments(self.teacher, x)
        terms = {}
        if adversarial:
            student_logits = self.student(x)
            terms["-KL"] = -mad.kl(teacher_logits, student_logits)
        terms["BNmm"] = r.lambda_bn * bn
        if self.conditional:
            terms["NLL"] = r.lambda_nll * mad.nll(teacher_logits, y)
            e = self.generator.embedding(y)
            terms["norm"] = r.lambda_norm * mad.embedding_norm(e, r.norm_scale)
        if r.lambda_logit:
            terms["bound on G's logits"] = r.lambda_logit * mad.logit_bound(before, r.logit_bound)
            if adversarial:
                terms["bound on S's logits"] = r.lambda_logit * mad.logit_bound(student_logits, r.logit_bound)
        return terms

    def student_loss(self, images: list[Tensor]) -> Terms:
        """MAD Eq. 1: λ0·KL on G's images (λ0 = 1, but for the chapter's control of the loss's scale)."""
        (x,) = images
        return self.match(x, "G", self.recipe.lambda0)

    def match(self, x: Tensor, source: str, weight: float) -> Terms:
        """The student's loss on one source's images: KL, and the bound of MAD Eq. 10 on its logits."""
        r = self.recipe
        teacher_logits, student_logits = self.answers(x), self.student(x)
        terms = {f"KL on {source}": weight * mad.kl(teacher_logits, student_logits)}
        if r.lambda_logit:
            terms[f"bound on {source}"] = r.lambda_logit * mad.logit_bound(student_logits, r.logit_bound)
        return terms
