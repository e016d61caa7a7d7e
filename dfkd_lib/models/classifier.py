"""What the classifiers share: features, one linear layer behind them, and a look at the stages between."""

from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor, nn

from ..errors import UserError


class Features(NamedTuple):
    """What one pass through a classifier shows."""

    maps: list[Float[Tensor, "batch _ _ _"]]  # one per stage, the deepest last
    embedding: Float[Tensor, "batch features"]  # what the classifier reads
    logits: Float[Tensor, "batch classes"]


class Classifier(nn.Module):
    """Images → ``features`` → an embedding of (batch, features) → ``classifier`` → logits.

    ``cuts`` are positions in `features`: behind each of these layers a stage ends, and its maps are shown by `stages`.
    A stage ends with its last block or activation, before whatever pools it; where a network pools its last maps over
    the whole image, their mean over pixels is the embedding. Images must have ``size``×``size`` pixels where that is
    given, else sides of at least ``smallest``.
    """

    def __init__(
        self,
        features: nn.Sequential,
        classifier: nn.Linear,
        cuts: tuple[int, ...],
        size: int | None = None,
        smallest: int = 1,
    ):
        super().__init__()
        self.features = features
        self.classifier = classifier
        self.cuts = cuts
        self.size = size
        self.smallest = smallest

    def forward(self, x: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch classes"]:
        """The logits.

        Raises
        ------
        UserError
            if the images are of a size that the network cannot read.
        """
        self._check(x)
        return self.classifier(self.features(x))

    def stages(self, x: Float[Tensor, "batch channels height width"]) -> Features:
        """The maps of every stage, the embedding and the logits, in one pass. The logits are `forward`'s, bit for bit.

        Raises
        ------
        UserError
            if the images are of a size that the network cannot read.
        """
        self._check(x)
        maps = []
        for position, layer in enumerate(self.features):
            x = layer(x)
            if position in self.cuts:
                maps.append(x)
        return Features(maps, x, self.classifier(x))

    def _check(self, x: Tensor) -> None:
        """Torch's own errors speak of kernels and matrices, not of images."""
        height, width = x.shape[-2:]
        fits = min(height, width) >= self.smallest if self.size is None else height == width == self.size
        if not fits:
            needs = f"at least {self.smallest}×{self.smallest}" if self.size is None else f"{self.size}×{self.size}"
            raise UserError(
                f"images: {height}×{width} pixels are not allowed for this network, which needs {needs}; resize them"
            )


def he_normal(network: nn.Module) -> None:
    """He et al.'s normal initialisation (2015; fan-out, for ReLU) of every convolution's weights, in place."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


def classifier_of(network: nn.Module) -> nn.Linear:
    """The linear layer that makes a network's logits: the last one in the order of definition.

    Raises
    ------
    UserError
        if there is none.
    """
    layers = [module for module in network.modules() if isinstance(module, nn.Linear)]
    if not layers:
        raise UserError(
            f"network: {type(network).__name__} has no nn.Linear, so no embedding in front of one; "
            "give a classifier that ends in an nn.Linear"
        )
    return layers[-1]


def embedding_and_logits(
    network: nn.Module, x: Float[Tensor, "batch channels height width"]
) -> tuple[Float[Tensor, "batch features"], Float[Tensor, "batch classes"]]:
    """What a network's last linear layer reads, and the logits it makes, in one pass. For any network.

    One that is no `Classifier` (torchvision's, timm's, the reader's own) is listened to by a hook, gone on return.

    Raises
    ------
    UserError
        if the network has no linear layer, or its output is not that layer's.
    """
    if isinstance(network, Classifier):
        _, embedding, logits = network.stages(x)
        return embedding, logits
    layer, seen = classifier_of(network), []
    handle = layer.register_forward_hook(lambda _, inputs, output: seen.append((inputs[0], output)))
    try:
        logits = network(x)
    finally:  # a hook left behind would hold every later graph alive
        handle.remove()
    if not seen or seen[-1][1] is not logits:
        raise UserError(
            f"network: the output of {type(network).__name__} is not that of its last nn.Linear ({layer}); "
            "give a classifier whose logits come straight from it"
        )
    return seen[-1]
