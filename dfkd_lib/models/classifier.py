"""What the classifiers share: features, one linear layer, and a look at the stages."""

from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor, nn

from ..errors import UserError
from .network import Images, Logits, Network, classifier_of

Embedding = Float[Tensor, "batch features"]


class Features(NamedTuple):
    """What one pass through a classifier shows."""

    maps: list[Float[Tensor, "batch _ _ _"]]  # one per stage, the deepest last
    embedding: Embedding  # what the last layer reads
    logits: Logits


class Classifier(Network):
    """Images → ``features`` → an embedding → ``classifier`` → logits.

    ``cuts``: positions in `features`; after each of these layers a stage ends, with its
    last block or activation, before any pooling. Images need ``size``×``size`` pixels
    where that is given, else sides of at least ``smallest``.
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
        self.features, self.classifier = features, classifier
        self.cuts, self.size, self.smallest = cuts, size, smallest

    def forward(self, x: Images) -> Logits:
        return self.embedding_and_logits(x)[1]

    def embedding_and_logits(self, x: Images) -> tuple[Embedding, Logits]:
        """What the last layer reads, and the logits."""
        self._check(x)
        with self.precision(x):
            x = self.features(x)
        return self._classified(x)

    def stages(self, x: Images) -> Features:
        """The maps of every stage, the embedding and the logits, in one pass."""
        self._check(x)
        maps = []
        with self.precision(x):
            for position, layer in enumerate(self.features):
                x = layer(x)
                if position in self.cuts:
                    maps.append(x.to(self.classifier.weight.dtype))
        return Features(maps, *self._classified(x))

    def _classified(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = x.to(self.classifier.weight.dtype)
        with self.precision(x, reduced=False):
            return x, self.classifier(x)

    def _check(self, x: Tensor) -> None:
        # Torch's own errors speak of kernels and matrices, not of images.
        sides, size, smallest = x.shape[-2:], self.size, self.smallest
        if set(sides) != {size} if size else min(sides) < smallest:
            needs = f"{size}×{size}" if size else f"at least {smallest}×{smallest}"
            raise UserError(
                f"images: {sides[0]}×{sides[1]} pixels are not allowed for this "
                f"network, which needs {needs}; resize them"
            )


def he_normal(network: nn.Module) -> None:
    """He et al.'s normal initialisation (2015, fan-out) of all convolutions."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


def embedding_and_logits(network: nn.Module, x: Images) -> tuple[Embedding, Logits]:
    """What any network's last linear layer reads, and its logits, in one pass.

    Raises UserError if it has no linear layer, or its output is not that layer's.
    """
    if isinstance(network, Classifier):
        return network.embedding_and_logits(x)
    layer, seen = classifier_of(network), []
    hook = layer.register_forward_hook(lambda _, i, output: seen.append((i[0], output)))
    try:
        logits = network(x)
    finally:  # a hook left in place would keep every later graph alive
        hook.remove()
    if not seen or seen[-1][1] is not logits:
        raise UserError(
            f"network: the output of {type(network).__name__} is not that of its last "
            f"nn.Linear ({layer}); give a classifier whose logits come straight from it"
        )
    return seen[-1]
