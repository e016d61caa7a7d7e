"""What the tests of the losses share: random inputs, plain NumPy, and gradients against central differences."""

import numpy as np
import torch
from hypothesis import settings
from hypothesis import strategies as st
from torch import nn

few = settings(max_examples=8)  # finite differences are slow


@st.composite
def arrays(draw, *shapes: str, **least: int):
    """Normal arrays, float64, of shapes like "batch classes": a size per name, from 1 or `least` to 6, of maps to 3.

    One scale for all, from 0.1 to 10: probabilities nearly uniform, or nearly one-hot.
    """
    names = dict.fromkeys(" ".join(shapes).split())
    most = 3 if max(len(shape.split()) for shape in shapes) > 2 else 6
    sizes = {name: draw(st.integers(least.get(name, 1), most)) for name in names}
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    scale = draw(st.sampled_from([0.1, 1.0, 10.0]))
    return [scale * random.normal(size=[sizes[name] for name in shape.split()]) for shape in shapes]


def logits(least_classes: int = 2):
    """Logits of two networks on the same images."""
    return arrays("batch classes", "batch classes", classes=least_classes)


def labels(logits: np.ndarray) -> np.ndarray:
    """A class for each image, unrelated to its logits."""
    return (1000 * np.abs(logits).sum(1)).astype(int) % logits.shape[1]


def tensors(*arrays: np.ndarray) -> list[torch.Tensor]:
    return [torch.from_numpy(np.asarray(a)) for a in arrays]


def probabilities(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def kl_of_probabilities(p: np.ndarray, q: np.ndarray) -> float:
    return (p * (np.log(p) - np.log(q))).sum(1).mean()


def cross_entropy(x: np.ndarray, y: np.ndarray) -> float:
    return -np.log(probabilities(x)[np.arange(len(y)), y]).mean()


def norms(x: np.ndarray) -> np.ndarray:
    """‖·‖₂ of each image."""
    return np.sqrt((x.reshape(len(x), -1) ** 2).sum(1))


def check_gradient(loss, *inputs: np.ndarray) -> None:
    """By every input: equal to central differences in float64, and not zero. Inputs must stay off the kinks."""
    points = [x.requires_grad_() for x in tensors(*(np.array(x) for x in inputs))]
    assert torch.autograd.gradcheck(loss, points, atol=1e-6, rtol=1e-4)
    for gradient in torch.autograd.grad(loss(*points), points):
        assert gradient.abs().max() > 0


def finite(loss, *inputs: torch.Tensor) -> bool:
    """Whether the loss and its gradient by every input are finite numbers."""
    points = [x.clone().requires_grad_() for x in inputs]
    value = loss(*points)
    return all(bool(x.isfinite().all()) for x in (value, *torch.autograd.grad(value, points)))


def huge(batch: int = 3, classes: int = 4) -> list[torch.Tensor]:
    """Logits of two networks in float32, sure of themselves and of opposite opinion."""
    x = 1e4 * torch.eye(batch, classes)
    return [x, -x]


def hooks(network: nn.Module) -> list:
    return [hook for m in network.modules() for hook in (*m._forward_hooks.values(), *m._forward_pre_hooks.values())]
