"""Testing without a test set: on images that the generator makes for it, and a rule that ends a run by them."""

import copy
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from .evaluation import Scores, accuracy, logits_of
from .losses import mad
from .methods.game import Game
from .training import History


@dataclass(frozen=True)
class FreshImages:
    """Agreement on `images` that the generator, as it stands, draws anew for each test: nobody has learned from them.

    It looks for images on which the two networks disagree, so they are harder for the student than images drawn
    blindly. They are no real images: what a student does on those, this does not tell.
    """

    images: int = 1024

    def scores(self, game: Game) -> Scores:
        """Agreement in percent and KL in nats; the accuracy is None, since nothing has a label."""
        answers, logits = self.logits(game)
        return Scores(None, accuracy(logits, answers.argmax(1)), mad.kl(answers, logits).item())

    def logits(self, game: Game) -> tuple[Float[Tensor, "images classes"], Float[Tensor, "images classes"]]:
        """The teacher's and the student's, on fresh images.

        The noise depends on the seed and on how far the run is: a run that was continued is tested on the same images.
        The game stays as it is, its random state included.
        """
        random = torch.Generator(game.device).manual_seed(game.seed + 1 + game.samples)
        z = torch.randn(self.images, game.recipe.z_dim, generator=random, device=game.device)
        y = torch.randint(game.num_classes, (self.images,), generator=random, device=game.device)
        generator = copy.deepcopy(game.generator)  # drawing moves BatchNorm's running moments
        answers, logits = [], []
        for part in zip(z.split(game.recipe.batch), y.split(game.recipe.batch), strict=True):
            with torch.no_grad():
                x = game.generate(generator, *part)
            answers.append(logits_of(game.teacher, x))
            logits.append(logits_of(game.student, x))
        return torch.cat(answers), torch.cat(logits)


@dataclass(frozen=True)
class Enough:
    """When a run may end before its schedule does: the student agrees, or no longer gains.

    It agrees where each of the last three tests has `percent` or more; it no longer gains where none of the last
    `patience` tests is better than the best before them.
    """

    percent: float
    patience: int

    def __call__(self, history: History) -> bool:
        tests = history.agreement
        agrees = len(tests) >= 3 and min(tests[-3:]) >= self.percent
        return agrees or (len(tests) > self.patience and max(tests[-self.patience :]) <= max(tests[: -self.patience]))
