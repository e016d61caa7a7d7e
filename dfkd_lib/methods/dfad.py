"""Data-Free Adversarial Distillation (Fang et al. 2019, Algorithm 1): the student shrinks, the generator widens, the
mean absolute error between the two networks' logits.
"""

from torch import Tensor

from ..losses import dfad
from .game import Game
from .method import Choices, Terms


class DFAD(Game):
    """MAE between logits, shrunk by the student and widened by the generator, with nothing added (DFAD Eq. 5 and 7).

    The recipe's `discrepancy` may be another than MAE, for DFAD's Fig. 4.
    """

    choices = Choices("MAE of logits", "–", "G", "z")
    uses = (*Game.uses, "discrepancy")

    def discrepancy(self, answers: Tensor, x: Tensor) -> Tensor:
        """DFAD Eq. 2: the student's, to the teacher's answers on the same images."""
        return dfad.DISCREPANCIES[self.recipe.discrepancy](answers, self.student(x))

    def generator_loss(self) -> Terms:
        """DFAD Eq. 7: −MAE."""
        x = self.generate(self.generator, *self.noise(self.recipe.batch))
        return {"-discrepancy": -self.discrepancy(self.teacher(x), x)}

    def student_loss(self, images: list[Tensor]) -> Terms:
        """DFAD Eq. 5: MAE."""
        (x,) = images
        return {"discrepancy": self.discrepancy(self.answers(x), x)}
