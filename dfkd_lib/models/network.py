"""What all networks share: precision, a classifier's parts, a generator's, and a place.

Whatever runs in a stage of a method is here or in the network's own definition.
"""

import contextlib
import copy
import math
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import UserError
from ..losses import Images, Logits

Noise = Float[Tensor, "n z"]
Classes = Int[Tensor, " n"]
Embedding = Float[Tensor, "n f *grid"]
Shape = tuple[int, int, int]  # an image's channels, height and width


class Network(nn.Module):
    """A network that computes in `dtype`: float32, or bfloat16 under autocast.

    Weights stay as they are; results have the weights' type.
    """

    dtype: torch.dtype = torch.float32
    least = 16  # channels: narrower convolutions lose more to conversion than they gain

    def precision(self, x: Tensor, reduced: bool = True) -> AbstractContextManager:
        """The context of the layers, or, not `reduced`, of the last one.

        That keeps its digits, all 7: the student has to agree with the teacher.
        """
        if self.dtype == torch.float32:
            return contextlib.nullcontext()
        return torch.autocast(x.device.type, self.dtype, enabled=reduced)

    def gains(self) -> bool:
        """Whether bfloat16 saves time: all convolutions over pixels are wide enough."""
        layers = [m for m in self.modules() if isinstance(m, nn.Conv2d)]
        widths = [m.out_channels for m in layers if max(m.kernel_size) > 1]
        return bool(widths) and min(widths) >= self.least


def classifier_of(network: nn.Module) -> nn.Linear:
    """The linear layer that makes a network's logits: the last one defined."""
    layers = [layer for layer in network.modules() if isinstance(layer, nn.Linear)]
    if not layers:
        line = f"network: {type(network).__name__} has no nn.Linear, so no embedding"
        raise UserError(f"{line}; give a classifier that ends in an nn.Linear")
    return layers[-1]


class Features(NamedTuple):
    """What one pass through a classifier shows."""

    maps: list[Float[Tensor, "n _ _ _"]]  # one per stage, the deepest last
    embedding: Embedding  # what the last layer reads
    logits: Logits


class Classifier(Network):
    """Images → ``features`` → an embedding → ``classifier`` → logits.

    ``cuts``: positions in `features`; after each of these layers a stage ends, with its
    last block or activation, before any pooling. Images need ``size``×``size`` pixels
    where that is given, else sides of at least ``smallest``.
    """

    def __init__(
        self, features: nn.Sequential, classifier: nn.Module, cuts: tuple[int, ...],
        size: int | None = None, smallest: int = 1,
    ):  # fmt: skip
        super().__init__()
        self.features, self.classifier = features, classifier
        self.cuts, self.size, self.smallest = cuts, size, smallest

    def forward(self, x: Images) -> Logits:
        return self.embedding_and_logits(x)[1]

    def embedding_and_logits(self, x: Images) -> tuple[Embedding, Logits]:
        """What the last layer reads, and the logits."""
        self._check(x)
        with self.precision(x):
            h = self.features(x)
        return self._classified(h, x)

    def stages(self, x: Images) -> Features:
        """The maps of every stage, the embedding and the logits, in one pass."""
        self._check(x)
        maps, h = [], x
        with self.precision(x):
            for position, layer in enumerate(self.features):
                h = layer(h)
                if position in self.cuts:
                    maps.append(h.to(self.classifier.weight.dtype))
                    h = maps[-1].to(h.dtype)  # gradients of the logits pass the map
        return Features(maps, *self._classified(h, x))

    def _classified(self, h: Tensor, x: Images) -> tuple[Embedding, Logits]:
        h = h.to(self.classifier.weight.dtype)
        with self.precision(h, reduced=False):
            return h, self.classifier(h)

    def _check(self, x: Tensor) -> None:
        # Torch's own errors speak of kernels and matrices, not of images.
        (h, w), size, least = x.shape[-2:], self.size, self.smallest
        if {h, w} != {size} if size else min(h, w) < least:
            needs = f"{size}×{size}" if size else f"at least {least}×{least}"
            line = f"images: {h}×{w} pixels are not allowed for this network, which"
            raise UserError(f"{line} needs {needs}; resize them")


def he_normal(network: nn.Module) -> None:
    """He et al.'s normal initialisation (2015, fan-out) of all convolutions."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


def embedding_and_logits(network: nn.Module, x: Images) -> tuple[Embedding, Logits]:
    """What a network's last linear layer reads, and its logits; a UserError without."""
    if isinstance(network, Classifier):
        return network.embedding_and_logits(x)
    layer, seen = classifier_of(network), []
    # removed after the block: it would keep every later graph alive
    with layer.register_forward_hook(lambda _, i, output: seen.append((i[0], output))):
        logits = network(x)
    if not seen or seen[-1][1] is not logits:
        line = f"network: the output of {type(network).__name__} is not that of its "
        line += f"last nn.Linear ({layer})"
        raise UserError(f"{line}; give a classifier whose logits come straight from it")
    return seen[-1]


def grid_side(name: str, size: int, doublings: int) -> int:
    """The side of the grid that, doubled so many times, gives `size` pixels."""
    step = 2**doublings
    if size < step or size % step:
        near = max(step, size // step * step)
        line = f"size: {size} is not allowed for {name}, which doubles its grid "
        line += f"{doublings} times: it must divide by {step}"
        raise UserError(f"{line}; give {near} or {near + step}")
    return size // step


class Generator(Network):
    """Noise and classes → images of ``size`` pixels. Some ignore the classes.

    A subclass defines the pixels' `logits`, which MAD Eq. 11 bounds, and `squash`,
    which makes images of them.
    """

    least = 1
    z_dim: int
    size: int

    def forward(self, z: Noise, y: Classes | None = None) -> Images:
        return self.squash(self.logits(z, y))


class Cut(Generator):
    """A generator whose square images are cut to the middle, of sides (h, w)."""

    def __init__(self, inner: Generator, sides: tuple[int, int]):
        super().__init__()
        self.inner, self.sides = inner, sides
        self.z_dim, self.size = inner.z_dim, inner.size

    def logits(self, z: Noise, y: Classes | None = None) -> Images:
        return self.inner.logits(z, y)

    def squash(self, logits: Images) -> Float[Tensor, "n c _ _"]:
        x = self.inner.squash(logits)
        (top, h), (left, w) = (((self.size - n) // 2, n) for n in self.sides)
        return x[..., top : top + h, left : left + w]

    def embedding(self, y: Classes) -> Tensor:
        return self.inner.embedding(y)


class GridGenerator(Generator):
    """Noise → a linear layer → a grid of maps → ``layers``; the last ones squash."""

    squashing = 2  # layers: Tanh and BatchNorm

    def __init__(self, name: str, z_dim: int, channels: int, size: int, doublings: int):
        super().__init__()
        side = grid_side(name, size, doublings)
        self.z_dim, self.size, self.grid = z_dim, size, (channels, side, side)
        self.project = nn.Linear(z_dim, math.prod(self.grid))

    def logits(self, z: Noise, y: Classes | None = None) -> Images:
        with self.precision(z):
            x = self.project(z).unflatten(1, self.grid)
            for layer in list(self.layers)[: -self.squashing]:
                x = layer(x)
        return x.to(self.project.weight.dtype)

    def squash(self, logits: Images) -> Images:
        for layer in list(self.layers)[-self.squashing :]:
            logits = layer(logits)
        return logits


# Along one axis an even output pixel reads x[i − 1], x[i] with (w₀, w₁ + w₂), an odd
# one x[i], x[i + 1] with (w₀ + w₁, w₂): rows w₀, w₁, w₂, columns these four sums.
_SUMS = torch.tensor([[1.0, 0, 1, 0], [0, 1, 1, 0], [0, 1, 0, 1]])


class Phased:
    """A layer with a faster form on CPUs, of the same result up to rounding."""

    phases = True


@contextlib.contextmanager
def as_named() -> Iterator[None]:
    """Layers compute as they are named: so operations are counted, as on a GPU."""
    before, Phased.phases = Phased.phases, False
    try:
        yield
    finally:
        Phased.phases = before


class UpsampledConv2d(Phased, nn.Conv2d):
    """``nn.Upsample(scale_factor=2)``, then ``nn.Conv2d(c_in, c_out, 3, 1, 1)``.

    On a CPU as one convolution with four 2×2 kernels on the small grid, one for each
    pixel of a 2×2 square: 16 multiply-adds instead of 36, the same result up to
    rounding (benchmarks/NOTES.md). ``phases=False`` turns this off.
    """

    def __init__(self, c_in: int, c_out: int):
        super().__init__(c_in, c_out, 3, 1, 1)

    def forward(self, x: Images) -> Float[Tensor, "n c_out 2*h 2*w"]:
        if x.device.type != "cpu" or not self.phases:
            return super().forward(F.interpolate(x, scale_factor=2.0))
        h, w = x.shape[2:]
        y = F.conv2d(x, self.kernels(), self.bias.repeat(4), padding=1)
        groups = y.permute(0, 2, 3, 1).chunk(4, 3)  # channels last: quick to copy
        pairs = zip(groups, ((0, 0), (0, 1), (1, 0), (1, 1)), strict=True)
        shifted = [group[:, a : a + h, b : b + w] for group, (a, b) in pairs]
        y = torch.stack(shifted, 3).unflatten(3, (2, 2))  # (batch, h, w, a, b, c_out)
        return y.transpose(2, 3).flatten(3, 4).flatten(1, 2).permute(0, 3, 1, 2)

    def kernels(self) -> Float[Tensor, "kernels c_in 2 2"]:
        """The kernels of a square's pixels, row by row."""
        sums = torch.kron(_SUMS, _SUMS).to(self.weight)
        with torch.autocast(self.weight.device.type, enabled=False):
            kernels = (self.weight.flatten(2) @ sums).unflatten(2, (2, 2, 2, 2))
        kernels = kernels.permute(2, 4, 0, 1, 3, 5).flatten(0, 2)
        return kernels.contiguous(memory_format=torch.channels_last)


class Foreign(Network):
    """A network that is not the library's, in `dtype`, with logits in full precision.

    `look` finds its head, the nn.Linear whose output is the logits: that runs outside
    of autocast, by its own forward. A network without one stays in float32. Images
    become contiguous if it answers otherwise to channels-last. The state dict is the
    inner network's, which itself is not changed.
    """

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network, self.training = network, network.training
        self.reads_channels_last, self.head = True, None

    def gains(self) -> bool:
        return super().gains() and self.head is not None

    def look(self, device: torch.device | str, shape: Shape) -> None:
        """Try a copy on two images: which layer is the head, which order it reads."""
        trial, seen = copy.deepcopy(self.network).eval(), []
        for name, layer in trial.named_modules():
            if isinstance(layer, nn.Linear):
                layer.register_forward_hook(lambda *a, n=name: seen.append((n, a[-1])))
        x = trial_images(2, shape).to(device)
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            logits = trial(x)
            self.head = next((name for name, y in seen if y is logits), None)
            try:
                other = channels_last(trial)(x.to(memory_format=torch.channels_last))
                far = (other - logits).abs().max()
                self.reads_channels_last = bool(far <= 1e-3 * logits.abs().max())
            except Exception:  # as of x.view(len(x), -1)
                self.reads_channels_last = False

    def state_dict(self, *args, **kwargs):
        return self.network.state_dict(*args, **kwargs)

    def load_state_dict(self, *args, **kwargs):
        return self.network.load_state_dict(*args, **kwargs)

    def forward(self, x: Images) -> Logits:
        x = x if self.reads_channels_last else x.contiguous()
        if self.dtype == torch.float32:
            return self.network(x)
        layer = self.network.get_submodule(self.head)
        exact = self.precision(x, reduced=False)

        def enter(_, inputs):
            exact.__enter__()
            return tuple(each.to(layer.weight.dtype) for each in inputs)

        def leave(*_):
            exact.__exit__(None, None, None)

        with (
            layer.register_forward_pre_hook(enter),  # removed after the block
            layer.register_forward_hook(leave, always_call=True),
            self.precision(x),
        ):
            return self.network(x).to(layer.weight.dtype)


def trial_images(n: int, shape: Shape) -> Images:
    """A grey image, then noise, normalised: the same for all trials."""
    random = torch.Generator("cpu").manual_seed(0)
    x = torch.randn(n, *shape, generator=random, dtype=torch.float32, device="cpu")
    x[0] = 0
    return x


def place(
    network: nn.Module, device: torch.device | str, dtype: torch.dtype, shape: Shape
) -> nn.Module:
    """Move a network to `device`, channels-last, to compute in `dtype` if it gains.

    A module that is neither a `Network` nor wrapped in `Foreign` is moved, nothing
    else. `shape` is that of its images.
    """
    network.to(device)
    if isinstance(network, Foreign):
        network.look(device, shape)
    if isinstance(network, Network) and getattr(network, "reads_channels_last", True):
        channels_last(network)
    for module in network.modules():
        if isinstance(module, Network) and module.gains():
            module.dtype = dtype
    return network


def channels_last(network: nn.Module) -> nn.Module:
    """The network, its 4-D tensors channels-last; torch's own refuses those of 5-D."""
    for tensor in (*network.parameters(), *network.buffers()):
        if tensor.ndim == 4:
            tensor.data = tensor.data.contiguous(memory_format=torch.channels_last)
    return network
