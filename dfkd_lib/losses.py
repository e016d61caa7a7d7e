"""Formulas that several papers share. Means over the batch, natural logarithms.

A formula of one paper alone is in that paper's file, `dfkd_lib.methods`.
"""

import contextlib
import math

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

# Shapes: n images, of c channels and h×w pixels. Logits of images, or of their pixels.
Logits = Float[Tensor, "n classes *pixels"]
Scalar = Float[Tensor, ""]
Images = Float[Tensor, "n c h w"]
Rows, Vectors = Float[Tensor, "n width"], Float[Tensor, "*batch width"]
Labels = Int[Tensor, "n *pixels"]
Classes = Float[Tensor, " classes"]
Gaps = list[tuple[Float[Tensor, " _"], Float[Tensor, " _"]]]  # of mean and variance

# --- discrepancies between two networks' logits, the teacher's first ----------------


def mae(teacher: Logits, student: Logits) -> Scalar:
    """Mean absolute error of raw logits, over images and classes (DFAD Eq. 2)."""
    return (teacher - student).abs().mean()


def mse(teacher: Logits, student: Logits) -> Scalar:
    """Mean squared error of raw logits, over images and classes (DFAD Fig. 4)."""
    return (teacher - student).square().mean()


def mse_mae(teacher: Logits, student: Logits) -> Scalar:
    """MSE + MAE, equally weighted: DFAD Fig. 4 names the sum and no weights."""
    return mse(teacher, student) + mae(teacher, student)


def rows(logits: Logits) -> Float[Tensor, "_ classes"]:
    """The logits of every image, or of every pixel of all images, as rows."""
    return logits.movedim(1, -1).flatten(0, -2)


def kl(teacher: Logits, student: Logits) -> Scalar:
    """KL(p_T ‖ p_S) of the class probabilities, in nats, from logits (MAD Eq. 3).

    Summed over classes and averaged over images, and over pixels if they have logits
    of their own. ABM's public code also divides by the number of classes.
    """
    log_s = F.log_softmax(rows(student), dim=1)
    log_t = F.log_softmax(rows(teacher), dim=1)
    return F.kl_div(log_s, log_t, reduction="batchmean", log_target=True)


def kd(teacher: Logits, student: Logits, temperature: float) -> Scalar:
    """T² KL of probabilities softened by T (Hinton et al. 2015, Section 2)."""
    return temperature**2 * kl(teacher / temperature, student / temperature)


def js(teacher: Logits, student: Logits) -> Scalar:
    """Jensen–Shannon divergence, in nats, at most ln 2 (MAD Section 5.2.3)."""
    log_t, log_s = (F.log_softmax(rows(a), dim=1) for a in (teacher, student))
    log_m = torch.logaddexp(log_t, log_s) - math.log(2)
    to_middle = F.kl_div(log_m, log_t, reduction="batchmean", log_target=True)
    from_student = F.kl_div(log_m, log_s, reduction="batchmean", log_target=True)
    return (to_middle + from_student) / 2


DISCREPANCIES = {"mae": mae, "mse": mse, "kl": kl, "mse_mae": mse_mae}  # DFAD Fig. 4

# --- what a generator asks of the teacher alone -------------------------------------


def one_hot(teacher: Logits) -> Scalar:
    """Cross entropy of logits against their own argmax, −log max p_T.

    DAFL's one-hot term; R_l of AR+VI Eq. 2.
    """
    return F.cross_entropy(teacher, teacher.argmax(dim=1))


def activation(features: Float[Tensor, "n *shape"]) -> Scalar:
    """−‖f_T(x)‖₁, averaged over images. Unbounded below.

    R_m of AR+VI Eq. 3. DAFL's code divides by the number of elements as well: divide
    its weights by that number here.
    """
    return -features.flatten(1).abs().sum(dim=1).mean()


def log_class_share(teacher: Logits) -> Classes:
    """log of the mean class probabilities of a batch; finite where one is 0."""
    teacher = rows(teacher)
    return F.log_softmax(teacher, dim=1).logsumexp(dim=0) - math.log(len(teacher))


def information_entropy(teacher: Logits) -> Scalar:
    """−H of the mean class probabilities, in nats, at least −ln C (DAFL).

    DAFL's code takes logarithms to base 10; its paper divides by the classes.
    """
    log_p = log_class_share(teacher)
    return (log_p.exp() * log_p).sum()


def moment_gaps(teacher: nn.Module, x: Images) -> tuple[Logits, Gaps]:
    """The teacher's logits, and per BatchNorm layer the gaps (mean, variance).

    A gap is the batch's (biased) moment of the layer's inputs minus the stored one.
    A layer is any that keeps running moments; those that this pass does not use, as
    auxiliary heads, are left out.
    """
    gaps: Gaps = []

    def compare(layer: nn.Module, inputs: tuple[Tensor]) -> None:
        x = inputs[0]
        x = x.float() if x.element_size() < 4 else x  # bfloat16's have 3 digits
        axes = [axis for axis in range(x.ndim) if axis != 1]
        var, mean = torch.var_mean(x, dim=axes, correction=0)
        gaps.append((mean - layer.running_mean, var - layer.running_var))

    layers = moment_layers(teacher)
    with contextlib.ExitStack() as hooks:  # one left would keep every later graph alive
        for layer in layers:
            hooks.enter_context(layer.register_forward_pre_hook(compare))
        logits = teacher(x)
    if layers and not gaps and any(m._compiled_call_impl for m in teacher.modules()):
        raise RuntimeError("BNmm: no BatchNorm layer was seen; do not compile")
    return logits, gaps


def moment_layers(network: nn.Module) -> list[nn.Module]:
    """The layers that keep running moments: BatchNorm of any kind, not InstanceNorm."""
    kept = [m for m in network.modules() if getattr(m, "running_var", None) is not None]
    return [m for m in kept if not isinstance(m, nn.modules.instancenorm._InstanceNorm)]


def bn_moments(teacher: nn.Module, x: Images) -> tuple[Logits, Scalar]:
    """The teacher's logits on x, and BNmm (MAD Eq. 9).

    BNmm is the squared distance between the batch's moments and those stored in the
    teacher's BatchNorm layers, summed over layers; 0 for a teacher without any.
    """
    logits, gaps = moment_gaps(teacher, x)
    terms = [gap.square().sum() for layer in gaps for gap in layer]
    return logits, torch.stack(terms).sum() if terms else logits.new_zeros(())


def bn_norms(teacher: nn.Module, x: Images) -> tuple[Logits, Scalar]:
    """The teacher's logits, and Σ_l ‖μ_l(x) − μ_l‖₂ + ‖σ²_l(x) − σ²_l‖₂.

    DeepInversion's feature term. Norms, where MAD Eq. 9 has their squares: the pull
    does not fade near the stored moments. Zero for a teacher without BatchNorm.
    """
    logits, gaps = moment_gaps(teacher, x)
    return logits, sum((g.norm() for gap in gaps for g in gap), logits.new_zeros(()))


def agreed_kl(teacher: Logits, student: Logits) -> Scalar:
    """KL(p_T ‖ p_S) of images that both put into one class, 0 for others; the mean.

    A generator that maximises it finds doubt near the student's decisions, and does not
    leave the class that it was asked for (CMI, Fast, NAYER).
    """
    log_t, log_s = (F.log_softmax(logits, dim=1) for logits in (teacher, student))
    each = F.kl_div(log_s, log_t, reduction="none", log_target=True).sum(1)
    return (each * (teacher.argmax(1) == student.argmax(1))).mean()


# --- features -----------------------------------------------------------------------


def unit(v: Vectors) -> Vectors:
    """v / ‖v‖₂ along the last axis; a zero vector stays zero.

    `F.normalize` multiplies gradients by 10¹² at a zero vector, this function by 1.
    """
    norm = v.norm(dim=-1, keepdim=True)
    return v / norm.masked_fill(norm == 0, 1)


def distance(a: Vectors, b: Vectors) -> Float[Tensor, "*batch"]:
    """‖a − b‖₂ along the last axis, not squared."""
    return (a - b).norm(dim=-1)
