"""What a run needs besides its method and its seed: one frozen `Recipe`, each value with its source. No torch here."""

import dataclasses
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .errors import UserError, one_of, real, shown, whole

# The settings that are names, and what they may be.
CHOICES = {
    "generator": ("flow", "generator_a", "generator_b", "mad_cifar", "mad_tiny_imagenet", "mad_imagenet"),
    "student_optimizer": ("adam", "sgd"),
    "schedule": ("constant", "cosine", "step"),
    "ema_statistics": ("averaged", "batch", "reestimated"),
    "conditioning": ("cat", "sum"),
    "collected_by": ("category", "confidence", "random"),
    "distill": ("align", "cc", "dkd", "kd", "nkd", "rkd", "simkd"),
    "integration": ("blend", "both", "transfer"),
    "gan_loss": ("hinge", "log", "non_saturating"),
    "gate": ("formula", "sentence"),
    "discrepancy": ("kl", "mae", "mse", "mse_mae"),
    "mixup": ("beta", "fixed", "uniform"),
    "mixup_labels": ("chord", "teacher"),
}

_AT_MOST = {
    **dict.fromkeys(("momentum", "student_momentum", "data_share", "gan_momentum", "gate_q", "gamma"), 1.0),
    "frequency_floor": 1.0,
    "gan_share": 0.999,
    "generator_beta1": 0.999,
    "temperature": 1e3,
}
_ABOVE_ZERO = {"temperature", "mixup_a", "data_share", "collected_ratio"}
_FROM_ZERO = {"pretrain_steps", "inflation"}  # whole numbers that may be 0
_SIZES = {"batch", "student_batch", "generator_width", "z_dim"}  # memory grows with them

# Who reads what: a method's `uses` is made of these, and of names of its own.
IDENTITY = ("paper", "dataset", "teacher", "student")
STUDENT = (
    *("stages", "stages_per_epoch", "student_batch", "student_steps", "student_optimizer", "student_lr"),
    *("student_momentum", "student_weight_decay", "schedule", "milestones"),
)
GENERATOR = (
    *("generator", "generator_width", "z_dim", "batch", "generator_steps", "generator_lr", "generator_beta1"),
    *("generator_weight_decay", "reuse"),
)
COLLECTED = ("collected_from", "collected_ratio", "collected_by", "collected_imbalance")
GAN = (
    *("generator_width", "z_dim", "batch", "generator_steps", "generator_lr", "gan_share", "gan_loss"),
    *("discriminator_lr", "gan_augment", "gan_momentum"),
)


@dataclass(frozen=True)
class Recipe:
    """Everything that a run needs besides its method and its seed.

    One *stage* is `generator_steps` updates of the generator, then `student_steps` updates of the student.
    The defaults are this book's for digits on one CPU thread. A method reads some of the settings (its ``uses``).
    ``sources`` says where a value comes from; what it does not name is ours.
    """

    paper: str = "ours"  # whose schedule this is: ours, dfad, arvi, mad or hidfd
    dataset: str = "digits"
    teacher: str = "lenet5"
    student: str = "lenet5_half"
    # The generator, in adversarial methods and DAFL
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
    reuse: int = 1  # how often each image of a student stage is used: a divisor of student_steps
    discrepancy: str = "mae"  # DFAD's and AR+VI's; the others are the candidates of DFAD Fig. 4
    # MAD, ABM, DFKD-Mem
    momentum: float = 0.95  # α of the EMA generator, MAD Eq. 5
    lambda0: float = 1.0  # weight of G's samples in the student's loss, MAD Eq. 4
    lambda1: float = 1.0  # weight of EMA(G)'s samples, or of the memory's
    ema_statistics: str = "batch"  # BatchNorm in EMA(G): batch | averaged | reestimated
    conditional: bool = False  # G is told a class, with the two losses below (MAD Section 3.2)
    conditioning: str = "sum"  # how: z + e_y, or the two side by side (MAD Appendix B.3)
    lambda_nll: float = 1.0
    lambda_norm: float = 1.0
    norm_scale: float = 1.1  # γ, MAD Eq. 8
    lambda_bn: float = 1.0  # BNmm, where the teacher has BatchNorm (MAD Eq. 9); DeepInversion's feature term
    lambda_logit: float = 0.0  # weight of the logit bounds (MAD Eq. 10 and 11)
    logit_bound: float = 20.0  # δ
    pretrain_steps: int = 0  # generator steps without discrepancy, before the first stage (MAD Section 5.1)
    memory: int = 8192  # images kept, by DFKD-Mem and DeepInversion
    # DAFL
    lambda_onehot: float = 1.0
    lambda_activation: float = 1e-3
    lambda_entropy: float = 5.0  # of the information entropy
    # AR+VI. The next three: of a search on digits, whose two seeds hardly tell them from the others
    lambda_l: float = 0.1  # of R_l, AR+VI Eq. 2
    lambda_m: float = 1e-4  # of R_m, AR+VI Eq. 3
    lambda_vi: float = 0.3  # virtual interpolation, AR+VI Eq. 9
    mixup: str = "uniform"  # λ of a mixture: uniform on [0, 1] | beta(a, a) | fixed at a
    mixup_a: float = 0.5
    mixup_labels: str = "chord"  # a mixture's label: T's chord (Eq. 9) | T's own answer
    # DeepInversion
    inversion_steps: int = 100  # updates of one batch of images
    inversion_lr: float = 0.05
    lambda_tv: float = 1e-3
    lambda_l2: float = 1e-4
    lambda_compete: float = 1.0  # the student's disagreement, in adaptive DeepInversion
    # With data: KD, FitNet, AT, FT
    temperature: float = 1.0
    lambda_hint: float = 1.0
    lambda_attention: float = 100.0  # AT's own is 1000, at which LeNet-5's student breaks down at our learning rate
    lambda_factor: float = 1.0
    data_share: float = 1.0  # of the training images that the student may see
    # HiDFD: the collected images, the GAN, the student
    collected_from: str = "auto"  # a data set; auto: the first related one on this machine
    collected_ratio: float = 0.2  # ρ: collected images per training image of the teacher's data
    collected_by: str = "category"
    collected_imbalance: float = 5.0  # the largest class has so many times the images of the smallest; 0: as they come
    gan_share: float = 0.5  # of the stages: the first ones are the GAN's, the others the student's
    gan_loss: str = "log"  # log, as in Eq. 1 | non_saturating | hinge, as in the public code
    discriminator_lr: float = 4e-4
    gan_augment: bool = False  # differentiable augmentation
    gan_momentum: float = 0.0  # per step, of an averaged generator that makes the student's images; 0: none
    lambda_d: float = 0.1  # of L_blend + L_trans, HiDFD Eq. 13
    integration: str = "both"  # which of the two; one alone is for ablation (HiDFD Table 2)
    lambda_g: float = 0.1  # of L_reg, HiDFD Eq. 13
    gate_q: float = 0.7  # q of HiDFD Eq. 8
    gate: str = "formula"  # its reading: p > q, with probability 1 − q | sentence: p < q, with probability q
    gamma: float = 0.5  # of the class counts, HiDFD Eq. 10
    frequency_floor: float = 0.1  # of HiDFD Eq. 11, as a share of 1/C
    synthetic: int = 2000  # |D_s|: images made for the student
    inflation: int = 0  # N: how often each collected image is repeated; 0: ⌊|D_s| / |D_c|⌋
    distill: str = "align"  # the student's loss: align (Eq. 14) | simkd, as in the public code | another of its Table 2
    sources: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)

    def __post_init__(self) -> None:
        for name in SETTINGS:
            allowed(name, getattr(self, name))
        if self.mixup == "fixed" and self.mixup_a > 1:
            raise UserError(f"mixup_a: {self.mixup_a} is not allowed with mixup = fixed, where it is λ; give at most 1")
        if 0 < self.collected_imbalance < 1:
            raise UserError(
                f"collected_imbalance: {self.collected_imbalance} is not allowed; give 0, for images as they come, or "
                "at least 1: the largest class has so many times the images of the smallest"
            )
        if self.reuse < 1 or self.student_steps % self.reuse:
            raise UserError(
                f"reuse: {self.reuse} is not allowed with {self.student_steps} student steps a stage; give a divisor"
            )

    def replace(self, **changes: Any) -> "Recipe":
        """A copy with some values changed, by whoever runs it; their source is then "given"."""
        own = self.values()
        return self.sourced("given", **{name: value for name, value in changes.items() if value != own[name]})

    def sourced(self, source: str, **values: Any) -> "Recipe":
        """A copy with some values set, and their source noted: "DFAD Table 7", "code", "inferred" or "ours"."""
        return dataclasses.replace(self, **values, sources={**self.sources, **dict.fromkeys(values, source)})

    @property
    def gan_stages(self) -> int:
        """How many stages are the GAN's; one at least is the student's."""
        return min(round(self.gan_share * self.stages), self.stages - 1)

    @property
    def pair(self) -> str:
        """Teacher and student, as the command line writes them."""
        return f"{self.teacher}-{self.student}"

    def values(self) -> dict[str, Any]:
        """The settings and their values, without the sources."""
        return {name: value for name, value in vars(self).items() if name != "sources"}

    def rows(self, uses: tuple[str, ...] | None = None) -> list[list[str]]:
        """The settings as rows of a table: name, value, source; all of them, or those that a method uses."""
        names = [name for name in self.values() if uses is None or name in uses]
        return [[name, str(getattr(self, name)), self.sources.get(name, "ours")] for name in names]


SETTINGS = frozenset(field.name for field in dataclasses.fields(Recipe)) - {*IDENTITY, "sources"}
_USUAL = {field.name: field.default for field in dataclasses.fields(Recipe)}


def allowed(name: str, value: Any) -> Any:
    """A setting's value, if it may have it.

    Raises
    ------
    UserError
        else: says what is allowed.
    """
    if name in CHOICES:
        return one_of(name, value, CHOICES[name])
    usual = _USUAL[name]
    if isinstance(usual, str):  # collected_from; whether it is there is asked when the run is known
        if isinstance(value, str) and re.fullmatch(r"[\w-]+", value):
            return value
        raise UserError(f"{name}: {shown(value)} is not allowed; give a data set's name, or auto")
    if isinstance(usual, bool | tuple):
        if isinstance(usual, bool) and isinstance(value, bool):
            return value
        if isinstance(usual, tuple) and isinstance(value, tuple):
            return tuple(real(name, part, 0, 1) for part in value)
        form = "True or False" if isinstance(usual, bool) else "a tuple of numbers from 0 to 1, such as (0.5,)"
        raise UserError(f"{name}: {shown(value)} is not allowed; give {form}")
    if isinstance(usual, int):
        return whole(name, value, int(name not in _FROM_ZERO), 65_536 if name in _SIZES else 2**31 - 1)
    return real(name, value, 1e-6 if name in _ABOVE_ZERO else 0, _AT_MOST.get(name, math.inf))
