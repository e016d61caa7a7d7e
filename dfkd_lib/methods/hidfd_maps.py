"""OFA, SemCKD and CAT-KD: losses of HiDFD's Table 2 that look at maps.

- ``ofa``: the student's stages have branches that make logits of their own, and all
  logits learn from the teacher's (Hao et al. 2023, One-for-All);
- ``semckd``: each of the student's maps is drawn to all of the teacher's, by weights
  that an attention learns, image by image (Chen et al. 2021); added to KD;
- ``catkd``: labels, and the teacher's class activation maps (Guo et al. 2023).

OFA's branches and SemCKD's attention and projections are a helper, which trains along
and is not part of the student. The weights are those of the public codes, which tune
them to the networks: `distill_weight` is a factor. LeNet-5 has no BatchNorm and large
maps, for which SemCKD's own weight is too large.

Deviations. OFA: its code has cross entropy with the label for the student's own logits
alone; in each loss (1 + p)^γ − 1 for the target, and p^γ for other classes. SemCKD: no
labels, as for CC and RKD; HiDFD's temperature, where its code has 4. CAT-KD: its code
takes the classifier's bias away; here the networks keep it, and the maps are without.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import UserError
from ..losses import Images, Labels, Logits, Scalar, kd, mse, unit
from ..models import classifier_of
from ..models.network import Shape, he_normal
from .features import shapes_of
from .state import State

Weights = Float[Tensor, "n students teachers"]
Sizes = list[tuple[int, ...]]  # of maps: (channels, h, w)

OFA_GAMMA = 1.5  # its README's command; 1, its code's default, enhances no target
SEMCKD_WEIGHT = 400.0  # β of its README for CIFAR-100
CAT_WEIGHT = 12.0  # β of its code for WRN-40-2 and WRN-16-2; other pairs: 0.5 to 15
CAT_CELLS = 2  # a side, after pooling: of its code for CIFAR-100


def learners(settings: Any, s: State) -> list[nn.Parameter]:
    """The weights that learn: the student's, and those of `s.helper`, made if needed.

    A UserError for networks or a batch that the loss cannot look at.
    """
    weights = [p for p in s.student.parameters() if p.requires_grad]
    name, batch = settings.distill, settings.student_batch
    if settings.distill_weight != 1 and name not in ("catkd", "semckd"):
        line = f"distill_weight: distill={name} does not read it"
        raise UserError(f"{line}; leave it out, or set distill=catkd or distill=semckd")
    if name == "semckd" and batch == 1:
        line = "student_batch: 1 is not allowed with distill=semckd, which compares the"
        raise UserError(f"{line} images of a batch; give 2 or more")
    if name in ("ofa", "semckd"):
        narrow = shapes_of(s.student, s.task.shape)
        if name == "ofa":
            width = max(classifier_of(n).in_features for n in (s.teacher, s.student))
            made = branches(narrow, width, s.task.num_classes)
        else:
            made = Calibration(shapes_of(s.teacher, s.task.shape), narrow, batch)
        s.helper = s.task.place(made).train()
        weights += s.helper.parameters()
    if name == "catkd":
        for network in (s.teacher, s.student):
            check_class_maps(network, s.task.shape)
    return weights


def map_terms(settings: Any, s: State, x: Images, y: Labels) -> dict[str, Tensor]:
    """The named terms of the student's loss on a batch."""
    name, temperature = settings.distill, settings.temperature
    student = s.student.stages(x)
    if name == "ofa":
        with torch.no_grad():
            answers = s.teacher(x)
        own = zip(s.helper, student.maps, strict=True)
        exits = [ofa(answers, branch(m), y, temperature) for branch, m in own]
        last = ofa(answers, student.logits, y, temperature)
        return {"OFA": last, "branches": sum(exits)}
    with torch.no_grad():
        teacher = s.teacher.stages(x)
    if name == "semckd":
        gap = calibrated(*s.helper(teacher.maps, student.maps))
        gap = settings.distill_weight * SEMCKD_WEIGHT * gap
        return {"KL": kd(teacher.logits, student.logits, temperature), "maps": gap}
    pairs = (s.teacher, teacher.maps[-1]), (s.student, student.maps[-1])
    gap = cat(*(class_maps(maps, n.classifier.weight) for n, maps in pairs))
    gap = settings.distill_weight * CAT_WEIGHT * gap
    return {"labels": F.cross_entropy(student.logits, y), "CAT": gap}


# --- One-for-All ----------------------------------------------------------------------


def ofa(
    teacher: Logits, student: Logits, y: Labels, temperature: float,
    gamma: float = OFA_GAMMA,
) -> Scalar:  # fmt: skip
    """−(1 + p_T(y))^γ log p_S(y) − Σ_{c≠y} p_T(c) log p_S(c) (Hao et al. 2023, OFA).

    With γ = 1, cross entropy with the label and with the teacher's probabilities.
    """
    p = F.softmax(teacher / temperature, dim=1)
    target = F.one_hot(y, p.shape[1]).bool()
    weights = torch.where(target, (1 + p) ** gamma, p)
    return -(weights * F.log_softmax(student / temperature, dim=1)).sum(dim=1).mean()


def branches(shapes: Sizes, width: int, classes: int) -> nn.ModuleList:
    """OFA's branches, a stage each: maps → convolutions that halve → mean → logits.

    A stage's maps are halved once for each later stage; the last ones are only mixed.
    """
    made = nn.ModuleList()
    for later, (channels, *_) in zip(reversed(range(len(shapes))), shapes, strict=True):
        layers: list[nn.Module] = []
        for left in reversed(range(later)):
            out = 2 * channels if left else width
            layers += _separable(channels, channels, 2) + _separable(channels, out, 1)
            channels = out
        layers = layers or [nn.Conv2d(channels, width, 1)]
        layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, classes)]
        nn.init.trunc_normal_(layers[-1].weight, std=0.02)
        nn.init.zeros_(layers[-1].bias)
        made.append(nn.Sequential(*layers))
    he_normal(made)
    return made


def _separable(c_in: int, c_out: int, stride: int) -> list[nn.Module]:
    depthwise = nn.Conv2d(c_in, c_in, 3, stride, 1, groups=c_in, bias=False)
    pointwise = nn.Conv2d(c_in, c_out, 1, bias=False)
    return [depthwise, pointwise, nn.BatchNorm2d(c_out), nn.ReLU()]


# --- SemCKD ---------------------------------------------------------------------------


class Calibration(nn.Module):
    """SemCKD's attention, and the projections of every map to every map.

    A query or key is made of a map's similarities between the images of a batch, whose
    size is therefore fixed.
    """

    def __init__(self, wide: Sizes, narrow: Sizes, batch: int):
        super().__init__()
        width = max(batch // 4, 1)

        def embedding() -> nn.Module:
            last = nn.Linear(2 * width, width)
            return nn.Sequential(nn.Linear(batch, 2 * width), nn.ReLU(), last)

        self.keys = nn.ModuleList(embedding() for _ in wide)
        self.queries = nn.ModuleList(embedding() for _ in narrow)
        self.projections = nn.ModuleList(
            nn.ModuleList(projection(have, want) for want, *_ in wide)
            for have, *_ in narrow
        )

    def forward(
        self, teacher: list[Tensor], student: list[Tensor]
    ) -> tuple[Weights, Weights]:
        """The attention of each image, and each pair's mean squared differences."""
        queries, keys = (
            torch.stack([e(similarities(m)) for e, m in zip(es, maps, strict=True)], 1)
            for es, maps in ((self.queries, student), (self.keys, teacher))
        )
        gaps = [
            [map_gap(t, project, m) for t, project in zip(teacher, row, strict=True)]
            for m, row in zip(student, self.projections, strict=True)
        ]
        rows = [torch.stack(row, dim=1) for row in gaps]
        return attention(queries, keys), torch.stack(rows, dim=1)


def projection(channels: int, out: int) -> nn.Sequential:
    """SemCKD's three convolutions from the student's channels to the teacher's."""
    hidden = 2 * out
    return nn.Sequential(
        nn.Conv2d(channels, hidden, 1, bias=False), nn.BatchNorm2d(hidden), nn.ReLU(),
        nn.Conv2d(hidden, hidden, 3, 1, 1, bias=False), nn.BatchNorm2d(hidden),
        nn.ReLU(), nn.Conv2d(hidden, out, 1, bias=False),
    )  # fmt: skip


def similarities(maps: Images) -> Float[Tensor, "n n"]:
    """Inner products of the maps of a batch's images (SemCKD)."""
    rows = maps.flatten(1)
    return rows @ rows.T


def attention(
    queries: Float[Tensor, "n students width"], keys: Float[Tensor, "n teachers width"]
) -> Weights:
    """Softmax over the teacher's maps of cosines of queries and keys (SemCKD)."""
    return (unit(queries) @ unit(keys).mT).softmax(dim=2)


def map_gap(
    teacher: Float[Tensor, "n _ _ _"], project: nn.Module, student: Images
) -> Float[Tensor, " n"]:
    """Mean squared difference, image by image, on the smaller grid of the two."""
    grid = tuple(map(min, teacher.shape[2:], student.shape[2:]))
    teacher, student = (F.adaptive_avg_pool2d(m, grid) for m in (teacher, student))
    return (project(student) - teacher).square().flatten(1).mean(dim=1)


def calibrated(weights: Weights, gaps: Weights) -> Scalar:
    """Σ_t α_st gap_st, averaged over the student's maps and images (SemCKD)."""
    return (weights * gaps).sum(dim=2).mean()


# --- CAT-KD ---------------------------------------------------------------------------


def class_maps(
    maps: Images, weight: Float[Tensor, "classes c"]
) -> Float[Tensor, "n classes h w"]:
    """CAM_c = Σ_k w_ck A_k: a map per class, whose mean is its logit without the bias.

    CAT-KD's classifier is a 1×1 convolution before the pooling, which is the same.
    """
    return F.conv2d(maps, weight[:, :, None, None])


def cat(teacher: Float[Tensor, "n c _ _"], student: Float[Tensor, "n c _ _"]) -> Scalar:
    """MSE of class activation maps pooled to 2×2 cells (Guo et al. 2023, CAT-KD).

    Not normalised, as in its code's configurations; only those of CAT alone normalise.
    """
    pooled = (F.adaptive_avg_pool2d(maps, CAT_CELLS) for maps in (teacher, student))
    return mse(*pooled)


def check_class_maps(network: nn.Module, shape: Shape) -> None:
    """A UserError unless the classifier reads the mean of last maps of many pixels."""
    [(_, *sides)] = shapes_of(network, shape, first=-1)
    after = [type(layer) for layer in network.features[network.cuts[-1] + 1 :]]
    if after != [nn.AdaptiveAvgPool2d, nn.Flatten] or min(sides) < CAT_CELLS:
        line = "pair: distill=catkd needs last maps of 2×2 pixels or more, whose mean "
        line += "the classifier reads, as ResNets and VGGs have"
        raise UserError(f"{line}; give two of those, or take distill=ofa or semckd")
