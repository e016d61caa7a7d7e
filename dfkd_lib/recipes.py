"""The schedules of the papers and of this book, one per paper, data set and pair. No torch here.

Sources: "DFAD Table 7" and the like are the paper's text; "code" is its authors' public code; "inferred" is our reading
of text that is lost or silent; "ours" is what nobody says and we chose.
"""

from typing import Any

from . import catalogue
from .errors import UserError, one_of
from .recipe import CHOICES, SETTINGS, Recipe
from .sources import known_dataset

__all__ = ["CHOICES", "METHOD_PAPERS", "PAPERS", "RECIPES", "SETTINGS", "Recipe", "recipe_for"]

# Whose recipe a method runs with, where that paper has one for the data set. The baselines of MAD run with MAD's, those
# of HiDFD with HiDFD's.
METHOD_PAPERS = {
    **{"dfad": "dfad", "arvi": "arvi", "abm": "mad", "dfkd_mem": "mad", "mad": "mad"},
    **dict.fromkeys(("hidfd", "degan", "kd_collected"), "hidfd"),
}

# --- ours ---------------------------------------------------------------------------------------------------------

_DIGITS = Recipe()

# One short schedule for all methods on MNIST: a fifth of DFAD's updates, with digits' batches and generator.
_MNIST = Recipe(dataset="mnist", stages=400, stages_per_epoch=50)

# Two moons: everything is small, and what the generator makes is a point of the plane, of a density known exactly.
_MOONS = Recipe(
    dataset="moons", teacher="mlp", student="mlp_half", generator="flow", z_dim=2, student_lr=0.01, stages=200
)

# --- DFAD ---------------------------------------------------------------------------------------------------------

_DFAD = (
    Recipe(paper="dfad")
    .sourced("DFAD Section 4.1.2", student_momentum=0.9, stages_per_epoch=50)
    .sourced("DFAD Appendix A.1", generator_beta1=0.9, generator_lr=1e-3)
    .sourced("DFAD Table 4", generator_width=64)
    .sourced("DFAD Eq. 2", discrepancy="mae")
    .sourced("code", student_steps=5, generator_steps=1, reuse=1, generator_weight_decay=0.0, student_optimizer="sgd")
)
_DFAD_MNIST = (
    _DFAD.sourced("DFAD Section 4.1.1", dataset="mnist", teacher="lenet5", student="lenet5_half")
    .sourced("DFAD Table 7", generator="generator_a", batch=512, student_batch=512, student_lr=0.01)
    .sourced("DFAD Appendix A.2", stages=40 * 50, schedule="constant")
    .sourced("ours", milestones=(1 / 3, 2 / 3))  # not read: the learning rate is constant
    .sourced("code", z_dim=100, student_weight_decay=1e-4)
)
_DFAD_CIFAR10 = (
    _DFAD.sourced("DFAD Section 4.1.1", dataset="cifar10", teacher="resnet34_8x", student="resnet18_8x")
    .sourced("DFAD Table 7", generator="generator_a", batch=256, student_batch=256, student_lr=0.1)
    .sourced("DFAD Table 7", student_weight_decay=5e-4)
    .sourced("DFAD Appendix A.2", stages=500 * 50, schedule="step", milestones=(0.2, 0.4))
    .sourced("code", z_dim=256)
)
_DFAD_CALTECH101 = (
    _DFAD.sourced("DFAD Section 4.1.1", dataset="caltech101", teacher="resnet34", student="resnet18")
    .sourced("DFAD Table 7", generator="generator_b", batch=64, student_batch=64, student_lr=0.05)
    .sourced("DFAD Table 7", student_weight_decay=5e-4)
    .sourced("DFAD Appendix A.2", stages=300 * 50, schedule="step", milestones=(1 / 3, 2 / 3))
    .sourced("code", z_dim=256)
)

# --- AR+VI: its text gives networks and data sets only; the game is DFAD's, the weights are found on digits -------


def _arvi(dfad: Recipe) -> Recipe:
    settings = {name: value for name, value in dfad.values().items() if name in dfad.sources}
    return (
        Recipe()
        .sourced("inferred", **settings)
        .sourced("AR+VI Section 4.1", paper="arvi", teacher=dfad.teacher, student=dfad.student)
        .sourced("ours", lambda_l=0.1, lambda_m=1e-4, lambda_vi=0.3, mixup="uniform", mixup_a=0.5)
        .sourced("AR+VI Eq. 9", mixup_labels="chord")
    )


# --- MAD: the headings of its Tables 4 to 7 are lost, and rebuilt in FACTS; "inferred" are also its logit bounds --

_MAD = (
    Recipe(paper="mad")
    .sourced("MAD Section 5.1", momentum=0.95, z_dim=256)
    .sourced("MAD Section 5.2.2", memory=8192)
    .sourced("MAD Section 5.3", lambda0=1.0, lambda1=1.0)
    .sourced("MAD Section 6", reuse=1)
    .sourced("inferred", logit_bound=20.0, generator_beta1=0.9)
    .sourced("ours", lambda_bn=1.0, lambda_nll=1.0, lambda_norm=1.0, lambda_logit=1.0, ema_statistics="batch")
    # Not read: by its generators, by Adam, at a constant learning rate, without classes. A table has them all the same.
    .sourced("ours", generator_width=8, student_momentum=0.9, milestones=(1 / 3, 2 / 3))
    .sourced("ours", conditioning="sum", norm_scale=1.1)
)
_MAD_SMALL = (
    _MAD.sourced("MAD Tables 5-7 (inferred)", student_optimizer="sgd", student_lr=0.01, student_momentum=0.9)
    .sourced("MAD Tables 5-7 (inferred)", student_weight_decay=5e-4, generator_lr=1e-3, generator_weight_decay=5e-4)
    .sourced("MAD Tables 5-7 (inferred)", generator_steps=3, batch=256, student_batch=256)
    .sourced("MAD Tables 5-7 (inferred)", stages=300 * 50, stages_per_epoch=50, conditional=False, pretrain_steps=0)
    .sourced("MAD Tables 5-7 (inferred)", schedule="step", milestones=(1 / 3, 2 / 3))
)
_MAD_WRN = _MAD_SMALL.sourced("MAD Section 5.1", teacher="wrn40_2", student="wrn16_2", generator="mad_cifar").sourced(
    "MAD Tables 5-7 (inferred)", student_steps=60
)
_MAD_RESNET = _MAD_SMALL.sourced(
    "MAD Section 5.1", teacher="resnet34_8x", student="resnet18_8x", generator="mad_cifar"
).sourced("MAD Tables 5-7 (inferred)", student_steps=30)
_MAD_TINY = _MAD_RESNET.sourced(
    "MAD Section 5.1", dataset="tiny_imagenet", teacher="resnet34_8x", generator="mad_tiny_imagenet"
).sourced("MAD Tables 5-7 (inferred)", student_steps=90)
_MAD_LARGE = (
    _MAD.sourced("MAD Section 5.1", teacher="alexnet", student="alexnet", generator="mad_imagenet", conditional=True)
    .sourced("MAD Tables 5-7 (inferred)", student_optimizer="adam", student_lr=1e-4, student_weight_decay=1e-4)
    .sourced("MAD Tables 5-7 (inferred)", generator_lr=1e-4, generator_weight_decay=5e-4, student_steps=150)
    .sourced("MAD Tables 5-7 (inferred)", batch=512, student_batch=512)
    .sourced("MAD Section 5.2.2", schedule="constant")  # said of ImageNet and Places365; the table has dashes
    .sourced("MAD Tables 5-7 (inferred)", stages=6000, stages_per_epoch=1, norm_scale=1.1)
    .sourced("MAD Appendix B.3", conditioning="sum")
)


def _mad_large(dataset: str, generator_steps: int, pretrain_steps: int, **values: int) -> Recipe:
    values |= {"generator_steps": generator_steps, "pretrain_steps": pretrain_steps}
    return _MAD_LARGE.sourced("MAD Tables 5-7 (inferred)", **values).sourced("MAD Section 5.1", dataset=dataset)


# --- HiDFD: its sizes of batches and of an epoch are the public code's; on grey images all is a search of ours ------

_HIDFD = (
    Recipe(paper="hidfd")
    .sourced("HiDFD Eq. 1", gan_loss="log")
    .sourced("HiDFD Eq. 8", gate_q=0.7, gate="formula", integration="both")
    .sourced("HiDFD Eq. 10", gamma=0.5)
    .sourced("HiDFD Eq. 14", distill="align")
    .sourced("HiDFD Section Experiments", lambda_d=0.1, lambda_g=0.1, inflation=0, collected_by="category")
    .sourced("HiDFD Section Experiments", student_optimizer="sgd", student_momentum=0.9, student_weight_decay=5e-4)
    .sourced("ours", gan_augment=False, gan_momentum=0.0, frequency_floor=0.1, temperature=1.0, collected_from="auto")
    .sourced("ours", lambda_onehot=1.0, lambda_entropy=5.0)  # DeGAN's; its own are tuned per data set
)
# 500 epochs of the GAN, 5,000 images in batches of 100; then 240 of the student, 100,000 in batches of 64. With another
# ratio of collected images, or another data set, an epoch has another length: the steps stay.
_HIDFD_CIFAR10 = (
    _HIDFD.sourced("HiDFD Table 1", dataset="cifar10", teacher="resnet34_8x", student="resnet18_8x")
    .sourced("HiDFD Section Experiments", stages=500 + 240, gan_share=500 / 740, student_lr=0.05, schedule="step")
    .sourced("HiDFD Section Experiments", milestones=(150 / 240, 180 / 240, 210 / 240), generator_lr=1e-4)
    .sourced("HiDFD Section Experiments", discriminator_lr=4e-4, collected_ratio=0.1, collected_imbalance=0.0)
    .sourced("code", batch=100, generator_steps=50, student_batch=64, student_steps=1563, synthetic=50_000)
    .sourced("inferred", generator_width=64, z_dim=128)  # from the networks' sizes
    .sourced("ours", stages_per_epoch=1)
)
_HIDFD_VGG = _HIDFD_CIFAR10.sourced("HiDFD Table 1", teacher="vgg16_bn", student="vgg13_bn")
_HIDFD_DIGITS = (
    _HIDFD.sourced("ours", dataset="digits_hybrid", generator_width=4, z_dim=32, batch=32, student_batch=64)
    .sourced("ours", stages=100, gan_share=0.5, generator_steps=16, student_steps=30, stages_per_epoch=5)
    .sourced("ours", generator_lr=5e-4, discriminator_lr=2e-3, student_lr=0.003, schedule="cosine")
    .sourced("ours", synthetic=2000, collected_ratio=0.13, collected_imbalance=5.0, milestones=(1 / 3, 2 / 3))
    .sourced("ours", teacher="lenet5", student="lenet5_half")
)
_HIDFD_MNIST = _HIDFD_DIGITS.sourced(
    "ours", dataset="mnist", generator_steps=30, student_steps=60, student_lr=0.01, collected_ratio=0.005
)


def _on(recipe: Recipe, dataset: str) -> Recipe:
    """The same recipe for another data set of its paper."""
    return recipe.sourced(recipe.sources.get("dataset", recipe.sources.get("teacher", "ours")), dataset=dataset)


RECIPES: tuple[Recipe, ...] = (
    _DIGITS,
    Recipe(dataset="digits_half"),
    Recipe(dataset="digits_hybrid"),
    _MOONS,
    _MNIST,
    _DFAD_MNIST,
    _DFAD_CIFAR10,
    _on(_DFAD_CIFAR10, "cifar100"),
    _DFAD_CALTECH101,
    _arvi(_DFAD_MNIST),
    _arvi(_DFAD_CIFAR10),
    _arvi(_on(_DFAD_CIFAR10, "cifar100")),
    _on(_MAD_WRN, "cifar100"),
    _on(_MAD_RESNET, "cifar100"),
    _on(_MAD_WRN, "cifar10"),
    _on(_MAD_RESNET, "cifar10"),
    _MAD_TINY,
    _mad_large("imagenet", 20, 200),
    _mad_large("places365", 10, 50),
    _mad_large("food101", 5, 50, stages=4000).sourced("ours", pretrain_steps=50),  # the table's figure is lost
    _HIDFD_DIGITS,
    _HIDFD_MNIST,
    *(_on(pair, dataset) for dataset in ("cifar10", "cifar100") for pair in (_HIDFD_CIFAR10, _HIDFD_VGG)),
)
# HiDFD also lists ResNet-34 to VGG-13: `--pair resnet34_8x-vgg13_bn`.
PAPERS = tuple(dict.fromkeys(recipe.paper for recipe in RECIPES))


def recipe_for(
    dataset: str, method: str = "mad", teacher: str = "auto", student: str = "auto", paper: str = "auto"
) -> Recipe:
    """The recipe for a data set: of `paper`, or of the method's paper, else ours, else anybody's.

    Of several pairs the first is taken, or the one that is named. A pair that no recipe has replaces the recipe's own.
    A data set that no recipe is for runs with that of digits or of CIFAR-10, whichever has its kind of images.

    Raises
    ------
    UserError
        if there is no data set of that name, or that paper has no recipe for it.
    """
    here = [recipe for recipe in RECIPES if recipe.dataset == dataset] or [_generic(dataset)]
    if "hidfd" in (paper, METHOD_PAPERS.get(method)) and not any(recipe.paper == "hidfd" for recipe in here):
        here.append((_HIDFD_MNIST if _is_grey(dataset) else _HIDFD_CIFAR10).sourced("given", dataset=dataset))
    if paper != "auto":
        one_of("recipe", paper, PAPERS)
        here = [recipe for recipe in here if recipe.paper == paper]
        if not here:
            allowed = ", ".join(sorted({recipe.paper for recipe in RECIPES if recipe.dataset == dataset}))
            raise UserError(f"recipe: {paper} has none for {dataset}; allowed with {dataset}: {allowed or 'ours'}")

    def order(recipe: Recipe) -> tuple[bool, ...]:
        return (
            recipe.paper != METHOD_PAPERS.get(method, "ours"),
            recipe.paper != "ours",
            teacher not in ("auto", recipe.teacher),
            student not in ("auto", recipe.student),
        )

    recipe = min(here, key=order)
    if recipe.paper == "hidfd":
        recipe = recipe.sourced("ours", **_of_its_baselines(method, recipe))
    named = {"teacher": teacher, "student": student}
    return recipe.replace(
        **{name: value for name, value in named.items() if value not in ("auto", getattr(recipe, name))}
    )


def _of_its_baselines(method: str, recipe: Recipe) -> dict[str, Any]:
    """DeGAN's student has KD's loss; KD without a GAN takes as many steps as HiDFD's student."""
    return {"degan": {"distill": "kd"}, "kd_collected": {"stages": recipe.stages - recipe.gan_stages}}.get(method, {})


def _generic(dataset: str) -> Recipe:
    """For a data set that no paper used."""
    if _is_grey(dataset):
        return _MNIST.sourced("given", dataset=dataset)
    return _DFAD_CIFAR10.sourced("ours", paper="ours").sourced("given", dataset=dataset)


def _is_grey(dataset: str) -> bool:
    images = catalogue.DATASETS.get(known_dataset("dataset", dataset))
    return bool(images) and (images.channels, images.size) == (1, 32)
