"""The schedules of the papers and of this book, one per paper, data set and pair.

A recipe is a table of settings, each with its source. Sources: "DFAD Table 7"
and the like are the paper's text; "code" is its authors' public code; "inferred" is our
reading of text that is lost or silent; "ours" is what nobody says. A method reads those
of a recipe's settings that it has; what a recipe does not name keeps the method's
default, which is this book's for digits on one CPU thread.
"""

import ast
import dataclasses
import re
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from .data import DATASETS, known_dataset
from .errors import UserError, one_of, shown
from .methods import METHODS, readable
from .methods.setting import allowed

Table = list[tuple[str, dict[str, Any]]]  # (source, settings); a later one prevails

# --- ours -----------------------------------------------------------------------------

DIGITS: Table = []
# One short schedule for all methods on MNIST: a fifth of DFAD's updates.
MNIST: Table = [("ours", {"stages": 400, "stages_per_epoch": 50})]
# Two moons: G makes points of the plane, of a density known exactly.
MOONS = [("ours", {"generator": "flow", "z_dim": 2, "student_lr": 0.01, "stages": 200})]

# --- DFAD -----------------------------------------------------------------------------

DFAD: Table = [
    ("DFAD Eq. 2", {"discrepancy": "mae"}),
    ("DFAD Section 4.1.2", {"student_momentum": 0.9, "stages_per_epoch": 50}),
    ("DFAD Appendix A.1", {"generator_beta1": 0.9, "generator_lr": 1e-3}),
    ("DFAD Table 4", {"generator_width": 64}),
    ("code", {"student_steps": 5, "generator_steps": 1, "reuse": 1}),
    ("code", {"generator_weight_decay": 0.0, "student_optimizer": "sgd"}),
]
DFAD_MNIST = [
    *DFAD,
    ("DFAD Table 7", {"generator": "generator_a", "student_lr": 0.01}),
    ("DFAD Table 7", {"batch": 512, "student_batch": 512}),
    ("DFAD Appendix A.2", {"stages": 40 * 50, "schedule": "constant"}),
    ("code", {"z_dim": 100, "student_weight_decay": 1e-4}),
]
DFAD_CIFAR = [
    *DFAD,
    ("DFAD Table 7", {"generator": "generator_a", "student_lr": 0.1}),
    ("DFAD Table 7", {"batch": 256, "student_batch": 256}),
    ("DFAD Table 7", {"student_weight_decay": 5e-4}),
    ("DFAD Appendix A.2", {"stages": 500 * 50, "schedule": "step"}),
    ("DFAD Appendix A.2", {"milestones": (0.2, 0.4)}),
    ("code", {"z_dim": 256}),
]
DFAD_CALTECH = [
    *DFAD_CIFAR,
    ("DFAD Table 7", {"generator": "generator_b", "student_lr": 0.05}),
    ("DFAD Table 7", {"batch": 64, "student_batch": 64}),
    ("DFAD Appendix A.2", {"stages": 300 * 50, "milestones": (1 / 3, 2 / 3)}),
]

DFAD_CAMVID = [
    *DFAD_CALTECH,
    ("DFAD Table 7", {"student_lr": 0.1}),
    ("code", {"generator_loss": "log_mae"}),
]
DFAD_NYUV2 = [
    *DFAD_CAMVID,
    ("DFAD Table 7", {"student_weight_decay": 5e-5}),
    # its Table 7 has a rate of 0.1
    ("DFAD Appendix A.2", {"student_lr": 0.05, "schedule": "step_0.3"}),
    ("DFAD Appendix A.2", {"milestones": (150 / 300, 250 / 300)}),
]
# The small pair on crops of 48 to 96 pixels; the names of the settings are DFAD's.
SMALL: Table = [
    *DFAD_CAMVID,
    ("ours", {"generator_width": 16, "batch": 32, "student_batch": 32}),
    ("ours", {"schedule": "cosine", "stages": 500, "stages_per_epoch": 50}),
    ("ours", {"lambda_activation": 1e-3, "student_weight_decay": 5e-4}),
]
SCENES = [
    *SMALL,
    ("ours", {"generator": "generator_a", "stages": 200, "stages_per_epoch": 25}),
]

# --- AR+VI: its text gives networks and data sets only; the game is DFAD's ------------

ARVI: Table = [
    ("ours", {"lambda_l": 0.1, "lambda_m": 1e-4, "lambda_vi": 0.3}),
    ("ours", {"mixup": "uniform", "mixup_a": 0.5}),
    ("AR+VI Eq. 9", {"mixup_labels": "chord"}),
]
ARVI_MNIST = [("inferred", settings) for _, settings in DFAD_MNIST] + ARVI
ARVI_CIFAR = [("inferred", settings) for _, settings in DFAD_CIFAR] + ARVI

# --- MAD: the headings of its Tables 4 to 7 are lost; we rebuilt them -----------------

_TABLES = "MAD Tables 5-7 (inferred)"
MAD: Table = [
    ("MAD Section 5.1", {"momentum": 0.95, "z_dim": 256}),
    ("MAD Section 5.2.2", {"memory": 8192}),
    ("MAD Section 5.3", {"lambda0": 1.0, "lambda1": 1.0}),
    ("MAD Section 6", {"reuse": 1}),
    ("inferred", {"logit_bound": 20.0, "generator_beta1": 0.9}),
    ("ours", {"lambda_bn": 1.0, "lambda_nll": 1.0, "lambda_norm": 1.0}),
    ("ours", {"lambda_logit": 1.0, "ema_statistics": "batch"}),
    ("ours", {"norm_scale": 1.1, "conditioning": "sum"}),
]
MAD_WRN = [
    *MAD,
    ("MAD Section 5.1", {"generator": "mad_cifar"}),
    (_TABLES, {"student_optimizer": "sgd", "student_lr": 0.01}),
    (_TABLES, {"student_momentum": 0.9, "student_weight_decay": 5e-4}),
    (_TABLES, {"generator_lr": 1e-3, "generator_weight_decay": 5e-4}),
    (_TABLES, {"generator_steps": 3, "student_steps": 60}),
    (_TABLES, {"batch": 256, "student_batch": 256}),
    (_TABLES, {"stages": 300 * 50, "stages_per_epoch": 50}),
    (_TABLES, {"schedule": "step", "milestones": (1 / 3, 2 / 3)}),
    (_TABLES, {"conditional": False, "pretrain_steps": 0}),
]
MAD_RESNET = [*MAD_WRN, (_TABLES, {"student_steps": 30})]
MAD_TINY = [
    *MAD_WRN,
    ("MAD Section 5.1", {"generator": "mad_tiny_imagenet"}),
    (_TABLES, {"student_steps": 90}),
]
MAD_IMAGENET = [
    *MAD,
    ("MAD Section 5.1", {"generator": "mad_imagenet", "conditional": True}),
    ("MAD Section 5.2.2", {"schedule": "constant"}),  # not said of Food101
    ("MAD Appendix B.3", {"conditioning": "sum"}),
    (_TABLES, {"student_optimizer": "adam", "student_lr": 1e-4}),
    (_TABLES, {"student_weight_decay": 1e-4, "norm_scale": 1.1}),
    (_TABLES, {"generator_lr": 1e-4, "generator_weight_decay": 5e-4}),
    (_TABLES, {"generator_steps": 20, "student_steps": 150}),
    (_TABLES, {"batch": 512, "student_batch": 512, "pretrain_steps": 200}),
    (_TABLES, {"stages": 6000, "stages_per_epoch": 1}),
]
MAD_PLACES = [*MAD_IMAGENET, (_TABLES, {"generator_steps": 10, "pretrain_steps": 50})]
MAD_FOOD = [
    *MAD_IMAGENET,
    (_TABLES, {"generator_steps": 5, "stages": 4000}),
    ("ours", {"pretrain_steps": 50}),  # the table's figure is lost
]

# --- HiDFD: sizes of batches and of an epoch are the public code's; digits are ours ---

_TEXT = "HiDFD Section Experiments"
HIDFD: Table = [
    ("HiDFD Eq. 1", {"gan_loss": "log"}),
    ("HiDFD Eq. 8", {"gate_q": 0.7, "integration": "both"}),
    ("HiDFD Eq. 10", {"gamma": 0.5}),
    ("HiDFD Eq. 14", {"distill": "align"}),
    (_TEXT, {"lambda_d": 0.1, "lambda_g": 0.1, "inflation": 0}),
    (_TEXT, {"collected_by": "category", "student_optimizer": "sgd"}),
    (_TEXT, {"student_momentum": 0.9, "student_weight_decay": 5e-4}),
    ("ours", {"frequency_floor": 0.1}),
    ("ours", {"temperature": 1.0, "collected_from": "auto"}),
    ("ours", {"lambda_onehot": 1.0, "lambda_entropy": 5.0}),  # DeGAN tunes them
]
# 500 epochs of the GAN, 5,000 images in batches of 100; then 240 of the student,
# 100,000 in batches of 64. With another ratio of collected images the steps stay.
HIDFD_CIFAR = [
    *HIDFD,
    (_TEXT, {"stages": 500 + 240, "gan_share": 500 / 740, "student_lr": 0.05}),
    (_TEXT, {"schedule": "step", "milestones": (150 / 240, 180 / 240, 210 / 240)}),
    (_TEXT, {"generator_lr": 1e-4, "discriminator_lr": 4e-4}),
    (_TEXT, {"collected_ratio": 0.1, "collected_imbalance": 0.0}),
    ("code", {"batch": 100, "generator_steps": 50, "student_batch": 64}),
    ("code", {"student_steps": 1563, "synthetic": 50_000}),
    ("inferred", {"generator_width": 64, "z_dim": 128}),  # from the networks' sizes
    ("ours", {"stages_per_epoch": 1}),
]
HIDFD_DIGITS = [
    *HIDFD,
    ("ours", {"generator_width": 4, "z_dim": 32, "batch": 32, "student_batch": 64}),
    ("ours", {"stages": 100, "gan_share": 0.5, "stages_per_epoch": 5}),
    ("ours", {"generator_steps": 16, "student_steps": 30, "schedule": "cosine"}),
    ("ours", {"generator_lr": 5e-4, "discriminator_lr": 2e-3, "student_lr": 0.003}),
    ("ours", {"synthetic": 2000, "collected_ratio": 0.13, "collected_imbalance": 5.0}),
]
HIDFD_MNIST = [
    *HIDFD_DIGITS,
    ("ours", {"generator_steps": 30, "student_steps": 60}),
    ("ours", {"student_lr": 0.01, "collected_ratio": 0.005}),
]

# --- baselines: what their code has, for the tables of any paper ----------------------

_SEEN = ("code", {"shift": 4, "flips": True, "temperature": 20.0, "z_dim": 256})
_KD = ("code", {"student_optimizer": "sgd", "student_weight_decay": 1e-4})
_UNDECAYED = ("code", {"generator_weight_decay": 0.0})
BASELINES: dict[str, Table] = {
    "zskt": [
        _UNDECAYED,
        ("code", {"student_steps": 10, "batch": 128, "z_dim": 100, "stages": 80_000}),
        ("code", {"student_optimizer": "adam", "student_lr": 2e-3}),
        ("code", {"student_weight_decay": 0.0, "schedule": "cosine"}),
        ("code", {"generator_steps": 1, "generator_lr": 1e-3}),
        ("ours", {"stages_per_epoch": 400}),
    ],
    "dfq": [
        *(_KD, _UNDECAYED, ("code", {"temperature": 1.0, "z_dim": 256})),
        ("code", {"schedule": "step", "milestones": (0.6, 0.75, 0.9)}),
        ("code", {"stages": 200 * 40, "student_steps": 10, "student_lr": 0.1}),
        ("code", {"batch": 256, "student_batch": 256, "generator_beta1": 0.5}),
        ("code", {"lambda_bn": 1.0, "generator_steps": 1, "stages_per_epoch": 40}),
    ],
    "pre": [
        ("code", {"student_steps": 10, "memory_steps": 4, "z_dim": 1000}),
        ("code", {"student_optimizer": "sgd", "student_weight_decay": 5e-4}),
        ("code", {"batch": 1024, "student_batch": 1024, "generator_lr": 0.02}),
        ("code", {"stages": 400 * 36, "student_lr": 0.1, "schedule": "cosine"}),
        ("code", {"generator_steps": 1, "stages_per_epoch": 36, "memory_lr": 5e-4}),
        ("inferred", {"lambda_activation": 0.1 / 512}),  # the code's is of a mean
    ],
    "cmi": [
        *(_SEEN, _KD),
        ("code", {"lambda_bn": 1.0, "head_width": 256, "memory": 40_960}),
        ("code", {"negatives": 4096}),
        ("code", {"stages": 40, "generator_steps": 1, "inversion_steps": 200}),
        ("code", {"batch": 256, "student_batch": 128, "generator_beta1": 0.5}),
        ("code", {"student_steps": 2000, "student_lr": 0.1, "schedule": "step"}),
        ("code", {"milestones": (0.625, 0.75, 0.875), "stages_per_epoch": 1}),
    ],
    "fast": [
        *(_SEEN, _KD, _UNDECAYED),
        ("code", {"inversion_steps": 10, "inversion_lr": 2e-3}),
        ("code", {"lambda_bn": 10.0, "generator_beta1": 0.5, "memory": 56_320}),
        ("code", {"stages": 200, "generator_steps": 1, "warmup": 20}),
        ("code", {"batch": 256, "student_batch": 256, "stages_per_epoch": 1}),
        ("code", {"student_steps": 400, "student_lr": 0.2, "schedule": "cosine"}),
    ],
    "nayer": [
        *(_SEEN, _KD),
        ("code", {"lambda_bn": 10.0, "generator_beta1": 0.5, "inversion_steps": 40}),
        ("code", {"stages": 200, "generator_steps": 2, "warmup": 200}),
        ("code", {"batch": 400, "student_batch": 512, "stages_per_epoch": 1}),
        ("code", {"student_steps": 400, "student_lr": 0.2, "schedule": "cosine"}),
        ("ours", {"memory": 65_536}),  # the code keeps all 240,000
    ],
    "spaceshipnet": [
        _SEEN,
        ("code", {"generator_width": 64}),
        ("code", {"lambda_bn": 1.0, "generator_beta1": 0.5, "temperature": 30.0}),
        ("code", {"stages": 200, "generator_steps": 1, "inversion_steps": 200}),
        ("code", {"inversion_lr": 1e-3, "stages_per_epoch": 1}),
        ("ours", {"memory": 17_064}),
        ("code", {"batch": 256, "student_batch": 256, "student_steps": 2000}),
        ("code", {"student_lr": 0.1, "schedule": "cosine"}),
    ],
}

BANKS = ("cmi", "fast", "nayer", "spaceshipnet")
BASELINES["composed"] = BASELINES["fast"]

# On HiDFD's collected images; the schedule is that of HiDFD's student, unless on CIFAR.
COLLECTING: dict[str, Table] = {
    "kd_collected": [],
    "dfnd": [
        ("code", {"collected_by": "confidence", "collected_imbalance": 0.0}),
        ("code", {"temperature": 4.0}),
    ],
    "kd3": [],
}
DFND_CIFAR: Table = [
    ("code", {"student_lr": 0.1, "milestones": (0.4, 0.8), "student_batch": 256}),
    ("code", {"stages": 80, "student_steps": 1000}),  # 40,000 · 512 images
]

# --- the ladder: one pair, one generator and one schedule, at the same FLOP -----------
# The student's rate was chosen at 0.1 PFLOP with a seed that is not used again
# (results/tuning.jsonl): for DFAD, which learns by MAE, and for ABM, by KL.

LADDER: Table = [
    *DFAD_CIFAR,
    *MAD,
    *ARVI,
    ("ours", {"generator_width": 32, "schedule": "cosine"}),
    ("ours", {"stages": 1000, "stages_per_epoch": 100}),
    ("ours", {"batch": 64, "student_batch": 64, "student_lr": 0.1}),
]
LADDER_MAE: Table = [("ours", {"student_lr": 0.3})]
# Of the banks: their own weights and temperature, 20 student steps a batch of images.
LADDER_BANK: Table = [
    _SEEN,
    ("ours", {"student_steps": 20, "inversion_steps": 10, "memory": 32_768}),
    ("ours", {"warmup": 20, "stages": 200, "stages_per_epoch": 20, "negatives": 256}),
]
LADDER_HIDFD: Table = [
    *HIDFD_CIFAR,
    ("ours", {"generator_width": 16, "batch": 64, "student_batch": 64}),
    ("ours", {"stages": 100, "gan_share": 0.5, "stages_per_epoch": 10}),
    ("ours", {"generator_steps": 20, "student_steps": 50, "schedule": "cosine"}),
    ("ours", {"synthetic": 10_000, "collected_ratio": 0.02}),
]

# --- who has which: paper, data sets, pairs -------------------------------------------

_GREY, _CIFAR = ("lenet5", "lenet5_half"), ("cifar10", "cifar100")
_RESNET, _WRN = ("resnet34_8x", "resnet18_8x"), ("wrn40_2", "wrn16_2")
_LAPTOP = ("wrn16_2", "wrn16_1")
_LARGE = ("alexnet", "alexnet")
_DEEPLAB = ("deeplabv3_resnet50", "deeplabv3_mobilenetv2")
_SMALL = ("deeplab_small", "deeplab_small_half")


class Entry(NamedTuple):
    """Whose recipe it is, for which data set and pair; `table` has the settings."""

    paper: str
    dataset: str
    teacher: str
    student: str
    table: Table


RECIPES: tuple[Entry, ...] = tuple(
    Entry(paper, dataset, *pair, table)
    for paper, datasets, pair, table in (
        ("ours", ("digits", "digits_half", "digits_hybrid"), _GREY, DIGITS),
        ("ours", ("moons",), ("mlp", "mlp_half"), MOONS),
        ("ours", ("mnist",), _GREY, MNIST),
        ("dfad", ("mnist",), _GREY, DFAD_MNIST),
        ("dfad", _CIFAR, _RESNET, DFAD_CIFAR),
        ("dfad", ("caltech101",), ("resnet34", "resnet18"), DFAD_CALTECH),
        ("dfad", ("camvid",), _DEEPLAB, DFAD_CAMVID),
        ("dfad", ("nyuv2",), _DEEPLAB, DFAD_NYUV2),
        ("ours", ("scenes",), _SMALL, SCENES),
        ("ladder", ("camvid", "nyuv2"), _SMALL, SMALL),
        ("arvi", ("mnist",), _GREY, ARVI_MNIST),
        ("arvi", _CIFAR, _RESNET, ARVI_CIFAR),
        ("mad", _CIFAR, _WRN, MAD_WRN),
        ("mad", _CIFAR, _RESNET, MAD_RESNET),
        ("mad", ("tiny_imagenet",), _RESNET, MAD_TINY),
        ("mad", ("imagenet",), _LARGE, MAD_IMAGENET),
        ("mad", ("places365",), _LARGE, MAD_PLACES),
        ("mad", ("food101",), _LARGE, MAD_FOOD),
        ("hidfd", ("digits_hybrid",), _GREY, HIDFD_DIGITS),
        ("hidfd", ("mnist",), _GREY, HIDFD_MNIST),
        ("hidfd", _CIFAR, _RESNET, HIDFD_CIFAR),
        ("hidfd", _CIFAR, ("vgg16_bn", "vgg13_bn"), HIDFD_CIFAR),
        ("ladder", _CIFAR, _LAPTOP, LADDER),
    )
    for dataset in datasets
)
ON_LADDER = (*_CIFAR, "camvid", "nyuv2")
PAPERS = tuple(dict.fromkeys(entry.paper for entry in RECIPES))
# Whose recipe a method runs with, where that paper has one for the data set.
METHOD_PAPERS = {
    **{"dfad": "dfad", "arvi": "arvi", "abm": "mad", "dfkd_mem": "mad", "mad": "mad"},
    **dict.fromkeys(("hidfd", "degan", *COLLECTING), "hidfd"),
}


@dataclass(frozen=True)
class Recipe:
    """What a run needs besides data, teacher and seed; a source for each setting."""

    method: str
    paper: str
    dataset: str
    teacher: str
    student: str
    settings: Any  # of METHODS[method]
    sources: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)

    @property
    def pair(self) -> str:
        """Teacher and student, as the command line writes them."""
        return f"{self.teacher}-{self.student}"

    def values(self) -> dict[str, Any]:
        """The settings that the method reads."""
        return {n: getattr(self.settings, n) for n in readable(type(self.settings))}

    def rows(self) -> list[list[str]]:
        """The settings as rows of a table: name, value, source."""
        rows = self.values().items()
        return [[n, str(v), self.sources.get(n, "ours")] for n, v in rows]

    def replace(self, **changes: Any) -> "Recipe":
        """A copy with some settings changed; their source is then "given".

        A UserError for a setting that the method does not read, or a wrong value.
        """
        own = self.values()
        for name in changes:
            one_of(f"setting of {self.method}", name, own)
        given = {name: "given" for name, value in changes.items() if value != own[name]}
        settings = dataclasses.replace(self.settings, **changes)
        sources = {**self.sources, **given}
        return dataclasses.replace(self, settings=settings, sources=sources)

    def of(self, method: str) -> "Recipe":
        """The recipe of another method with these settings, as far as it reads them."""
        pair = self.teacher, self.student
        other = recipe_for(self.dataset, method, *pair, paper=self.paper)
        names = other.values()
        return other.replace(**{n: v for n, v in self.values().items() if n in names})


def recipe_for(
    dataset: str, method: str = "mad",
    teacher: str = "auto", student: str = "auto", paper: str = "auto",
) -> Recipe:  # fmt: skip
    """The recipe of a method for a data set: of `paper`, else of the method's paper.

    Else ours, else anybody's. Of several pairs the first is taken, or the named one; a
    pair that no recipe has replaces the recipe's own; the ladder's pair has its recipe.
    A data set that no recipe is for runs with that of MNIST or CIFAR-10, whichever has
    its kind of images. Looks at no file, except to see whether a name that is not in
    the catalogue is the user's.

    A UserError for an unknown name, or a paper without a recipe for the data set.
    """
    one_of("method", method, METHODS)
    here = [entry for entry in RECIPES if entry.dataset == dataset]
    here = here or [_generic(dataset)]
    wanted = METHOD_PAPERS.get(method, "ours")
    if "hidfd" in (paper, wanted) and all(e.paper != "hidfd" for e in here):
        grey = _is_grey(dataset)
        pair, table = (_GREY, HIDFD_MNIST) if grey else (_RESNET, HIDFD_CIFAR)
        here.append(Entry("hidfd", dataset, *pair, table))
    if paper != "auto":
        one_of("recipe", paper, PAPERS)
        known = ", ".join(sorted({entry.paper for entry in here}))
        here = [entry for entry in here if entry.paper == paper]
        if not here:
            line = f"recipe: {paper} has none for {dataset}"
            raise UserError(f"{line}; allowed with {dataset}: {known}")

    def order(entry: Entry) -> tuple[bool, ...]:
        return (
            entry.paper != "ladder" and (teacher, student) in (_LAPTOP, _SMALL),
            entry.paper != wanted,
            entry.paper != "ours",
            teacher not in ("auto", entry.teacher),
            student not in ("auto", entry.student),
        )

    entry = min(here, key=order)
    kind, given, sources = METHODS[method], {}, {}
    for source, part in entry.table + _of_baseline(method, entry):
        own = {n: value for n, value in part.items() if n in readable(kind)}
        given, sources = given | own, sources | dict.fromkeys(own, source)
    teacher = entry.teacher if teacher == "auto" else teacher
    student = entry.student if student == "auto" else student
    pair = teacher, student
    return Recipe(method, entry.paper, dataset, *pair, kind(**given), sources)


def _of_baseline(method: str, entry: Entry) -> Table:
    """What a baseline needs besides a paper's table.

    DeGAN's student has KD's loss; methods without a GAN take as many steps as HiDFD's
    student, DFND on CIFAR its code's. On the ladder, HiDFD, its baselines and the banks
    have tables of their own. There and on scenes, the methods that learn by MAE have a
    student's rate of their own.
    """
    if entry.paper == "ladder" and method in ("composed", *BANKS):
        bn = 1.0 if method in ("cmi", "spaceshipnet") else 10.0
        rate = LADDER_MAE * (method == "composed")
        return [
            *LADDER_BANK,
            ("code", {"lambda_bn": bn, "generator_beta1": 0.5}),
            *rate,
        ]
    if entry.paper not in ("ours", "ladder") and method in BASELINES:
        upright = [("ours", {"flips": False})] * _is_grey(entry.dataset)  # digits
        return BASELINES[method] + upright
    if entry.table in (LADDER, SCENES) and method in ("dfad", "arvi", "pre"):
        return LADDER_MAE
    if entry.paper == "ladder" and METHOD_PAPERS.get(method) == "hidfd":
        kd = [("ours", {"distill": "kd"})] * (method == "degan")
        return LADDER_HIDFD + kd + COLLECTING.get(method, [])
    if entry.paper != "hidfd" or method not in ("degan", *COLLECTING):
        return []
    if method == "degan":
        return [("ours", {"distill": "kd"})]
    hidfd = recipe_for(entry.dataset, "hidfd", entry.teacher, entry.student).settings
    table = [("ours", {"stages": hidfd.stages - hidfd.gan_stages})]
    if method == "dfnd" and entry.dataset in _CIFAR:
        table += DFND_CIFAR
        known = {"cifar10": 0.9523, "cifar100": 0.7774}[entry.dataset]
        table += [("code", {"teacher_accuracy": known})]
    if method == "kd3" and _is_grey(entry.dataset):
        table += [("ours", {"student_lr": 0.01})]  # 97.3 %; 95.3 at 0.003, 9.8 at 0.03
    return table + COLLECTING[method]


def _generic(dataset: str) -> Entry:
    """For a data set that no paper used."""
    if (facts := DATASETS.get(dataset)) and facts.dense:
        return Entry("ours", dataset, *_SMALL, SMALL)
    pair, table = (_GREY, MNIST) if _is_grey(dataset) else (_RESNET, DFAD_CIFAR)
    return Entry("ours", dataset, *pair, table)


def _is_grey(dataset: str) -> bool:
    images = DATASETS.get(known_dataset("dataset", dataset))
    return bool(images) and (images.channels, images.size) == (1, 32)


def override(recipe: Recipe, settings: Iterable[str]) -> Recipe:
    """Apply ``name=value`` settings, as ``--set`` and a chapter's `overrides` do.

    A UserError for a name that the method does not read (with those it reads), one
    given twice, or a value that the setting cannot have.
    """
    names, changes = readable(type(recipe.settings)), {}
    for setting in settings:
        name, sign, text = setting.partition("=")
        if not sign:
            raise UserError(f"setting {shown(name)}: it has no value; write NAME=VALUE")
        kind = names[one_of(f"setting of {recipe.method}", name, names)]
        if name in changes:
            raise UserError(f"setting {name}: it is given twice; give it once")
        changes[name] = allowed(name, _parsed(text, kind), kind)
    return recipe.replace(**changes)


def _parsed(text: str, kind: Any) -> Any:
    """A value from its text; what is no literal stays text and is refused later."""
    if kind is str or typing.get_origin(kind) is typing.Literal:
        return text
    number = re.fullmatch(r"[-+\w.(), ]+", text)
    try:
        return ast.literal_eval(text) if number else text
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        return text
