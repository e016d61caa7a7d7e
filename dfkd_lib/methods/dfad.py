"""Data-Free Adversarial Distillation (Fang et al. 2019, Algorithm 1): the student shrinks, the generator widens, the
mean absolute error between the two networks' logits.
"""

from torch import Tensor

from ..losses import dfad
from .game import Choices, Game


class DFAD(Game):
    """MAE between logits, shrunk by the student and widened by the generator, with nothing added (DFAD Eq. 5–7)."""

    choices = Choices("MAE of logits", "–", "G", "z")

    def generator_loss(self) -> Tensor:
        x = self.generate(self.generator, *self.noise(self.recipe.batch))
        return -dfad.mae(self.teacher(x), self.student(x))

    def student_images(self) -> list[Tensor]:
        return [self.draw(self.generator, self.recipe.student_batch)]

    def student_loss(self, images: list[Tensor]) -> Tensor:
        (x,) = images
        return dfad.mae(self.teacher(x), self.student(x))
