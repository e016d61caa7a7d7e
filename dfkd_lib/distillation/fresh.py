"""Testing without a test set: on images that the generator makes for the test."""

import copy
from dataclasses import dataclass

import torch

from ..losses import kl
from ..methods import State
from ..models.network import Logits
from ..teachers import accuracy, logits_of
from ..train import History, Scores


@dataclass(frozen=True)
class FreshImages:
    """Agreement on images that the generator draws for each test, in its batches.

    No network has learned from them. The generator looks for images on which the two
    disagree, so they are harder than others; they say nothing of real images.
    """

    images: int = 1024
    batch: int = 128

    def scores(self, state: State) -> Scores:
        """Agreement in percent and KL in nats; there are no labels for an accuracy."""
        answers, logits = self.logits(state)
        agreement = accuracy(logits, answers.argmax(1))
        return Scores(None, agreement, kl(answers, logits).item())

    def logits(self, state: State) -> tuple[Logits, Logits]:
        """The teacher's and the student's; the state stays as it is."""
        device = state.task.device
        # By seed and progress: a resumed run is tested on the same images.
        random = torch.Generator(device).manual_seed(state.seed + 1 + state.samples)
        size, classes = (self.images, state.generator.z_dim), state.task.num_classes
        z = torch.randn(size, generator=random, device=device)
        y = torch.randint(classes, size[:1], generator=random, device=device)
        generator = copy.deepcopy(state.generator)  # drawing moves BatchNorm's moments
        with torch.no_grad():
            parts = zip(z.split(self.batch), y.split(self.batch), strict=True)
            x = torch.cat([generator(*part) for part in parts])
        return logits_of(state.teacher, x), logits_of(state.student, x)


@dataclass(frozen=True)
class Enough:
    """End a run when the student agrees, or no longer gains.

    It agrees if the last three tests have `percent` or more. It no longer gains if none
    of the last `patience` tests is better than the best before them.
    """

    percent: float
    patience: int

    def __call__(self, history: History) -> bool:
        tests, last = history.agreement, self.patience
        agrees = len(tests) >= 3 and min(tests[-3:]) >= self.percent
        old, new = tests[:-last], tests[-last:]
        return agrees or bool(old and max(new) <= max(old))
