"""Images on the device as uint8; batches, crops and flips are made there."""

import math
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Integer, UInt8
from numpy import ndarray
from torch import Tensor
from torch.nn import functional as F

from .catalogue import augmentation
from .dataset import Dataset
from .layouts import ImageFiles

MEMORY = 8 * 2**30  # bytes; image files that need more are decoded batch by batch
Device = str | torch.device
Index = Int[Tensor, " n"]
Pixels = UInt8[Tensor, "n c h w"]
Batch = Float[Tensor, "n c h w"]


class Collected(NamedTuple):
    """Images like a data set's, with its classes for labels, and their origin."""

    x: UInt8[ndarray, "n h w c"] | ImageFiles
    y: Int[ndarray, " n"] | None
    record: dict[str, Any]


@dataclass(frozen=True, eq=False)
class Images:
    """Images and labels, the constants that normalise, and the usual augmentation.

    Labels are those of images, or uint8 maps of those of pixels, `VOID` among them.
    """

    x: Pixels | ImageFiles
    y: Integer[Tensor, "n *pixels"]  # −1: not known
    mean: Float[Tensor, "c 1 1"]
    std: Float[Tensor, "c 1 1"]
    usual: dict[str, Any]

    @classmethod
    def of(cls, dataset: Dataset, device: Device, part: str = "train") -> "Images":
        """The 'train' or the 'test' part of a data set."""
        x, y = getattr(dataset, f"x_{part}"), getattr(dataset, f"y_{part}")
        return cls.of_collected(Collected(x, y, {}), dataset, device)

    @classmethod
    def of_collected(cls, found: Collected, like: Dataset, device: Device) -> "Images":
        """Collected images, to be seen as those of the data set."""
        y = np.full(len(found.x), -1) if found.y is None else found.y
        mean, std = torch.tensor([like.mean, like.std], device=device)[..., None, None]
        usual = augmentation(like.name, found.x.shape[3], found.x.shape[1], like.crop)
        x, y = _on(device, found.x), torch.tensor(y, device=device)
        return cls(x, y, mean, std, usual)

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, index: Index) -> "Images":
        """Some of the images; those in files stay there."""
        if isinstance(self.x, ImageFiles):
            x = replace(self.x, paths=tuple(self.x.paths[i] for i in index))
        else:
            x = self.x[index]
        return replace(self, x=x, y=self.y[index])

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

    def shifted(self, x: Pixels, random: torch.Generator) -> Float[Tensor, "n c _ _"]:
        """Pixels shifted and flipped at random as usual for the data, normalised."""
        return self.normalise(augment(x, random, **self.usual))

    def labelled(
        self, index: Index, random: torch.Generator, **changes: Any
    ) -> tuple[Batch, Int[Tensor, "n *pixels"]]:
        """Images shifted and flipped at random, normalised, with their labels.

        Maps are cropped and flipped alike. `changes` are those of the usual options.
        """
        x, y, options = self.pixels(index), self.y[index], self.usual | changes
        if y.ndim == 1:
            return self.normalise(augment(x, random, **options)), y
        both = augment(torch.cat([x, y[:, None]], 1), random, **options)
        return self.normalise(both[:, :-1]), both[:, -1].long()


def augment(
    x: Pixels | Batch, random: torch.Generator, *,
    pad: int, mode: str, flip: bool | Bool[Tensor, " n"], crop: int | None = None,
) -> UInt8[Tensor, "n c _ _"] | Float[Tensor, "n c _ _"]:  # fmt: skip
    """Each image padded, cropped at random to its size, and flipped with probability ½.

    A mask as `flip` selects the images that are flipped, instead of chance. `crop`: the
    side of squares that are cut out instead, anywhere, of images without padding.

    The padding repeats the border's pixels (`mode` "replicate") or is 0 ("zeros").
    `random`, on x's device, draws shifts of the rows, then of the columns, then flips.
    """
    n, _, height, width = x.shape
    options = {"generator": random, "device": x.device}
    if crop:
        shift = [torch.randint(s - crop + 1, (n, 1), **options) for s in x.shape[2:]]
    else:
        shift = torch.randint(0, 2 * pad + 1, (2, n, 1), **options)
    rows = shift[0] + torch.arange(crop or height, device=x.device)  # (n, height)
    columns = shift[1] + torch.arange(crop or width, device=x.device)
    if flip is True:
        flip = torch.rand(n, **options) < 0.5
    if flip is not False:
        columns = torch.where(flip[:, None], columns.flip(1), columns)
    if mode == "zeros":
        x = F.pad(x, (pad, pad, pad, pad))
    else:
        rows = (rows - pad).clamp(0, height - 1)
        columns = (columns - pad).clamp(0, width - 1)
    first = torch.arange(n, device=x.device)[:, None, None]
    picked = x[first, :, rows[:, :, None], columns[:, None, :]]  # NHWC
    return picked.permute(0, 3, 1, 2).contiguous()


def _on(device: Device, x: ndarray | ImageFiles) -> Tensor | ImageFiles:
    """NHWC pixels as an NCHW tensor; image files too many for memory stay files."""
    if isinstance(x, ImageFiles) and math.prod(x.shape) > MEMORY:
        return x
    return torch.from_numpy(x[:]).to(device).permute(0, 3, 1, 2).contiguous()
