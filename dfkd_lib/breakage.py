"""Where a run breaks down: which term of which loss, or which part of the state, is the first that is not finite."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from . import ranks
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
