"""A store of generated images, and DFKD-Mem (Binci et al. 2022), which keeps past ones against forgetting.

As MAD runs it for its second baseline: its own settings, the memory in place of EMA(G). Each stage, one batch of the
generator's images enters; when the memory is full they take the places of random ones (ours: MAD does not say).
"""

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .abm import ABM
from .method import Terms


class Memory(nn.Module):
    """Up to `capacity` images. A module, so that its content is in checkpoints."""

    def __init__(self, capacity: int, shape: tuple[int, int, int], device: torch.device):
        super().__init__()
        self.register_buffer("images", torch.zeros(capacity, *shape, device=device))
        self.register_buffer("filled", torch.zeros((), dtype=torch.int64))  # on the CPU: read at every draw

    def add(self, x: Float[Tensor, "n channels height width"], random: torch.Generator) -> None:
        """Keep x: in free places first, then in those of random images."""
        capacity, filled = len(self.images), int(self.filled)
        free = min(capacity - filled, len(x))
        self.images[filled : filled + free] = x[:free]
        rest = x[free : free + capacity]
        if len(rest):
            places = torch.randperm(capacity, generator=random, device=self.images.device)[: len(rest)]
            self.images[places] = rest
        self.filled.add_(free)

    def draw(self, n: int, random: torch.Generator) -> Float[Tensor, "n channels height width"]:
        """n of the images, with replacement."""
        index = torch.randint(int(self.filled), (n,), generator=random, device=self.images.device)
        return self.images[index]


class DFKDMem(ABM):
    """ABM, whose student also learns from remembered images."""

    choices = replace(ABM.choices, samples_from="G and a memory of G's images")
    uses = (*ABM.uses, "lambda1", "memory")
    own = (*ABM.own, "memory")

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.memory = Memory(self.recipe.memory, self.shape, self.device)

    def parts(self) -> dict[str, object]:
        return super().parts() | {"memory": self.memory}

    def end_generator_stage(self) -> None:
        self.memory.add(self.draw(self.generator, self.recipe.batch), self.random)

    def student_images(self) -> list[Tensor]:
        """One batch from G, one from the memory."""
        n = self.recipe.student_batch
        return [self.draw(self.generator, n), self.memory.draw(n, self.random)]

    def student_loss(self, images: list[Tensor]) -> Terms:
        """As MAD Eq. 4, with the memory's images for EMA(G)'s."""
        x, remembered = images
        return self.match(x, "G", self.recipe.lambda0) | self.match(remembered, "the memory", self.recipe.lambda1)
