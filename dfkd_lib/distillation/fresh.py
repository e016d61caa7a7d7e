"""Testing without a test set: on images that the generator makes for the test."""

import copy
import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..losses import kl
from ..methods import State
from ..models.network import Logits
from ..teachers import Scores, accuracy, confusion, logits_of, miou
from ..train import History

LEAST = 50  # percent of fresh images, below which a student has not learned them


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
        named, share = answers.argmax(1), None
        if named.ndim == 3:  # the teacher's classes of pixels
            share = miou(confusion(named, logits.argmax(1), logits.shape[1]))
        gap = kl(answers, logits).item()
        return Scores(None, agreement(answers, logits), gap, share)

    def logits(self, state: State) -> tuple[Tensor, Tensor]:
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
            if state.teacher(x[:1]).ndim == 4:  # logits of pixels would fill the memory
                x = x[: max(2**22 // math.prod(x.shape[2:]), 16)]
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


def agreement(answers: Tensor, student: Tensor) -> float:
    """Percent of images or pixels of the same class; of labels that either gives."""
    one, other = answers.argmax(1), student.argmax(1)
    if one.ndim != 2:
        return accuracy(student, one)
    either = (one | other).sum()  # where nobody gives a label, they agree
    return 100 * ((one & other).sum() / either).item() if either else 100.0


def effective_classes(answers: Logits) -> float:
    """exp of the entropy of the classes that a teacher names, 1 to their number."""
    named = answers.argmax(1).flatten()
    shares = named.bincount() / len(named)
    return torch.special.entr(shares).sum().exp().item()


def seen(answers: Tensor) -> tuple[int, float]:
    """How many classes a teacher names, and effective ones; labels by rarer answer."""
    if answers.ndim != 3:
        return len(answers.argmax(1).unique()), effective_classes(answers)
    yes = answers.argmax(1).sum(0)
    rarer = torch.minimum(yes, len(answers) - yes)
    shares = rarer / rarer.sum().clamp_min(1)
    return int(rarer.count_nonzero()), torch.special.entr(shares).sum().exp().item()


def distrust(agreement: float, effective: float, classes: int) -> list[str]:
    """Why a student should not be trusted, by its last test; empty if nothing is known.

    With few effective classes the student was shown little; where it disagrees with the
    teacher on most fresh images, it has not learned them.
    """
    why = []
    # a test has too few images for more classes; of two, one alone is too few
    if effective < max(min(classes, 128) / 2, min(classes, 1.5)):
        why.append(
            f"the teacher puts fresh images into {effective:.1f} effective classes of "
            f"{classes}: mean and std may be wrong, or the generator has collapsed"
        )
    if agreement < LEAST:
        why.append(
            f"it agrees with its teacher on {agreement:.1f} % of fresh images, below "
            f"{LEAST} %: give more stages, another method or a larger student"
        )
    return [f"do not trust this student: {reason}" for reason in why]


def distrust_on(found: dict[str, int | float]) -> list[str]:
    """Why a student should not be trusted, by `check_on`; empty if nothing is known.

    The images are normalised by the constants that were given: wrong constants show
    only where a teacher fails on them.
    """
    why, of = [], f"{found['images']} real images, below {LEAST} %"
    if (agreement := found["agreement"]) < LEAST:
        why.append(f"it agrees with its teacher on {agreement:.1f} % of {of}")
    if (right := found.get("teacher_accuracy", 100)) < LEAST:
        why.append(
            f"its teacher is right on {right:.1f} % of {of}: mean and std may be "
            "wrong, or the order of channels or classes"
        )
    return [f"do not trust this student: {reason}" for reason in why]
