"""Classifiers have the papers' numbers of parameters, and their "FLOPs"."""

import pytest
import torch

from dfkd_lib.catalogue import NETWORKS
from dfkd_lib.flops import cost, parameters
from dfkd_lib.models import Classifier, build


def on_meta(name: str, classes: int) -> Classifier:
    with torch.device("meta"):
        return build(name, classes)


@pytest.mark.parametrize(
    ("name", "classes", "count"),
    [
        ("lenet5", 10, 61_706),
        ("lenet5_half", 10, 15_738),
        ("resnet34_8x", 10, 21_282_122),
        ("resnet34_8x", 100, 21_328_292),
        ("resnet18_8x", 10, 11_173_962),
        ("resnet18_8x", 100, 11_220_132),
        ("resnet34", 101, 21_336_485),
        ("resnet18", 101, 11_228_325),
        ("wrn40_2", 10, 2_243_546),
        ("wrn40_2", 100, 2_255_156),
        ("wrn16_2", 10, 691_674),
        ("wrn16_2", 100, 703_284),
        ("vgg13_bn", 10, 9_416_010),
        ("vgg13_bn", 100, 9_462_180),
        ("vgg11_bn", 10, 9_231_114),
        ("vgg16_bn", 10, 14_728_266),
        ("wrn40_1", 100, 569_780),
        ("wrn16_1", 100, 180_916),
        ("alexnet", 1000, 61_100_840),
        # of the definitions in HiDFD's public code, and of torchvision's ShuffleNetV2 with the smaller stem
        ("resnet32x4", 100, 7_433_860),
        ("resnet110", 100, 1_736_564),
        ("resnet110x2", 100, 6_911_220),
        ("resnet116", 100, 1_833_780),
        ("shufflenet_v2", 10, 1_263_278),
        ("shufflenet_v2", 100, 1_355_528),
    ],
)
def test_parameters(name, classes, count):
    assert parameters(on_meta(name, classes)) == count


@pytest.mark.parametrize(
    ("name", "classes", "size", "multiply_adds", "papers_flops"),
    [
        ("lenet5", 10, 32, 416_520, 433_770),
        ("lenet5_half", 10, 32, 133_740, 139_840),
        ("resnet34_8x", 10, 32, 1_159_402_496, 1_163_503_606),
        ("resnet34_8x", 100, 32, 1_159_448_576, None),
        ("resnet18_8x", 10, 32, 555_422_720, 557_885_430),
        ("resnet18_8x", 100, 32, 555_468_800, 557_977_500),
        ("resnet34", 101, 128, 1_196_214_784, 1_201_148_827),
        ("resnet18", 101, 128, 592_235_008, 595_530_651),
    ],
)
def test_costs_are_the_papers(name, classes, size, multiply_adds, papers_flops):
    """DFAD Table 2: 433K, 139K, 1.16G, 557M, 1.20G and 595M; it prints 558M where its own rule gives 557,977,500."""
    counted = cost(on_meta(name, classes), NETWORKS[name].channels, size, size)
    assert counted.multiply_adds == multiply_adds
    assert papers_flops is None or counted.papers_flops == papers_flops
