"""How good a student is: accuracy on the test split, and how closely it follows its teacher."""

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from .data import Dataset
from .images import Images
from .losses import mad


@dataclass(frozen=True)
class Scores:
    """Accuracy and agreement in percent; KL(p_T ‖ p_S) in nats, averaged over test images."""

    accuracy: float | None  # None without labels
    agreement: float
    kl: float


@runtime_checkable
class Scorer(Protocol):
    """What a student is tested on along a run: a `TestSet` or, where there is none, `fresh.FreshImages`."""

    def scores(self, method: Any) -> Scores:
        """How good a method's student is. The method stays as it is."""


@dataclass(frozen=True)
class TestSet:
    """Test images and labels on the device, with the teacher's logits, computed once.

    A data set's images stay whole numbers until a batch is used: ImageNet's would fill 30 GB as floats.
    """

    x: Float[Tensor, "test channels height width"] | Images
    y: Int[Tensor, " test"]
    teacher_logits: Float[Tensor, "test classes"]

    __test__ = False  # pytest would take the name for its own

    @classmethod
    def of(cls, dataset: Dataset, teacher: nn.Module, device: str) -> "TestSet":
        images = Images.of(dataset, device, "test")
        return cls(images, images.y, logits_of(teacher, images))

    def scores(self, method: Any) -> Scores:
        """A method's student on these images."""
        return evaluate(method.student, self)


@torch.no_grad()
def logits_of(
    network: nn.Module, x: Float[Tensor, "images channels height width"] | Images, batch: int = 512
) -> Float[Tensor, "images classes"]:
    """A network's logits in evaluation mode; its mode is restored afterwards."""
    training = network.training
    network.eval()
    try:
        if isinstance(x, Images):
            parts = (x.batch(index) for index in torch.arange(len(x), device=x.y.device).split(batch))
        else:
            parts = x.split(batch)
        return torch.cat([network(part).clone() for part in parts])  # a CUDA graph writes over its last output
    finally:
        network.train(training)


def accuracy(logits: Float[Tensor, "test classes"], y: Int[Tensor, " test"]) -> float:
    """Percent of images whose largest logit is their label's."""
    return 100 * (logits.argmax(1) == y).double().mean().item()


def evaluate(student: nn.Module, test: TestSet) -> Scores:
    """The student on the test split, in evaluation mode."""
    logits = logits_of(student, test.x)
    return Scores(
        accuracy(logits, test.y),
        accuracy(logits, test.teacher_logits.argmax(1)),
        mad.kl(test.teacher_logits, logits).item(),
    )
