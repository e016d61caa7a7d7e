"""Networks that somebody may bring to `distill`: some need care, with some the game cannot be played."""

from torch import nn


class Own(nn.Module):
    """A student of somebody's own; `lenet5_half` is none for three channels."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 4, 3, 2), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten())
        self.head = nn.Linear(4 * 15 * 15, 10)

    def forward(self, x):
        return self.head(self.body(x))


class TakesBytes(nn.Module):
    """A teacher of pixels from 0 to 255, which normalises by itself."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, pixels):
        return self.network((pixels / 255 - 0.5) / 0.25)


class Views(nn.Module):
    """Flattens by `view`, which refuses images that lie channels-last in memory."""

    def __init__(self):
        super().__init__()
        self.convolution, self.head = nn.Conv2d(3, 4, 5), nn.Linear(4 * 28 * 28, 10)

    def forward(self, x):
        return self.head(self.convolution(x).view(len(x), -1))


class Writes(nn.Module):
    def forward(self, x):
        return x.neg_().flatten(1)[:, :10]


class Detaches(nn.Module):
    def forward(self, x):
        return x.detach().flatten(1)[:, :10]


class OnlyTwo(nn.Module):
    def forward(self, x):
        return x.reshape(2, 3 * 32 * 32)[:, :10]
