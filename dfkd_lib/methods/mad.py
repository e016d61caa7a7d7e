"""Momentum Adversarial Distillation (Do et al. 2022), and its two baselines.

The student also learns from the images of an exponential moving average of the
generator, so that it does not forget what the generator no longer shows.

Where the equations are: Eq. 1 (ABM) and 4 and Eq. 5 in `MAD.stage`, Eq. 2, 6 and 11 in
`MAD.generator_loss`, Eq. 3 `kl`, Eq. 7 `nll`, Eq. 8 `embedding_norm`, Eq. 9
`bn_moments`, Eq. 10 and 11 `logit_bound`.

No public code. The headings of the paper's tables of settings are lost, and the weights
of BNmm, NLL, norm and logit bounds with them: those are ours.
"""

import copy
import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import UserError
from ..losses import Labels, Logits, Scalar, bn_moments, kl, moment_layers
from . import setting
from .state import Choices, Losses, Memory, State, Task, frozen


@dataclass(frozen=True)
class MAD:
    """KL on images of G and of EMA(G), minimised by S; G maximises it on its own."""

    choices: ClassVar = Choices(
        "KL", "BNmm; NLL and norm where G is given a class", "G and EMA(G)", "z + e_y"
    )
    data: ClassVar = None

    second: str = setting.fixed("EMA(G)")  # what the student sees besides G
    momentum: setting.Fraction = 0.95  # α, MAD Eq. 5
    ema_statistics: Literal["averaged", "batch", "reestimated"] = "batch"  # see EMA
    memory: setting.Size = setting.fixed(8192)
    lambda0: setting.Weight = 1.0  # of G's images, MAD Eq. 4
    lambda1: setting.Weight = 1.0  # of the images of EMA(G), or of the memory
    lambda_bn: setting.Weight = 1.0  # BNmm, MAD Eq. 9
    conditional: bool = False  # G is given a class, MAD Section 3.2
    conditioning: Literal["cat", "sum"] = "sum"  # [z, e_y] or z + e_y, Appendix B.3
    lambda_nll: setting.Weight = 1.0  # MAD Eq. 7
    lambda_norm: setting.Weight = 1.0  # MAD Eq. 8
    norm_scale: setting.Weight = 1.1  # γ, MAD Eq. 8
    lambda_logit: setting.Weight = 0.0  # of the logit bounds, MAD Eq. 10 and 11
    logit_bound: setting.Weight = 20.0  # δ
    pretrain_steps: setting.CountFrom0 = 0  # of G without the discrepancy, Section 5.1
    generator_steps: setting.Count = 1  # n_G
    student_steps: setting.Count = 5  # n_S
    reuse: setting.Count = 1  # how often each image of a stage is used, Section 6
    batch: setting.Size = 128  # images per generator step
    student_batch: setting.Size = 128  # per student step and source
    generator: setting.Generator = "generator_a"
    generator_width: setting.Size = 8
    z_dim: setting.Size = 100
    generator_lr: setting.Weight = 1e-3  # Adam
    generator_beta1: setting.BelowOne = 0.9
    generator_weight_decay: setting.Weight = 0.0
    student_optimizer: setting.Optimizer = "sgd"
    student_lr: setting.Weight = 0.03
    student_momentum: setting.Fraction = 0.9
    student_weight_decay: setting.Weight = 5e-4
    schedule: setting.Schedule = "cosine"  # of both learning rates
    milestones: tuple[float, ...] = (1 / 3, 2 / 3)  # of "step", as fractions
    stages: setting.Count = 160
    stages_per_epoch: setting.Count = 10  # how often the student is tested

    def __post_init__(self) -> None:
        setting.check(self)
        if self.student_steps % self.reuse:
            line = f"reuse: {self.reuse} is not allowed with {self.student_steps} "
            raise UserError(f"{line}student steps a stage; give a divisor of it")

    def start(self, teacher: nn.Module, student: nn.Module, task: Task, seed: int):
        """Networks, optimisers and noise of a run."""
        s = State(teacher, student, task, seed)
        if self.pretrain_steps and not (self.conditional or moment_layers(teacher)):
            line = "pretrain_steps: without discrepancy, BatchNorm or classes there is"
            raise UserError(f"{line} no loss; set it to 0")
        s.make_generator(self, self.conditioning if self.conditional else "none")
        if self.second == "EMA(G)":
            s.ema = EMA(s.generator, self.momentum, self.ema_statistics)
        if self.second == "the memory":
            s.memory = Memory(self.memory, task.shape, task.device)
        s.optimize_student(self)
        s.optimize_generator(self)
        return s

    def stage(self, s: State) -> Losses:
        """One stage: n_G steps of G, one of EMA(G), n_S of the student."""
        losses = Losses()
        if s.stage == 1 and self.pretrain_steps:  # MAD Section 5.1, for large data
            self.pretrain(s)

        for _ in range(self.generator_steps):
            with frozen(s.student):
                loss = losses.add("generator", self.generator_loss(s))  # Eq. 2 or 6
                s.generator_optimizer.zero_grad()
                loss.backward()
            s.generator_optimizer.step()

        if self.second == "EMA(G)":
            s.ema.update(s.generator)  # Eq. 5
            if self.ema_statistics == "reestimated":
                s.ema.reestimate(*s.noise(self.batch))
        if self.second == "the memory":
            s.memory.add(s.draw(s.generator, self.batch), s.random)
        s.watched()

        fresh = self.student_steps // self.reuse
        kept = [self.images(s) for _ in range(fresh)] if self.reuse > 1 else []
        for step in range(self.student_steps):
            terms = {}
            sources = kept[step % fresh] if kept else self.images(s)
            for source, (weight, x, answers) in sources.items():  # Eq. 4
                logits = s.student(x)  # one pass a source: BatchNorm sees each alone
                terms[f"KL on {source}"] = weight * kl(answers, logits)  # Eq. 3
                if self.lambda_logit:
                    bound = logit_bound(logits, self.logit_bound)  # Eq. 10
                    terms[f"bound on {source}"] = self.lambda_logit * bound
                s.samples += len(x)
            loss = losses.add("student", terms)
            s.student_optimizer.zero_grad()
            loss.backward()
            s.student_optimizer.step()
        return losses

    def generator_loss(self, s: State, adversarial: bool = True) -> dict[str, Tensor]:
        """−KL and BNmm (Eq. 2 and 9), for given classes Eq. 6, bounds of Eq. 11."""
        z, y = s.noise(self.batch)
        before = s.generator.logits(z, y)
        x = s.generator.squash(before)
        answers, bn = bn_moments(s.teacher, x)
        terms = {}
        if adversarial:
            logits = s.student(x)
            terms["-KL"] = -kl(answers, logits)  # Eq. 2
        terms["BNmm"] = self.lambda_bn * bn  # Eq. 9
        if self.conditional:  # Eq. 6
            terms["NLL"] = self.lambda_nll * nll(answers, y)
            norm = embedding_norm(s.generator.embedding(y), self.norm_scale)
            terms["norm"] = self.lambda_norm * norm
        if self.lambda_logit:  # Eq. 11
            bound = logit_bound(before, self.logit_bound)
            terms["bound on G's logits"] = self.lambda_logit * bound
            if adversarial:
                bound = logit_bound(logits, self.logit_bound)
                terms["bound on S's logits"] = self.lambda_logit * bound
        return terms

    def images(self, s: State) -> dict[str, tuple[float, Tensor, Tensor]]:
        """By source: the weight of Eq. 4, a batch of images, the teacher's answers."""
        n = self.student_batch
        drawn = {"G": (self.lambda0, s.draw(s.generator, n))}
        if self.second == "EMA(G)":
            drawn["EMA(G)"] = self.lambda1, s.draw(s.ema.network, n)
        if self.second == "the memory":
            drawn["the memory"] = self.lambda1, s.memory.draw(n, s.random)
        return {name: (w, x, s.teacher(x).clone()) for name, (w, x) in drawn.items()}

    def pretrain(self, s: State) -> None:
        """Steps of G without the discrepancy; EMA(G) starts at the result (ours)."""
        for _ in range(self.pretrain_steps):
            s.generator_optimizer.zero_grad()
            sum(self.generator_loss(s, adversarial=False).values()).backward()
            s.generator_optimizer.step()
        if self.second == "EMA(G)":
            s.ema.network.load_state_dict(s.generator.state_dict())


@dataclass(frozen=True)
class ABM(MAD):
    """Adversarial Belief Matching (Micaelli and Storkey 2019) as MAD runs it.

    MAD at "exactly the same settings" with λ1 = 0. ABM's own code divides KL by the
    classes, takes its student steps on one batch, and adds attention transfer.
    """

    choices: ClassVar = MAD.choices._replace(samples_from="G")

    second: str = setting.fixed("nothing")
    momentum: float = setting.fixed(0.0)
    ema_statistics: str = setting.fixed("batch")
    lambda1: float = setting.fixed(0.0)


@dataclass(frozen=True)
class DFKDMem(MAD):
    """DFKD-Mem (Binci et al. 2022) as MAD runs it: a memory in place of EMA(G).

    A stage adds one batch to the memory; when it is full, the batch replaces images
    at random (ours: MAD does not say).
    """

    choices: ClassVar = MAD.choices._replace(
        samples_from="G and a memory of its images", keeps="a memory"
    )

    second: str = setting.fixed("the memory")
    momentum: float = setting.fixed(0.0)
    ema_statistics: str = setting.fixed("batch")
    memory: setting.Size = 8192  # MAD Section 5.2.2


def nll(teacher: Logits, y: Labels) -> Scalar:
    """−log p_T(y | x): the teacher should see the class G was given (MAD Eq. 7)."""
    return F.cross_entropy(teacher, y)


def embedding_norm(e: Float[Tensor, "n z"], gamma: float) -> Scalar:
    """max(‖e_y‖ − γ√d, 0): e_y stays in a ball of radius γ√d (MAD Eq. 8)."""
    return F.relu(e.norm(dim=1) - gamma * math.sqrt(e.shape[1])).mean()


def logit_bound(logits: Float[Tensor, "n *shape"], delta: float) -> Scalar:
    """`max(|logit| − δ, 0)`, averaged over all logits (MAD Eq. 10 and 11, inferred).

    For the student's logits, and for the generator's images before their squashing.
    """
    return F.relu(logits.abs() - delta).mean()


class EMA(nn.Module):
    """An exponential moving average of a network's weights (MAD Eq. 5).

    θ̃ ← α θ̃ + (1 − α) θ, from θ̃_0 = θ_0. MAD is silent about BatchNorm's running
    statistics, which are no weights. `statistics` says what the copy normalises with:
    ``batch``, the batch's own moments, as the generator does in training; ``averaged``,
    running statistics averaged like weights; ``reestimated``, those measured on the
    averaged network itself.
    """

    def __init__(self, network: nn.Module, momentum: float, statistics: str = "batch"):
        super().__init__()
        self.momentum, self.statistics = momentum, statistics
        self.network = copy.deepcopy(network).requires_grad_(False)
        self.network.train(statistics == "batch")

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """One step of the average, towards `network`."""
        ours, theirs = list(self.network.parameters()), list(network.parameters())
        torch._foreach_lerp_(ours, theirs, 1 - self.momentum)
        if self.statistics == "averaged":
            pairs = zip(self.network.buffers(), network.buffers(), strict=True)
            for mine, other in pairs:
                if mine.is_floating_point():  # not the counter of batches
                    mine.lerp_(other, 1 - self.momentum)

    @torch.no_grad()
    def reestimate(self, *inputs: Tensor) -> None:
        """Replace the BatchNorm statistics by those of one batch of inputs."""
        layers = [m for m in self.network.modules() if isinstance(m, nn.BatchNorm2d)]
        usual = [layer.momentum for layer in layers]
        for layer in layers:
            layer.reset_running_stats()
            layer.momentum = None  # a plain mean over batches
        self.network.train()(*inputs)
        self.network.eval()
        for layer, momentum in zip(layers, usual, strict=True):
            layer.momentum = momentum
