"""Images on the device as uint8; batches, crops and flips are made there."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int, Shaped, UInt8
from numpy import ndarray
from torch import Tensor

from ..errors import one_of
from .catalogue import augmentation
from .dataset import Dataset
from .read import ImageFiles

MEMORY = 8 * 2**30  # bytes; image files that need more are decoded batch by batch
Device = str | torch.device
Index = Int[Tensor, " n"]
Pixels = UInt8[Tensor, "n channels height width"]
Batch = Float[Tensor, "n channels height width"]


@dataclass(frozen=True, eq=False)
class Collected:
    """Images like a data set's, with its classes for labels, and their origin."""

    x: UInt8[ndarray, "images height width channels"] | ImageFiles
    y: Int[ndarray, " images"] | None
    record: dict[str, Any]


@dataclass(frozen=True, eq=False)
class Images:
    """Images and labels, the constants that normalise, and the usual augmentation."""

    x: UInt8[Tensor, "images channels height width"] | ImageFiles
    y: Int[Tensor, " images"]  # −1: not known
    mean: Float[Tensor, "channels 1 1"]
    std: Float[Tensor, "channels 1 1"]
    pad: int = 0
    mode: str = "replicate"
    flip: bool = False

    @classmethod
    def of(cls, dataset: Dataset, device: Device, part: str = "train") -> "Images":
        """The 'train' or the 'test' part of a data set."""
        one_of("part", part, ("test", "train"))
        x, y = getattr(dataset, f"x_{part}"), getattr(dataset, f"y_{part}")
        return cls.of_collected(Collected(x, y, {}), dataset, device)

    @classmethod
    def of_collected(
        cls, collected: Collected, dataset: Dataset, device: Device
    ) -> "Images":
        """Collected images, to be seen as those of the data set."""
        x, y = collected.x, torch.full((len(collected.x),), -1)
        if collected.y is not None:
            y = torch.from_numpy(collected.y)
        constants = (dataset.mean, dataset.std)
        mean, std = (torch.tensor(c, device=device)[:, None, None] for c in constants)
        usual = augmentation(dataset.name, x.shape[3], x.shape[1])
        return cls(_on(device, x), y.to(device), mean, std, **usual)

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, index: slice | Index) -> "Images":
        """Some of the images; those in files stay there."""
        kept = torch.arange(len(self))[index] if isinstance(index, slice) else index
        y = self.y[kept.to(self.y.device)]
        if not isinstance(self.x, ImageFiles):
            return dataclasses.replace(self, x=self.x[kept.to(self.x.device)], y=y)
        paths = tuple(self.x.paths[i] for i in kept.tolist())
        x = dataclasses.replace(self.x, paths=paths)
        return dataclasses.replace(self, x=x, y=y)

    def pixels(self, index: Index) -> Pixels:
        """The images of that index, as they are."""
        if isinstance(self.x, ImageFiles):
            return _on(self.y.device, self.x[index.cpu().numpy()])
        return self.x[index]

    def normalise(self, x: Pixels) -> Batch:
        """Pixels as the networks see them; the same bits as `Dataset.normalise`."""
        # on a GPU, dividing by a plain number is a product with 1/255
        scale = torch.full((), 255.0, device=x.device)
        return (x.float() / scale - self.mean) / self.std

    def batch(self, index: Index) -> Batch:
        """The images of that index, normalised."""
        return self.normalise(self.pixels(index))

    def shifted(self, pixels: Pixels, random: torch.Generator) -> Batch:
        """Pixels shifted and flipped at random as usual for the data, normalised."""
        usual = {"pad": self.pad, "mode": self.mode, "flip": self.flip}
        return self.normalise(augment(pixels, random, **usual))

    def augmented(self, index: Index, random: torch.Generator) -> Batch:
        """The images of that index, shifted and flipped at random, normalised."""
        return self.shifted(self.pixels(index), random)


def augment(
    x: Shaped[Tensor, "n channels height width"],
    random: torch.Generator,
    *,
    pad: int = 2,
    mode: str = "replicate",
    flip: bool = False,
) -> Shaped[Tensor, "n channels height width"]:
    """Each image padded, cropped at random to its size, and flipped with probability ½.

    The padding repeats the border's pixels (`mode` "replicate") or is 0 ("zeros").
    `random`, on x's device, draws the shifts (2, n, 1) from 0 to 2·pad, rows before
    columns; then, if `flip`, (n, 1) numbers in [0, 1): below ½ is flipped.
    """
    n, _, height, width = x.shape
    shift = torch.randint(0, 2 * pad + 1, (2, n, 1), generator=random, device=x.device)
    rows = shift[0] - pad + torch.arange(height, device=x.device)  # (n, height)
    columns = shift[1] - pad + torch.arange(width, device=x.device)
    if flip:
        flipped = torch.rand(n, 1, generator=random, device=x.device) < 0.5
        columns = torch.where(flipped, columns.flip(1), columns)
    inner_rows, inner_columns = rows.clamp(0, height - 1), columns.clamp(0, width - 1)
    first = torch.arange(n, device=x.device)[:, None, None]
    picked = x[first, :, inner_rows[:, :, None], inner_columns[:, None, :]]  # NHWC
    if mode == "zeros":
        inside = (rows == inner_rows)[:, :, None] & (columns == inner_columns)[:, None]
        picked = picked * inside[..., None]
    return picked.permute(0, 3, 1, 2).contiguous()


def _on(device: Device, x: ndarray | ImageFiles) -> Tensor | ImageFiles:
    """NHWC pixels as an NCHW tensor; image files too many for memory stay files."""
    if isinstance(x, ImageFiles):
        if math.prod(x.shape) > MEMORY:
            return x
        x = x[:]
    return torch.from_numpy(x).to(device).permute(0, 3, 1, 2).contiguous()
