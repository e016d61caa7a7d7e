"""LeNet-5 and its half, as DFAD uses them for handwritten digits (DFAD Table 5)."""

from torch import nn

from .network import Classifier


class LeNet5(Classifier):
    """LeNet-5 for 1×32×32 images: 61,706 parameters with 10 classes.

    ``half=True`` halves every hidden width: DFAD's LeNet-5-Half, 15,738 parameters.
    """

    def __init__(self, num_classes: int = 10, half: bool = False):
        c1, c2, c3, f = (3, 8, 60, 42) if half else (6, 16, 120, 84)
        features = nn.Sequential(
            nn.Conv2d(1, c1, 5), nn.ReLU(), nn.MaxPool2d(2),  # 28×28, pooled to 14
            nn.Conv2d(c1, c2, 5), nn.ReLU(), nn.MaxPool2d(2),  # 10×10, pooled to 5
            nn.Conv2d(c2, c3, 5), nn.ReLU(),  # 1×1
            nn.Flatten(),
            nn.Linear(c3, f), nn.ReLU(),
        )  # fmt: skip
        super().__init__(features, nn.Linear(f, num_classes), cuts=(1, 4, 7), size=32)
