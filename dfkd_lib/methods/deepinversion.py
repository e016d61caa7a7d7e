"""DeepInversion (Yin et al. 2020): images are found by gradient descent on their pixels, without a generator.

Adaptive DeepInversion, since the student competes. Differs from its code: no jitter and no flips between the updates,
one resolution, and natural logarithms. Images enter a memory, from which the student learns while more are found.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from ..losses import baselines
from ..recipe import STUDENT
from .memory import Memory
from .method import Choices, Method, Terms, detached


class DeepInversion(Method):
    """KL on images that the teacher classifies firmly, that look smooth, and that match its BatchNorm statistics."""

    choices = Choices("KL", "for pixels: label, smoothness, norm, BatchNorm, disagreement", "memory", "–")
    uses = (
        *STUDENT,
        *("batch", "generator_steps", "inversion_steps", "inversion_lr", "lambda_tv", "lambda_l2", "lambda_bn"),
        *("lambda_compete", "memory", "temperature"),
    )
    own = (*Method.own, "memory")

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.memory = Memory(self.recipe.memory, self.shape, self.device)

    def parts(self) -> dict[str, object]:
        return super().parts() | {"memory": self.memory}

    def generator_step(self) -> Terms:
        """Find one batch of images, from noise; the terms are those of the last update."""
        r = self.recipe
        y = torch.randint(self.num_classes, (r.batch,), generator=self.random, device=self.device)
        x = torch.randn(r.batch, *self.shape, generator=self.random, device=self.device).requires_grad_()
        optimizer = torch.optim.Adam([x], r.inversion_lr)
        self.student.eval().requires_grad_(False)  # its BatchNorm statistics are not the images' business
        try:
            for _ in range(r.inversion_steps):
                terms = self.image_loss(x, y)
                optimizer.zero_grad()
                sum(terms.values()).backward()
                optimizer.step()
        finally:
            self.student.train().requires_grad_(True)
        self.memory.add(x.detach(), self.random)
        return detached(terms)

    def image_loss(self, x: Tensor, y: Tensor) -> Terms:
        """DeepInversion's classification loss, prior and feature term, and the competition with the student."""
        r = self.recipe
        logits, bn = baselines.bn_statistics(self.teacher, x)
        terms = {
            "label": F.cross_entropy(logits, y),
            "total variation": r.lambda_tv * baselines.total_variation(x),
            "norm": r.lambda_l2 * baselines.image_norm(x),
            "BatchNorm": r.lambda_bn * bn,
        }
        if r.lambda_compete:
            terms["competition"] = r.lambda_compete * baselines.competition(logits, self.student(x))
        return terms

    def student_images(self) -> list[Tensor]:
        return [self.memory.draw(self.recipe.student_batch, self.random)]

    def student_loss(self, images: list[Tensor]) -> Terms:
        (x,) = images
        return {"KL": baselines.kd(self.teacher(x), self.student(x), self.recipe.temperature)}
