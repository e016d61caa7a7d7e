"""RANDOM: distillation on noise images, the papers' lower bound (DFAD Section 4.1.3)."""

import torch
from torch import Tensor

from ..losses import baselines
from ..recipe import STUDENT
from .method import Choices, Method, Terms


class Random(Method):
    """KL on images of white noise: every pixel standard normal in the teacher's normalised input space (ours)."""

    choices = Choices("KL", "no generator", "white noise", "–")
    uses = (*STUDENT, "temperature")

    def student_images(self) -> list[Tensor]:
        n = self.recipe.student_batch
        return [torch.randn(n, *self.shape, generator=self.random, device=self.device)]

    def student_loss(self, images: list[Tensor]) -> Terms:
        (x,) = images
        return {"KL": baselines.kd(self.answers(x), self.student(x), self.recipe.temperature)}
