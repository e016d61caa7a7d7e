"""What the classifiers share: features, one linear layer, and a look at the stages."""

from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor, nn

from ..errors import UserError
from .network import Network, classifier_of, has_wide_convolutions


class Features(NamedTuple):
    """What one pass through a classifier shows."""

    maps: list[Float[Tensor, "batch _ _ _"]]  # one per stage, the deepest last
    embedding: Float[Tensor, "batch features"]  # what the classifier reads
    logits: Float[Tensor, "batch classes"]


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
        self.features = features
        self.classifier = classifier
        self.cuts = cuts
        self.size = size
        self.smallest = smallest

    def gains(self) -> bool:
        return has_wide_convolutions(self)

    def forward(
        self, x: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch classes"]:
        """The logits.

        Raises
        ------
        UserError
            if the network cannot read images of this size.
        """
        self._check(x)
        with self.reduced(x):
            x = self.features(x)
        return self._embedding_and_logits(x)[1]

    def stages(self, x: Float[Tensor, "batch channels height width"]) -> Features:
        """Each stage's maps, the embedding and the logits of one pass: `forward`'s."""
        self._check(x)
        maps = []
        with self.reduced(x):
            for position, layer in enumerate(self.features):
                x = layer(x)
                if position in self.cuts:
                    maps.append(x.to(self.classifier.weight.dtype))
        return Features(maps, *self._embedding_and_logits(x))

    def _embedding_and_logits(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = x.to(self.classifier.weight.dtype)
        with self.exact(x):
            return x, self.classifier(x)

    def _check(self, x: Tensor) -> None:
        # Torch's own errors speak of kernels and matrices, not of images.
        height, width = x.shape[-2:]
        if self.size is None:
            needs = f"at least {self.smallest}×{self.smallest}"
            fits = min(height, width) >= self.smallest
        else:
            needs = f"{self.size}×{self.size}"
            fits = height == width == self.size
        if not fits:
            raise UserError(
                f"images: {height}×{width} pixels are not allowed for this network, "
                f"which needs {needs}; resize them"
            )


def he_normal(network: nn.Module) -> None:
    """He et al.'s normal initialisation (2015, fan-out) of all convolutions' weights."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


def embedding_and_logits(
    network: nn.Module, x: Float[Tensor, "batch channels height width"]
) -> tuple[Float[Tensor, "batch features"], Float[Tensor, "batch classes"]]:
    """What any network's last linear layer reads, and its logits, in one pass.

    Raises
    ------
    UserError
        if the network has no linear layer, or its output is not that layer's.
    """
    if isinstance(network, Classifier):
        _, embedding, logits = network.stages(x)
        return embedding, logits
    layer, seen = classifier_of(network), []
    hook = layer.register_forward_hook(
        lambda _, inputs, output: seen.append((inputs[0], output))
    )
    try:
        logits = network(x)
    finally:  # a hook left behind would keep every later graph alive
        hook.remove()
    if not seen or seen[-1][1] is not logits:
        raise UserError(
            f"network: the output of {type(network).__name__} is not that of its last "
            f"nn.Linear ({layer}); give a classifier whose logits come straight from it"
        )
    return seen[-1]
