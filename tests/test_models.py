"""Networks are the papers' in size and cost, and generators keep to the normalised input space."""

import pytest
import torch
from torch import nn

from dfkd_lib.errors import UserError
from dfkd_lib.models import CLASSIFIERS, ConditionalGenerator, GeneratorA, MADGenerator, WideResNet, build
from dfkd_lib.models.wide_resnet import BasicBlock
from dfkd_lib.recipes import NETWORKS

GENERATORS = {
    "generator_a": lambda: GeneratorA(10, 1, width=4),
    "generator_a_colour": lambda: GeneratorA(10, 3, width=4),
    "mad_cifar": lambda: MADGenerator(10),
}


def parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize(
    ("name", "classes", "count"),
    [
        ("lenet5", 10, 61_706),
        ("lenet5_half", 10, 15_738),
        ("wrn40_2", 10, 2_243_546),
        ("wrn40_2", 100, 2_255_156),
        ("wrn16_2", 10, 691_674),
        ("wrn16_2", 100, 703_284),
    ],
)
def test_parameters_of_classifiers(name, classes, count):
    assert parameters(build(name, classes)) == count


@pytest.mark.parametrize(("z_dim", "channels", "count"), [(100, 1, 1_049_985), (256, 3, 2_329_091)])
def test_parameters_of_generator_a(z_dim, channels, count):
    assert parameters(GeneratorA(z_dim, channels)) == count


@pytest.mark.parametrize(
    ("name", "channels", "count"),
    [("lenet5", 1, 416_520), ("lenet5_half", 1, 133_740), ("wrn40_2", 3, 327.6e6), ("wrn16_2", 3, 101.1e6)],
)
def test_multiply_adds(name, channels, count):
    """Of convolutions and linear layers, for one image: each output takes one per input that it sees."""
    network, total = build(name, 10).eval(), 0

    def add(layer, inputs, output):
        nonlocal total
        total += output.numel() * layer.weight[0].numel()

    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.register_forward_hook(add)
    network(torch.zeros(1, channels, 32, 32))
    assert total == (count if isinstance(count, int) else pytest.approx(count, rel=1e-3))


def test_names():
    assert set(CLASSIFIERS) == set(NETWORKS)


def test_an_unknown_name_is_an_error_that_lists_the_names():
    with pytest.raises(UserError, match="lenet5_half.*wrn16_2.*wrn40_2"):
        build("lenet", 10)


@pytest.mark.parametrize("make", [lambda: GeneratorA(10, 1, size=30), lambda: MADGenerator(10, size=28)])
def test_generators_refuse_sizes_they_cannot_make(make):
    with pytest.raises(ValueError, match="must divide by"):
        make()


@pytest.mark.parametrize("widths", [(4, 4), (4, 6)])
def test_a_residual_block_without_its_branch_is_its_shortcut(widths):
    """The input itself; where the width changes, a projection of the activated input."""
    torch.manual_seed(0)
    block, x = BasicBlock(*widths, stride=1).eval(), torch.randn(2, 4, 8, 8)
    nn.init.zeros_(block.conv2.weight)
    expected = x if widths[0] == widths[1] else block.shortcut(block.bn1(x).clamp(min=0))
    torch.testing.assert_close(block(x), expected)


def test_wide_resnet_refuses_depths_it_cannot_have():
    with pytest.raises(ValueError, match="6n"):
        WideResNet(18, 2)


def test_mads_generator_enlarges_as_torchs_bilinear_layer_does():
    """MAD Table 8a: three times by 2, with corners kept, as UpsamplingBilinear2d does and plain Upsample does not."""
    layers = [m for m in MADGenerator(10).modules() if isinstance(m, nn.Upsample)]
    assert [type(layer) for layer in layers] == 3 * [nn.UpsamplingBilinear2d]
    x = torch.arange(4.0).reshape(1, 1, 1, 4).expand(1, 1, 4, 4).contiguous()
    for layer in layers:
        torch.testing.assert_close(layer(x)[0, 0, 0], torch.linspace(0, 3, 8))


@pytest.mark.parametrize("name", GENERATORS)
def test_generators_make_normalised_images(name):
    torch.manual_seed(0)
    x = GENERATORS[name]().train()(torch.randn(64, 10))
    assert x.shape == (64, 1 if name == "generator_a" else 3, 32, 32)
    torch.testing.assert_close(x.mean((0, 2, 3)), torch.zeros(x.shape[1]), atol=1e-4, rtol=0)
    torch.testing.assert_close(x.var((0, 2, 3)), torch.ones(x.shape[1]), atol=0.01, rtol=0)
    assert x.flatten(1).std(0).mean() > 0.1  # different noise, different images


@pytest.mark.parametrize("name", GENERATORS)
def test_a_conditional_generator_adds_its_class_to_the_noise(name):
    torch.manual_seed(0)
    generator = ConditionalGenerator(GENERATORS[name](), 10)
    z, y = torch.randn(8, 10), torch.arange(8)
    assert torch.equal(generator(z, y), generator.generator(z + generator.embedding.weight[:8]))


def test_a_conditional_generator_learns_only_the_classes_it_is_told():
    torch.manual_seed(0)
    generator = ConditionalGenerator(GENERATORS["generator_a"](), 10)
    generator(torch.randn(4, 10), torch.tensor([2, 7, 7, 3])).square().mul(torch.randn(32)).sum().backward()
    reached = generator.embedding.weight.grad.abs().sum(1) > 0
    assert reached.nonzero().flatten().tolist() == [2, 3, 7]
