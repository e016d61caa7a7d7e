"""Activation Regularisation and Virtual Interpolation (Qu et al. 2021): DFAD, whose generator also looks for images
that activate the teacher, and whose student also learns on mixtures of them.

The paper has no combined objective, no weights, no distribution of λ and no discrepancy for Eq. 9. Here (ours): the
game is DFAD's, with its discrepancy for both parts of the student's loss; R_l and R_m join the generator's loss; f_T
in Eq. 3 is what the teacher's last layer reads; each image is mixed with another of its batch, by a λ of its own.
"""

import torch
from torch import Tensor

from ..losses import arvi, dfad
from ..models import embedding_and_logits
from .dfad import DFAD
from .game import Game
from .method import Choices, Terms


class ARVI(DFAD):
    """DFAD with activation regularisation of the generator (R_l, R_m) and Mixup for the student (VI)."""

    choices = Choices("MAE of logits (inferred)", "R_l, R_m", "G, and mixtures of its images", "z")
    uses = (
        *Game.uses,
        *("discrepancy", "lambda_l", "lambda_m", "lambda_vi", "mixup", "mixup_a", "mixup_labels"),
    )

    def generator_loss(self) -> Terms:
        """AR+VI Eq. 1 with Eq. 2 and 3."""
        r = self.recipe
        x = self.generate(self.generator, *self.noise(r.batch))
        features, logits = embedding_and_logits(self.teacher, x)
        return {
            "-discrepancy": -dfad.DISCREPANCIES[r.discrepancy](logits, self.student(x)),
            "R_l": r.lambda_l * arvi.logit_activation(logits),
            "R_m": r.lambda_m * arvi.feature_activation(features),
        }

    def student_loss(self, images: list[Tensor]) -> Terms:
        """AR+VI Eq. 1, and Eq. 9 on mixtures; `mixup_labels` = teacher labels them by T's own answer instead."""
        r = self.recipe
        (x,) = images
        discrepancy = dfad.DISCREPANCIES[r.discrepancy]
        answers = self.answers(x)
        terms = {"discrepancy": discrepancy(answers, self.student(x))}
        if r.lambda_vi:
            lam = self.mixing(len(x))
            other = x.roll(1, dims=0)  # images of a batch are independent: any fixed partner is a random one
            mixture = arvi.mixup(x, other, lam)
            if r.mixup_labels == "chord":
                vi = arvi.interpolation(answers, answers.roll(1, dims=0), self.student(mixture), lam, discrepancy)
            else:
                vi = discrepancy(self.teacher(mixture), self.student(mixture))
            terms["VI"] = r.lambda_vi * vi
        return terms

    def mixing(self, n: int) -> Tensor:
        """λ of n mixtures, from the method's own random state.

        Beta(a, a) is X / (X + Y) of two Gamma(a) variables. Taken by their logarithms: at a small a both round to zero.
        And Gamma(a) is Gamma(a + 1) · U^(1/a), with U uniform.
        """
        r = self.recipe
        if r.mixup == "fixed":
            return torch.full((n,), r.mixup_a, device=self.device)
        if r.mixup == "uniform":
            return torch.rand(n, generator=self.random, device=self.device)
        a = torch.full((2, n), r.mixup_a, device=self.device)
        u = 1 - torch.rand(2, n, generator=self.random, device=self.device)  # never 0
        first, second = torch._standard_gamma(a + 1, generator=self.random).log() + u.log() / a
        return (first - second).sigmoid()
