"""Where a run breaks down: which term of which loss, or which part of the state, is the first that is not finite; and
which part is no longer the same on all ranks.
"""

import hashlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from . import ranks
from .errors import UserError
from .methods.method import Method, Terms


class Watch:
    """Remembers, on the device, at which update each term of a loss was first not finite; read once per epoch."""

    NEVER = 2**62

    def __init__(self, device: torch.device):
        self.device, self.first = device, {}

    def see(self, update: int, player: str, terms: Terms) -> None:
        for name, value in terms.items():
            if (player, name) not in self.first:
                self.first[player, name] = torch.full((), self.NEVER, device=self.device)
            first = self.first[player, name]
            first.masked_fill_(~torch.isfinite(value) & (first == self.NEVER), update)

    def broken(self) -> tuple[int, str, str] | None:
        """The first such update on any rank, whose loss, and which term; of several terms the first that the method
        names.
        """
        mine = [(int(first), player, name) for (player, name), first in self.first.items()]
        found = [told for one in ranks.gather(mine) for told in one]
        worst = min(found, key=lambda f: f[0], default=(self.NEVER, "", ""))
        return worst if worst[0] < self.NEVER else None


def broken_part(method: Method) -> str | None:
    """The first part of the method's state, on any rank, that holds a number that is not finite."""
    return next((name for name in ranks.gather(_broken_here(method)) if name), None)


def _broken_here(method: Method) -> str | None:
    for name, part in method.parts().items():
        finite = [torch.isfinite(t).all() for t in _tensors(part.state_dict())]
        if finite and not torch.stack([f.to(method.device) for f in finite]).all():  # waits for the device once
            return name
    return None


def _tensors(state: Any) -> Iterator[Tensor]:
    if isinstance(state, Tensor):
        yield state
    elif isinstance(state, dict | list):
        for part in state.values() if isinstance(state, dict) else state:
            yield from _tensors(part)


def check_equal(state: dict[str, Any], own: tuple[str, ...]) -> None:
    """Check that the parts of a state, but for those that are each rank's `own`, are equal on all ranks.

    Raises
    ------
    UserError
        if they have come apart.
    """
    if not ranks.together():
        return
    first, *others = ranks.gather({name: _digest(part) for name, part in state.items() if name not in own})
    for number, other in enumerate(others, 1):
        for name in first:
            if other.get(name) != first[name]:
                raise UserError(
                    f"ranks: the {name.replace('_', ' ')} of rank {number} is not that of rank 0; give all ranks "
                    "the same files, versions, and kind of processor; checkpoints are from before"
                )


def _digest(value: Any) -> str:
    """A hash of a state's content."""
    if isinstance(value, dict):
        content = "".join(f"{name!r}{_digest(part)}" for name, part in value.items()).encode()
    elif isinstance(value, list | tuple):
        content = "".join(map(_digest, value)).encode()
    elif isinstance(value, Tensor):
        content = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
    else:
        content = repr(value).encode()
    return hashlib.sha256(content).hexdigest()
