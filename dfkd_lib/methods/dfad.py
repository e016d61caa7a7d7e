"""Data-Free Adversarial Distillation (Fang et al. 2019, Algorithm 1): the student shrinks, the generator widens, the
mean absolute error between the two networks' logits.
"""

from torch import Tensor

from ..losses import dfad
from .game import Game


class DFAD(Game):
    """Discrepancy: MAE on logits. The generator minimises −MAE (DFAD Eq. 5 and 7) and nothing else. Samples: G's."""

    def generator_loss(self) -> Tensor:
        x = self.generate(self.generator, *self.noise(self.recipe.batch))
        return -dfad.mae(self.teacher(x), self.student(x))

    def student_images(self) -> list[Tensor]:
        return [self.draw(self.generator, self.recipe.student_batch)]

    def student_loss(self, images: list[Tensor]) -> Tensor:
        (x,) = images
        return dfad.mae(self.teacher(x), self.student(x))
