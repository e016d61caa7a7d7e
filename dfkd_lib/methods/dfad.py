"""Data-Free Adversarial Distillation (Fang et al. 2019, Algorithm 1): the student shrinks, the generator widens, the
mean absolute error between the two networks' logits.
"""

from torch import Tensor

from ..losses import dfad
from .game import Choices, Game


class DFAD(Game):
    """MAE between logits, shrunk by the student and widened by the generator, with nothing added (DFAD Eq. 5 and 7)."""

    choices = Choices("MAE of logits", "–", "G", "z")
    unused = (
        *("momentum", "lambda0", "lambda1", "ema_statistics", "lambda_bn"),
        *("conditional", "lambda_nll", "lambda_norm", "norm_scale"),
    )

    def generator_loss(self) -> Tensor:
        """DFAD Eq. 7: −MAE."""
        x = self.generate(self.generator, *self.noise(self.recipe.batch))
        return -dfad.mae(self.teacher(x), self.student(x))

    def student_loss(self, images: list[Tensor]) -> Tensor:
        """DFAD Eq. 5: MAE."""
        (x,) = images
        return dfad.mae(self.teacher(x), self.student(x))
