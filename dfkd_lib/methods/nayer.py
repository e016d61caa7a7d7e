"""NAYER (Tran et al. 2024): the noise is a layer, drawn again for each batch.

The generator reads the text of a class, its vector, through a linear layer whose
weights are random and learn for one batch only. Images are kept in a bank.

Deviations from the public code: class names are GloVe's word vectors (Pennington et
al. 2014), 100 numbers instead of CLIP's 512; they are normalised over the classes once,
without BatchNorm's scale and shift; no moving average of the batch's BatchNorm moments;
the last images of a batch are kept, not those of the lowest loss; the generator's life
counts batches in the warm-up, stages later; the student draws from the bank with
replacement, and its schedule is this book's.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from ..data import word_vectors
from ..losses import Images, Labels, agreed_kl, bn_norms, kd
from . import setting
from .state import Choices, Losses, Memory, State, Task, frozen


@dataclass(frozen=True)
class NAYER:
    """KL on a bank of images, made from the classes' text through a layer of noise."""

    choices: ClassVar = Choices(
        "KL", "one-hot of a class, BatchNorm, agreed KL", "a bank", "a class's text",
        "all images",
    )  # fmt: skip
    data: ClassVar = None

    labels: Literal["text", "random"] = "text"  # the vectors of classes
    lambda_bn: setting.Weight = 10.0  # the weights are the code's
    lambda_onehot: setting.Weight = 0.5
    lambda_adv: setting.Weight = 1.33
    inversion_steps: setting.Count = 5  # of one batch of images; 30 or 40 in the code
    inversion_lr: setting.Weight = 4e-3  # of its Adam
    generator_steps: setting.Count = 1  # batches of images a stage
    generator_life: setting.Count = 10  # stages, then the generator begins again
    warmup: setting.CountFrom0 = 16  # batches before the student begins to compete
    memory: setting.Size = 8192  # images kept
    shift: setting.CountFrom0 = 2  # pixels by which an image moves when it is seen
    flips: bool = False
    temperature: setting.Temperature = 1.0
    batch: setting.Size = 128  # images that are found at once
    generator: setting.Generator = "generator_a"
    generator_width: setting.Size = 8
    z_dim: setting.Size = 100  # what the layer of noise gives the generator
    generator_beta1: setting.BelowOne = 0.5
    student_steps: setting.Count = 40
    student_batch: setting.Size = 128
    student_optimizer: setting.Optimizer = "sgd"
    student_lr: setting.Weight = 0.1
    student_momentum: setting.Fraction = 0.9
    student_weight_decay: setting.Weight = 5e-4
    schedule: setting.Schedule = "cosine"
    milestones: tuple[float, ...] = (1 / 3, 2 / 3)  # of "step", as fractions
    stages: setting.Count = 40
    stages_per_epoch: setting.Count = 4  # how often the student is tested

    __post_init__ = setting.check

    def start(self, teacher: nn.Module, student: nn.Module, task: Task, seed: int):
        """Networks, optimiser, the classes' vectors and the bank of a run."""
        s = State(teacher, student, task, seed)
        s.make_generator(self)
        s.optimize_student(self)
        s.memory = Memory(self.memory, task.shape, task.device)
        if self.labels == "text":
            text = torch.tensor(word_vectors(task.names, task.num_classes))
            text = text.to(task.device)
        else:
            size = task.num_classes, 100
            text = torch.randn(size, generator=s.random, device=task.device)
        s.text = (text - text.mean(0)) / text.std(0, correction=0)
        return s

    def stage(self, s: State) -> Losses:
        """Find images, keep them, and let the student learn from those kept."""
        losses = Losses()
        for batch in range(self.warmup * (s.stage == 1)):
            if batch % self.generator_life == 0:
                s.reinitialise(s.generator, -batch)
            self.find(s, competing=False)
        if (s.stage - 1) % self.generator_life == 0:
            s.reinitialise(s.generator, s.stage)
        for _ in range(self.generator_steps):
            losses.add("generator", self.find(s))
        s.watched()

        for _ in range(self.student_steps):
            x = s.memory.draw(self.student_batch, s.random)
            x = s.view(x, self.shift, self.flips)
            terms = {"KL": kd(s.teacher(x), s.student(x), self.temperature)}
            loss = losses.add("student", terms)
            s.student_optimizer.zero_grad()
            loss.backward()
            s.student_optimizer.step()
            s.samples += len(x)
        return losses

    def find(self, s: State, competing: bool = True) -> dict[str, Tensor]:
        """Steps of the generator and of fresh layers of noise; keep the images.

        Each layer reads every class once. Returns the terms of the last step.
        """
        classes, width = s.text.shape
        layers = -(-self.batch // classes)
        given = {"generator": s.random, "device": s.task.device}
        noise = torch.randn(layers, width, self.z_dim, **given).requires_grad_()
        bias = torch.zeros(layers, 1, self.z_dim, device=s.task.device).requires_grad_()
        y = torch.rand(layers, classes, **given).argsort(1)  # each class, in any order
        weights = [*s.generator.parameters(), noise, bias]
        betas = self.generator_beta1, 0.999
        optimizer = torch.optim.Adam(weights, self.inversion_lr, betas, fused=True)
        s.student.eval()  # its BatchNorm statistics are not the images' business
        with frozen(s.student):
            for _ in range(self.inversion_steps):
                x = s.generator(noisy(s.text[y], noise, bias)[: self.batch])
                terms = self.image_loss(s, x, y.flatten()[: self.batch], competing)
                optimizer.zero_grad()
                sum(terms.values()).backward()
                optimizer.step()
        s.student.train()
        s.memory.add(x.detach(), s.random)
        return terms

    def image_loss(
        self, s: State, x: Images, y: Labels, competing: bool
    ) -> dict[str, Tensor]:
        """BatchNorm moments, the class that was asked for, the student's errors."""
        x = s.view(x, self.shift, self.flips)
        logits, bn = bn_norms(s.teacher, x)
        terms = {
            "BatchNorm": self.lambda_bn * bn,
            "one-hot": self.lambda_onehot * F.cross_entropy(logits, y),
        }
        if self.lambda_adv and competing:
            terms["-agreed KL"] = -self.lambda_adv * agreed_kl(logits, s.student(x))
        return terms


def noisy(
    text: Float[Tensor, "layers classes width"],
    weights: Float[Tensor, "layers width z"],
    bias: Float[Tensor, "layers 1 z"],
) -> Float[Tensor, "_ z"]:
    """What the generator reads: every layer's own linear map of the classes' text."""
    return torch.baddbmm(bias, text, weights).flatten(0, 1)
