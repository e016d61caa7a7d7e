"""Generators are the papers' in size, keep to the input space they promise, and show their output unsquashed."""

import pytest
import torch
from torch import nn

from dfkd_lib.errors import UserError
from dfkd_lib.flops import parameters
from dfkd_lib.models import (
    ConditionalGenerator,
    GeneratorA,
    GeneratorB,
    MADGenerator,
    MADResNetGenerator,
    conditioned,
)

# name → (constructor from the number of inputs, channels, size)
GENERATORS = {
    "generator_a": (lambda z: GeneratorA(z, 1, width=4), 1, 32),
    "generator_a_colour": (lambda z: GeneratorA(z, 3, width=4), 3, 32),
    "generator_b": (lambda z: GeneratorB(z, 3, 32, width=4), 3, 32),
    "generator_b_code": (lambda z: GeneratorB(z, 3, 32, width=4, public_code=True), 3, 32),
    "mad_cifar": (lambda z: MADGenerator(z), 3, 32),
    "mad_tiny_imagenet": (lambda z: MADGenerator(z, size=64), 3, 64),
    "mad_imagenet": (lambda z: MADResNetGenerator(z, size=64), 3, 64),
}
NORMALISED = sorted(set(GENERATORS) - {"generator_b", "generator_b_code"})


def make(name: str, z_dim: int = 10) -> nn.Module:
    torch.manual_seed(0)
    return GENERATORS[name][0](z_dim)


@pytest.mark.parametrize(
    ("build", "count"),
    [
        (lambda: GeneratorA(100, 1), 1_049_985),
        (lambda: GeneratorA(256, 3), 2_329_091),
        (lambda: GeneratorB(256), 12_333_635),
        (lambda: GeneratorB(256, public_code=True), 11_243_203),
        # MAD Table 8 with its misprints mended: the sums of its own layers
        (lambda: MADGenerator(256), 1_635_235),
        (lambda: MADGenerator(256, size=64), 4_793_251),
        (lambda: MADResNetGenerator(256), 9_367_203),
    ],
)
def test_parameters(build, count):
    with torch.device("meta"):
        assert parameters(build()) == count


@pytest.mark.parametrize(("build", "size"), [(lambda: GeneratorB(256), 128), (lambda: MADResNetGenerator(256), 256)])
def test_large_images(build, size):
    with torch.device("meta"):
        assert build()(torch.zeros(2, 256)).shape == (2, 3, size, size)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: GeneratorA(10, 1, size=30), "size: 30 .*Generator-A.* divide by 4; give 28 or 32"),
        (lambda: GeneratorB(10, size=100), "size: 100 .*Generator-B.* divide by 16; give 96 or 112"),
        (lambda: MADGenerator(10, size=28), "size: 28 .*MAD's generator.* divide by 8; give 24 or 32"),
        (lambda: MADResNetGenerator(10, size=32), "size: 32 .*residual.* divide by 64; give 64 or 128"),
        (lambda: GeneratorA(10, 1, size=0), "size: 0 .*give 4 or 8"),
    ],
)
def test_sizes_that_cannot_be_made_are_an_error(build, message):
    with pytest.raises(UserError, match=message):
        build()


def test_names_of_trained_weights_have_not_changed():
    names = list(make("generator_a").state_dict())
    assert names[:3] == ["project.weight", "project.bias", "layers.0.weight"]
    assert names[-1] == "layers.11.num_batches_tracked"
    told = list(ConditionalGenerator(make("mad_cifar"), 10).state_dict())
    assert told[0] == "generator.project.weight" and told[-1] == "embedding.weight"


@pytest.mark.parametrize("name", GENERATORS)
@pytest.mark.parametrize("train", [False, True])
def test_images(name, train):
    _, channels, size = GENERATORS[name]
    x = make(name).train(train)(torch.randn(8, 10))
    assert x.shape == (8, channels, size, size)
    assert x.isfinite().all()


@pytest.mark.parametrize("name", NORMALISED)
def test_images_are_normalised(name):
    x = make(name).train()(torch.randn(16, 10))
    torch.testing.assert_close(x.mean((0, 2, 3)), torch.zeros(x.shape[1]), atol=1e-4, rtol=0)
    torch.testing.assert_close(x.var((0, 2, 3)), torch.ones(x.shape[1]), atol=0.01, rtol=0)
    assert x.flatten(1).std(0).mean() > 0.1  # different noise, different images


@pytest.mark.parametrize("name", ["generator_b", "generator_b_code"])
def test_generator_b_ends_in_tanh(name):
    """DFAD Table 4: no BatchNorm behind it. And its start is DCGAN's, far below torch's own."""
    generator = make(name)
    assert torch.equal(generator(z := torch.randn(8, 10)), generator.logits(z).tanh())
    for layer in generator.modules():
        if isinstance(layer, nn.Linear | nn.ConvTranspose2d):
            assert layer.weight.detach().std() == pytest.approx(0.02, rel=0.1)
        if isinstance(layer, nn.BatchNorm2d):
            assert 0 < (layer.weight.detach() - 1).abs().max() < 0.1
    assert generator.project.bias.abs().max() == 0


@pytest.mark.parametrize("name", GENERATORS)
@pytest.mark.parametrize("train", [False, True])
def test_logits_squashed_are_the_images(name, train):
    """Bit for bit; and logits are what enters Tanh, unbounded (MAD Eq. 11)."""
    generator, z = make(name).train(train), torch.randn(8, 10)
    x = generator.layers(generator.project(z).unflatten(1, generator.grid))
    assert torch.equal(generator(z), x)
    (tanh,) = (m for m in generator.modules() if isinstance(m, nn.Tanh))
    entered = []
    tanh.register_forward_pre_hook(lambda _, inputs: entered.append(inputs[0]))
    logits = generator.logits(z)
    assert entered == []
    assert torch.equal(generator.squash(logits), x)
    assert len(entered) == 1 and entered[0] is logits


@pytest.mark.parametrize("name", GENERATORS)
def test_gradients_reach_every_parameter(name):
    generator = make(name).eval()
    x = generator(torch.randn(8, 10))
    x.mul(torch.randn_like(x)).sum().backward()
    assert [n for n, p in generator.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0] == []


@pytest.mark.parametrize("name", GENERATORS)
def test_runs_in_bfloat16_and_channels_last(name):
    generator = make(name).train().to(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16):
        x = generator(torch.randn(8, 10))
    x.float().pow(3).sum().backward()
    assert x.isfinite().all()
    assert all(p.grad.isfinite().all() for p in generator.parameters())


def test_mads_generators_enlarge_as_torchs_bilinear_layer_does():
    """MAD Table 8: by 2 each time, with corners kept, as UpsamplingBilinear2d does and plain Upsample does not."""
    for name, times in (("mad_cifar", 3), ("mad_imagenet", 6)):
        layers = [m for m in make(name).modules() if isinstance(m, nn.Upsample)]
        assert [type(layer) for layer in layers] == times * [nn.UpsamplingBilinear2d]
        x = torch.arange(4.0).reshape(1, 1, 1, 4).expand(1, 1, 4, 4).contiguous()
        for layer in layers:
            torch.testing.assert_close(layer(x)[0, 0, 0], torch.linspace(0, 3, 8))


def test_mads_residual_blocks_add_their_shortcut():
    """Seven blocks, one per size and one more at the largest, whose BatchNorms forget slowly (MAD Table 8c)."""
    blocks = [m for m in make("mad_imagenet").eval().modules() if hasattr(m, "shortcut")]
    assert [b.convolutions[0].out_channels for b in blocks] == [512, 256, 128, 64, 32, 16, 16]
    assert [isinstance(b.shortcut, nn.Identity) for b in blocks] == [True, *5 * [False], True]
    for block in blocks:
        assert block.convolutions[2].momentum == block.convolutions[5].momentum == 0.01
        x = torch.randn(2, block.convolutions[0].in_channels, 4, 4)
        torch.testing.assert_close(block(x) - block.convolutions(x), block.shortcut(x), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", GENERATORS)
def test_a_conditional_generator_adds_its_class_to_the_noise(name):
    generator = ConditionalGenerator(make(name), 10)
    z, y = torch.randn(8, 10), torch.arange(8)
    told = z + generator.embedding.weight[:8]
    assert torch.equal(generator(z, y), generator.generator(told))
    assert torch.equal(generator.logits(z, y), generator.generator.logits(told))
    assert torch.equal(generator.squash(generator.logits(z, y)), generator(z, y))


def test_a_conditional_generator_learns_only_the_classes_it_is_told():
    generator = ConditionalGenerator(make("generator_a"), 10)
    generator(torch.randn(4, 10), torch.tensor([2, 7, 7, 3])).square().mul(torch.randn(32)).sum().backward()
    reached = generator.embedding.weight.grad.abs().sum(1) > 0
    assert reached.nonzero().flatten().tolist() == [2, 3, 7]


def test_the_three_kinds_differ_in_the_first_layer_only():
    """MAD Appendix B.3: W z + b, W_z z + W_y e_y + b, and W(z + e_y) + b."""
    z, y = torch.randn(8, 10), torch.arange(8)
    made = {kind: conditioned(kind, lambda d: make("generator_a", d), 10, 10) for kind in ("none", "cat", "sum")}
    first = {}
    for kind, generator in made.items():
        project = generator.project if kind == "none" else generator.generator.project
        project.register_forward_hook(lambda _, i, output, kind=kind: first.__setitem__(kind, output))
        assert generator.z_dim == 10
        assert generator(*((z,) if kind == "none" else (z, y))).shape == (8, 1, 32, 32)
    w, b = made["none"].project.weight, made["none"].project.bias
    torch.testing.assert_close(first["none"], z @ w.T + b)
    w, b, e = made["sum"].generator.project.weight, made["sum"].generator.project.bias, made["sum"].embedding.weight[:8]
    torch.testing.assert_close(first["sum"], (z + e) @ w.T + b)
    w, b, e = made["cat"].generator.project.weight, made["cat"].generator.project.bias, made["cat"].embedding.weight[:8]
    assert e.shape == (8, 10)
    torch.testing.assert_close(first["cat"], z @ w[:, :10].T + e @ w[:, 10:].T + b)


def test_conditioning_that_is_not_known_is_an_error():
    with pytest.raises(UserError, match="conditioning: 'add' .*cat, none, sum"):
        conditioned("add", lambda d: make("generator_a", d), 10, 10)
    with pytest.raises(UserError, match="conditioning: 'none' .*cat, sum"):
        ConditionalGenerator(make("generator_a"), 10, "none")
    with pytest.raises(UserError, match="conditioning: cat .*11 inputs"):
        ConditionalGenerator(make("generator_a", 11), 10, "cat")
