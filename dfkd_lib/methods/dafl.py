"""Data-Free Learning (Chen et al. 2019), the papers' first baseline: the generator pleases the teacher alone.

Differs from DAFL's code: there, generator and student step at once on the same batch; here they take turns on fresh
batches, as every method of this book does, so that DAFL can be given the same number of student steps. The activation
term is the plain L1 norm of AR+VI's Eq. 3, which DAFL's code divides by the number of features: its weight of 0.1 is
near our 0.001 for LeNet-5's 84 features, and not for other teachers.
"""

from torch import Tensor

from ..losses import baselines
from ..models import embedding_and_logits
from .game import Game
from .method import Choices, Terms


class DAFL(Game):
    """KL for the student; one-hot answers, strong activations and balanced classes for the generator. No game."""

    choices = Choices("KL", "one-hot, activation, information entropy; no discrepancy", "G", "z")
    uses = (*Game.uses, "lambda_onehot", "lambda_activation", "lambda_entropy", "temperature")

    def generator_loss(self) -> Terms:
        """DAFL's total loss: L_oh + α L_a + β L_ie."""
        r = self.recipe
        features, logits = embedding_and_logits(self.teacher, self.generate(self.generator, *self.noise(r.batch)))
        return {
            "one-hot": r.lambda_onehot * baselines.one_hot(logits),
            "activation": r.lambda_activation * baselines.activation(features),
            "entropy": r.lambda_entropy * baselines.information_entropy(logits),
        }

    def student_loss(self, images: list[Tensor]) -> Terms:
        """DAFL's distillation loss; at temperature 1 it is KL, DAFL's cross entropy but for the teacher's entropy."""
        (x,) = images
        return {"KL": baselines.kd(self.answers(x), self.student(x), self.recipe.temperature)}
