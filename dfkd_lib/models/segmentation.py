"""Networks that label every pixel: DeepLabV3 (Chen et al. 2017) of torchvision's parts.

Their logits have the size of the images. torchvision is imported where it is used.
"""

from torch import Tensor, nn
from torch.nn import functional as F

from .network import Classifier, Embedding, Images, Logits


class Segmenter(Classifier):
    """Images → maps → ``classifier``, a 1×1 convolution → logits, resized bilinearly.

    Embedding and logits are those of a `Classifier` for each place of a grid. Batches
    in training need two images or more, for the BatchNorm of pooled maps.
    """

    def _classified(self, h: Tensor, x: Images) -> tuple[Embedding, Logits]:
        maps, logits = super()._classified(h, x)
        return maps, F.interpolate(logits, x.shape[2:], mode="bilinear")


def deeplabv3_resnet50(num_classes: int) -> Segmenter:
    """DFAD's teacher: output stride 8, rates 12, 24 and 32 (its code).

    Randomly initialised; the paper's backbone is pretrained on ImageNet.
    """
    from torchvision.models import resnet50

    strides = [False, True, True]
    network = resnet50(weights=None, replace_stride_with_dilation=strides)
    return _deeplab([*network.children()][:-2], 2048, num_classes, (4, 5, 6, 7))


def deeplabv3_mobilenetv2(num_classes: int) -> Segmenter:
    """DFAD's student: MobileNetV2 without its last layer, output stride 8."""
    from torchvision.models import mobilenet_v2

    layers = [*mobilenet_v2(weights=None).features][:-1]
    for number in range(1, 18):  # a stage has the rate that the stages before it need
        rate = 1 if number < 11 else 2 if number < 17 else 4
        layers[number] = PaddedBlock(layers[number], rate, number < 7)
    return _deeplab(layers, 320, num_classes, (3, 6, 13, 17))


class PaddedBlock(nn.Module):
    """MobileNetV2's block, dilated, its images padded before the first convolution.

    By this padding and these rates, and by no others, the papers' "FLOPs" of DFAD's
    student come out exactly (inferred).
    """

    def __init__(self, block: nn.Module, rate: int, strided: bool):
        super().__init__()
        self.conv, self.skips, self.rate = block.conv, block.use_res_connect, rate
        for layer in self.conv.modules():
            if isinstance(layer, nn.Conv2d) and layer.kernel_size == (3, 3):
                layer.stride = layer.stride if strided else (1, 1)
                layer.padding, layer.dilation = (0, 0), (rate, rate)

    def forward(self, x: Tensor) -> Tensor:
        padded = self.conv(F.pad(x, [self.rate] * 4))
        return x + padded if self.skips else padded


def _deeplab(backbone: list, width: int, num_classes: int, cuts: tuple) -> Segmenter:
    from torchvision.models.segmentation.deeplabv3 import DeepLabHead

    *head, last = DeepLabHead(width, num_classes, (12, 24, 32))
    return Segmenter(nn.Sequential(*backbone, *head), last, cuts)


class FusedBlock(nn.Module):
    """MobileNetV2's inverted residual with its first two convolutions fused.

    3×3 to four times as many channels, 1×1 back, a skip where shapes agree (Tan and Le
    2021). On a CPU thread it runs three times as fast as with depthwise convolutions.
    """

    def __init__(self, c_in: int, c_out: int, stride: int, dilation: int):
        super().__init__()
        wide = 4 * c_in
        self.layers = nn.Sequential(
            nn.Conv2d(c_in, wide, 3, stride, dilation, dilation, bias=False),
            nn.BatchNorm2d(wide), nn.ReLU6(),
            nn.Conv2d(wide, c_out, 1, bias=False), nn.BatchNorm2d(c_out),
        )  # fmt: skip
        self.skips = stride == 1 and c_in == c_out

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x) if self.skips else self.layers(x)


def deeplab_small(num_classes: int, half: bool = False) -> Segmenter:
    """Ours for a CPU, of output stride 8 and rates 2, 4 and 6; or one half as wide."""
    from torchvision.models.segmentation.deeplabv3 import ASPP

    a, b, c, d = (width // (1 + half) for width in (16, 24, 32, 64))
    features = nn.Sequential(
        nn.Conv2d(3, a, 3, 2, 1, bias=False), nn.BatchNorm2d(a), nn.ReLU6(),
        FusedBlock(a, b, 2, 1), FusedBlock(b, b, 1, 1),
        FusedBlock(b, c, 2, 1), FusedBlock(c, c, 1, 1),
        FusedBlock(c, d, 1, 2), FusedBlock(d, d, 1, 2), ASPP(d, (2, 4, 6), d),
    )  # fmt: skip
    return Segmenter(features, nn.Conv2d(d, num_classes, 1), cuts=(4, 6, 8))
