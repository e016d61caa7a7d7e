"""Two small things that several feature losses share."""

from jaxtyping import Float
from torch import Tensor


def unit(v: Float[Tensor, "*batch width"]) -> Float[Tensor, "*batch width"]:
    """v / ‖v‖₂ along the last axis; a zero vector stays zero.

    Not F.normalize: at a zero vector that passes gradients on times 10¹², here times one.
    """
    norm = v.norm(dim=-1, keepdim=True)
    return v / norm.masked_fill(norm == 0, 1)


def distance(a: Float[Tensor, "*batch width"], b: Float[Tensor, "*batch width"]) -> Float[Tensor, "*batch"]:
    """‖a − b‖₂ along the last axis, not squared: a gradient of unit length however close the two, zero at equality."""
    return (a - b).norm(dim=-1)
