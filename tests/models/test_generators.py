"""Generators are the papers' in size, and show their output before squashing."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from dfkd_lib.errors import UserError
from dfkd_lib.models import (
    Flow,
    GeneratorA,
    GeneratorB,
    MADGenerator,
    MADResNetGenerator,
    generator,
    grid,
)
from dfkd_lib.models.biggan import BigGANDiscriminator, BigGANGenerator
from dfkd_lib.models.network import UpsampledConv2d

# name → a small one from the number of inputs, channels, size
GENERATORS = {
    "generator_a": (lambda z: GeneratorA(z, 1, width=4), 1, 32),
    "generator_b": (lambda z: GeneratorB(z, 3, 32, width=4), 3, 32),
    "mad_cifar": (lambda z: MADGenerator(z), 3, 32),
    "mad_tiny_imagenet": (lambda z: MADGenerator(z, size=64), 3, 64),
    "mad_imagenet": (lambda z: MADResNetGenerator(z, size=64), 3, 64),
}


def make(name, z_dim=10):
    torch.manual_seed(0)
    return GENERATORS[name][0](z_dim)


def named(name, **changes):
    given = {"z_dim": 10, "channels": 1, "size": 32, "width": 4, "num_classes": 10}
    torch.manual_seed(0)
    return generator(name, **(given | changes))


@pytest.mark.parametrize(
    ("build", "count"),
    [
        (lambda: GeneratorA(100, 1), 1_049_985),
        (lambda: GeneratorA(256, 3), 2_329_091),
        (lambda: GeneratorB(256), 12_333_635),
        # MAD Table 8 with its misprints mended: the sums of its own layers
        (lambda: MADGenerator(256), 1_635_235),
        (lambda: MADGenerator(256, size=64), 4_793_251),
        (lambda: MADResNetGenerator(256), 9_367_203),
        # ADCGAN's for CIFAR: the papers' 4.67 million; of HiDFD's 5.01 we have 4.21
        (lambda: BigGANGenerator(128, 10, 3), 4_668_163),
        (lambda: BigGANDiscriminator(10, 3), 4_209_941),
    ],
)
def test_parameters(build, count):
    with torch.device("meta"):
        assert sum(p.numel() for p in build().parameters()) == count


def test_sizes_follow_the_teachers_images_or_are_an_error():
    with torch.device("meta"):
        made = named("mad_imagenet", size=224, channels=3)
        assert made.size == 256
        assert made(torch.zeros(2, 10)).shape == (2, 3, 256, 256)
    for name, size, message in (
        ("generator_b", 100, "Generator-B.* divide by 16; give 96 or 112"),
        ("flow", 32, "it is for moons .* elsewhere give generator_a"),
    ):
        with pytest.raises(UserError, match=message):
            named(name, size=size)


@pytest.mark.parametrize("name", GENERATORS)
def test_images(name):
    _, channels, size = GENERATORS[name]
    made, z = make(name), torch.randn(16, 10)
    x = made(z)
    assert x.shape == (16, channels, size, size) and made.size == size
    assert torch.equal(made(z, torch.arange(16)), made(z))  # whatever the class
    assert torch.equal(made.squash(made.logits(z)), made(z))
    if "_b" not in name:  # normalised: DFAD's last BatchNorm
        means, variances = x.mean((0, 2, 3)), x.var((0, 2, 3))
        torch.testing.assert_close(means, torch.zeros(channels), atol=1e-4, rtol=0)
        torch.testing.assert_close(variances, torch.ones(channels), atol=0.01, rtol=0)
    x.mul(torch.randn_like(x)).sum().backward()
    assert [n for n, p in made.named_parameters() if not p.grad.any()] == []


def test_the_kinds_of_conditioning_differ_in_the_first_layer_only():
    """MAD App. B.3: W z + b, W_z z + W_y e_y + b, and W(z + e_y) + b."""
    z, y, first = torch.randn(8, 10), torch.arange(8), {}
    for kind in ("none", "cat", "sum"):
        made = named("generator_a", conditioning=kind)
        inner = made if kind == "none" else made.generator
        inner.project.register_forward_hook(lambda _, i, out: first.update(found=out))
        assert made.z_dim == 10 and made(z, y).shape == (8, 1, 32, 32)
        told = z
        if kind != "none":
            e = made.embedding.weight[:8]
            told = z + e if kind == "sum" else torch.cat([z, e], 1)
        expected = told @ inner.project.weight.T + inner.project.bias
        torch.testing.assert_close(first["found"], expected)
    with pytest.raises(UserError, match="conditioning: 'add' .*cat, none, sum"):
        named("generator_a", conditioning="add")


# --- upsampling and convolution in one layer ------------------------------------------


@pytest.mark.parametrize(("c_in", "c_out", "size"), [(5, 4, (6, 7)), (1, 1, (1, 1))])
def test_phases_are_upsampling_and_convolution(c_in, c_out, size):
    """In double precision, to 12 digits, with the gradients and their gradients."""
    torch.manual_seed(0)
    layer = UpsampledConv2d(c_in, c_out).double()
    x = torch.randn(2, c_in, *size, dtype=torch.float64, requires_grad=True)
    larger = nn.Upsample(scale_factor=2)(x)
    plain = F.conv2d(larger, layer.weight, layer.bias, padding=1)
    weights, found = torch.randn_like(plain), []
    for y in (plain, layer(x)):
        loss = (y * weights).tanh().sum()
        inputs = [x, layer.weight, layer.bias]
        grads = torch.autograd.grad(loss, inputs, create_graph=True)
        again = torch.autograd.grad(sum(g.square().sum() for g in grads), inputs)
        found.append([y, *grads, *again])
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, atol=1e-11, rtol=1e-12)


# --- the plane ------------------------------------------------------------------------


@pytest.fixture
def moved():
    """A flow that is no identity any more, in double precision."""
    torch.manual_seed(0)
    flow = Flow().double()
    for coupling in flow.couplings:
        nn.init.normal_(coupling[-1].weight, 0, 0.2)
    return flow.requires_grad_(False)


def test_the_flow_is_invertible_and_starts_as_a_squashed_gaussian(moved):
    z = torch.randn(500, 2, dtype=torch.float64)
    x = moved(z, None)
    assert x.shape == (500, 2, 1, 1) and x.abs().max() < Flow.RADIUS
    torch.testing.assert_close(moved.inverse(x), z, atol=1e-8, rtol=0)
    expected = 3 * (0.6 * z.float()).tanh()
    torch.testing.assert_close(Flow()(z.float()).flatten(1), expected)


def test_the_flows_density_is_that_of_the_change_of_variables(moved):
    z = torch.randn(20, 2, dtype=torch.float64)
    for point, log_density in zip(z, moved.log_density(z), strict=True):
        at = lambda p: moved(p[None])[0, :, 0, 0]  # noqa: E731
        flat = torch.autograd.functional.jacobian(at, point)
        expected = -0.5 * point @ point - math.log(2 * math.pi) - flat.det().abs().log()
        assert log_density == pytest.approx(expected.item(), abs=1e-9)
    density = moved.log_density(moved.inverse(grid(401).double())).exp()
    assert density.mean() * (2 * Flow.RADIUS) ** 2 == pytest.approx(1, abs=2e-3)
