"""Training images on the device as uint8, a quarter of float32's memory; batches, crops and flips are made there.

No worker processes: a step waits for nothing but the device, except where images stay in files that memory cannot hold.
"""

import dataclasses
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int, Shaped, UInt8
from torch import Tensor

from .collected import Collected
from .data import Dataset
from .errors import one_of
from .layouts import ImageFiles

MEMORY = 8 * 2**30  # bytes; image files that need more than this once decoded are decoded batch by batch instead
MODES = ("reflect", "replicate", "zeros")


@dataclass(frozen=True, eq=False)
class Images:
    """Images and labels on the device, and the constants that normalise a channel."""

    x: UInt8[Tensor, "images channels height width"] | ImageFiles
    y: Int[Tensor, " images"]
    mean: Float[Tensor, "channels 1 1"]
    std: Float[Tensor, "channels 1 1"]

    @classmethod
    def of(cls, dataset: Dataset, device: str | torch.device, part: str = "train") -> "Images":
        """The 'train' or the 'test' part of a data set."""
        train = one_of("part", part, ("test", "train")) == "train"
        x, y = (dataset.x_train, dataset.y_train) if train else (dataset.x_test, dataset.y_test)
        return cls(_on(device, x), torch.from_numpy(y).to(device), *_constants(dataset, device))

    @classmethod
    def of_collected(cls, collected: Collected, dataset: Dataset, device: str | torch.device) -> "Images":
        """Collected images, normalised with the constants of the `dataset` they stand in for; −1 where no label is."""
        y = torch.full((len(collected.x),), -1) if collected.y is None else torch.from_numpy(collected.y)
        return cls(_on(device, collected.x), y.to(device), *_constants(dataset, device))

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, index: slice | Int[Tensor, " some"]) -> "Images":
        """Some of the images; those in files stay there."""
        kept = torch.arange(len(self))[index] if isinstance(index, slice) else index
        if isinstance(self.x, ImageFiles):
            x = dataclasses.replace(self.x, paths=tuple(self.x.paths[i] for i in kept.tolist()))
        else:
            x = self.x[kept.to(self.y.device)]
        return dataclasses.replace(self, x=x, y=self.y[kept.to(self.y.device)])

    def pixels(self, index: Int[Tensor, " batch"]) -> UInt8[Tensor, "batch channels height width"]:
        """The images of that index, as they are."""
        if isinstance(self.x, ImageFiles):
            return _on(self.y.device, self.x[index.cpu().numpy()])
        return self.x[index]

    def normalise(
        self, x: UInt8[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch channels height width"]:
        """Pixels as the networks see them; the same bits as `Dataset.normalise`."""
        scale = torch.full((), 255.0, device=x.device)  # dividing by a plain number is a product with 1/255 on a GPU
        return (x.float() / scale - self.mean) / self.std

    def batch(self, index: Int[Tensor, " batch"]) -> Float[Tensor, "batch channels height width"]:
        """The images of that index, normalised."""
        return self.normalise(self.pixels(index))


def augment(
    x: Shaped[Tensor, "batch channels height width"],
    random: torch.Generator,
    *,
    pad: int = 2,
    mode: str = "replicate",
    flip: bool = False,
) -> Shaped[Tensor, "batch channels height width"]:
    """Each image padded by `pad` pixels, cropped at random to its size, and flipped or not, with probability 1/2.

    The padding is the border's pixels (`mode` "replicate"), their mirror image ("reflect"), or 0 ("zeros"); for black,
    as CIFAR's usual recipe has it (pad 4, zeros, flip), crop the uint8 pixels and normalise behind that.
    `random` is a generator on x's device. First the shifts are drawn, (2, batch, 1) numbers from 0 to 2·pad, rows
    before columns; then, if `flip`, (batch, 1) numbers in [0, 1): below 1/2 is flipped.

    Raises
    ------
    UserError
        if there is no such mode.
    """
    one_of("mode", mode, MODES)
    n, _, height, width = x.shape
    shift = torch.randint(0, 2 * pad + 1, (2, n, 1), generator=random, device=x.device) - pad
    rows = shift[0] + torch.arange(height, device=x.device)  # (n, height): which rows, the padding's included
    columns = shift[1] + torch.arange(width, device=x.device)
    if flip:
        flipped = torch.rand(n, 1, generator=random, device=x.device) < 0.5
        columns = torch.where(flipped, columns.flip(1), columns)
    fold = _mirrored if mode == "reflect" else _clamped
    first = torch.arange(n, device=x.device)[:, None, None]
    picked = x[first, :, fold(rows, height)[:, :, None], fold(columns, width)[:, None, :]]  # (n, height, width, c)
    if mode == "zeros":
        inside = ((rows == fold(rows, height))[:, :, None] & (columns == fold(columns, width))[:, None, :])[..., None]
        picked = torch.where(inside, picked, torch.zeros((), dtype=x.dtype, device=x.device))
    return picked.permute(0, 3, 1, 2).contiguous()


def _clamped(index: Tensor, size: int) -> Tensor:
    return index.clamp(0, size - 1)


def _mirrored(index: Tensor, size: int) -> Tensor:
    """Mirrored at the first and at the last pixel, which are not repeated."""
    return size - 1 - (size - 1 - index.abs()).abs()


def _on(device: str | torch.device, x: object) -> Tensor | ImageFiles:
    """NHWC pixels as an NCHW tensor on the device; image files too many for memory stay files."""
    if isinstance(x, ImageFiles):
        if x.nbytes > MEMORY:
            return x
        x = x[:]
    return torch.from_numpy(x).to(device).permute(0, 3, 1, 2).contiguous()


def _constants(dataset: Dataset, device: str | torch.device) -> tuple[Tensor, Tensor]:
    mean, std = (torch.tensor(values, device=device)[:, None, None] for values in (dataset.mean, dataset.std))
    return mean, std
