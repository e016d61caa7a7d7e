"""The settings of the papers and of this book's small runs, each value with its source. No torch here."""

import dataclasses
from dataclasses import dataclass
from typing import Any

from .errors import UserError, one_of

# The settings that are names, and what they may be.
CHOICES = {
    "generator": ("generator_a", "mad_cifar"),
    "student_optimizer": ("adam", "sgd"),
    "schedule": ("constant", "cosine", "step"),
    "ema_statistics": ("averaged", "batch", "reestimated"),
}
NETWORKS = {"lenet5": 1, "lenet5_half": 1, "wrn16_2": 3, "wrn40_2": 3}  # and the channels of their images


@dataclass(frozen=True)
class Recipe:
    """Everything that a run needs besides its method and its seed.

    One *stage* is `generator_steps` updates of the generator, then `student_steps` updates of the student.
    The defaults are this book's for digits on one CPU thread; ``source`` says where a recipe's values come from.
    """

    dataset: str = "digits"
    teacher: str = "lenet5"
    student: str = "lenet5_half"
    generator: str = "generator_a"
    generator_width: int = 8  # Generator-A's; 64 in DFAD
    z_dim: int = 100
    batch: int = 128  # images per generator step
    student_batch: int = 128  # images per student step *from each source* (G, and EMA(G) where there is one)
    stages: int = 160
    stages_per_epoch: int = 10  # how often the student is tested
    generator_steps: int = 1  # n_G
    student_steps: int = 5  # n_S
    student_optimizer: str = "sgd"
    student_lr: float = 0.03
    student_momentum: float = 0.9
    student_weight_decay: float = 5e-4
    generator_lr: float = 1e-3
    generator_beta1: float = 0.9  # Adam's memory of past gradients; the default everywhere
    generator_weight_decay: float = 0.0
    schedule: str = "cosine"  # cosine | step (×0.1 at `milestones`) | constant; for both optimisers
    milestones: tuple[float, ...] = (1 / 3, 2 / 3)  # as shares of the stages
    momentum: float = 0.95  # α of the EMA generator, MAD Eq. 5
    lambda0: float = 1.0  # weight of G's samples in the student's loss, MAD Eq. 4
    lambda1: float = 1.0  # weight of EMA(G)'s samples
    ema_statistics: str = "batch"  # BatchNorm in EMA(G): batch | averaged | reestimated
    conditional: bool = False  # G(z + e_y), with the two losses below (MAD Section 3.2)
    lambda_nll: float = 1.0
    lambda_norm: float = 1.0
    norm_scale: float = 1.1  # γ, MAD Eq. 8
    lambda_bn: float = 1.0  # BNmm, where the teacher has BatchNorm (MAD Eq. 9)
    reuse: int = 1  # how often each image of a student stage is used: a divisor of student_steps
    source: str = "ours"

    def __post_init__(self) -> None:
        for name, allowed in CHOICES.items():
            one_of(name, getattr(self, name), allowed)
        if self.reuse < 1 or self.student_steps % self.reuse:
            raise UserError(
                f"reuse: {self.reuse} is not allowed with {self.student_steps} student steps a stage; give a divisor"
            )

    def replace(self, **changes: Any) -> "Recipe":
        """A copy with some values changed."""
        return dataclasses.replace(self, **changes)

    @property
    def pair(self) -> str:
        """Teacher and student, as the command line writes them."""
        return f"{self.teacher}-{self.student}"


_MAD_CIFAR = Recipe(
    student_lr=0.01,
    dataset="cifar100",
    teacher="wrn40_2",
    student="wrn16_2",
    generator="mad_cifar",
    z_dim=256,
    batch=256,
    student_batch=256,
    stages=300 * 50,
    stages_per_epoch=50,
    generator_steps=3,
    student_steps=60,
    generator_weight_decay=5e-4,
    schedule="step",
    source="MAD Tables 5-7, rebuilt from the text (inferred), without the logit bounds; weight of BNmm: ours",
)

RECIPES: tuple[Recipe, ...] = (
    Recipe(),
    Recipe(dataset="digits_half"),
    _MAD_CIFAR,
    _MAD_CIFAR.replace(dataset="cifar10"),
)
DATASETS = tuple(recipe.dataset for recipe in RECIPES)


def recipe_for(dataset: str, teacher: str = "auto", student: str = "auto") -> Recipe:
    """The recipe for a data set; a named teacher or student replaces the recipe's own."""
    recipe = next(r for r in RECIPES if r.dataset == one_of("dataset", dataset, DATASETS))
    return recipe.replace(
        teacher=recipe.teacher if teacher == "auto" else teacher,
        student=recipe.student if student == "auto" else student,
    )
