"""The rewritten layers compute what the layers that they replace compute."""

import copy

import pytest
import torch
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

from dfkd_lib.models import GeneratorA, GeneratorB, LeNet5, build
from dfkd_lib.models.fast_layers import quicken
from dfkd_lib.models.phases import (
    ConvFromSquares,
    LinearConv2d,
    PooledConv2d,
    SquaresBatchNorm2d,
    UpsampledConv2d,
    UpsampledToSquares,
    taps,
)

few = st.integers(1, 4)


def both_ways(slow: nn.Module, x: torch.Tensor) -> None:
    """The same maps, gradients of all parameters and of the input, and memory of them, in double precision."""
    slow, x = slow.double(), x.double()
    slow.zero_grad()
    fast = quicken(copy.deepcopy(slow))
    inputs = [x.clone().requires_grad_() for _ in range(2)]
    maps = [network(own) for network, own in zip((slow, fast), inputs, strict=True)]
    torch.testing.assert_close(maps[1], maps[0], rtol=1e-12, atol=1e-12)
    weights = torch.randn_like(maps[0])
    for y in maps:
        (y * weights).sum().backward()
    torch.testing.assert_close(inputs[1].grad, inputs[0].grad, rtol=1e-11, atol=1e-11)
    for (name, p), (other, q) in zip(slow.named_parameters(), fast.named_parameters(), strict=True):
        assert name == other
        torch.testing.assert_close(q.grad, p.grad, rtol=1e-10, atol=1e-10)
    assert list(slow.state_dict()) == list(fast.state_dict())
    for value, other in zip(slow.state_dict().values(), fast.state_dict().values(), strict=True):
        torch.testing.assert_close(other, value)
    assert len(list(slow.buffers())) == len(list(fast.buffers()))  # an EMA averages them side by side


@settings(max_examples=25, deadline=None)
@given(few, few, few, few, few, st.sampled_from([torch.contiguous_format, torch.channels_last]))
def test_upsampling_and_convolution_are_one(n, c_in, c_out, height, width, layout):
    pair = nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(c_in, c_out, 3, 1, 1))
    assert isinstance(quicken(copy.deepcopy(pair))[1], UpsampledConv2d)
    both_ways(pair, torch.randn(n, c_in, height, width).contiguous(memory_format=layout))


@settings(max_examples=25, deadline=None)
@given(few, few, few, few, few, st.sampled_from([5, 7]), st.booleans())
def test_convolution_and_pooling_are_one(n, c_in, c_out, height, width, kernel, odd):
    triple = nn.Sequential(nn.Conv2d(c_in, c_out, kernel), nn.ReLU(), nn.MaxPool2d(2))
    assert isinstance(quicken(copy.deepcopy(triple))[0], PooledConv2d)
    x = torch.randn(n, c_in, 2 * height + kernel - 1 + odd, 2 * width + kernel - 1)
    both_ways(triple, x)
    with torch.no_grad():
        torch.testing.assert_close(quicken(copy.deepcopy(triple))(x.double()), triple(x.double()))


@settings(max_examples=25, deadline=None)
@given(few, few, few, few, few, st.sampled_from([5, 9]), st.sampled_from([3, 5]), st.integers(0, 3), st.booleans())
def test_two_convolutions_with_pooling(n, c_in, c_mid, c_out, height, first, second, more, both):
    """The first one's maps reach the second one as squares; sides that do not divide by four lose a row."""
    layers = [nn.Conv2d(c_in, c_mid, first), nn.ReLU(), nn.MaxPool2d(2)]
    layers += [nn.Conv2d(c_mid, c_out, 5 if both else second), nn.ReLU(), nn.MaxPool2d(2)]
    fast = quicken(copy.deepcopy(nn.Sequential(*layers)))
    assert isinstance(fast[0], PooledConv2d) and isinstance(fast[3], PooledConv2d) == (both or second == 5)
    x = torch.randn(n, c_in, 4 * height + first + 11 + more, first + 16 + more)
    both_ways(nn.Sequential(*layers), x)
    with torch.no_grad():
        torch.testing.assert_close(fast.double()(x.double()), nn.Sequential(*layers).double()(x.double()))


@settings(max_examples=25, deadline=None)
@given(few, few, few, few, few, few, st.sampled_from([torch.contiguous_format, torch.channels_last]))
def test_doubling_convolution_normalisation_and_convolution(n, c_in, c_mid, c_out, height, width, layout):
    """On squares from one convolution to the next; in training, where a batch's moments count, and in evaluation."""
    layers = [nn.Upsample(scale_factor=2), nn.Conv2d(c_in, c_mid, 3, 1, 1), nn.BatchNorm2d(c_mid), nn.LeakyReLU(0.2)]
    slow = nn.Sequential(*layers, nn.Conv2d(c_mid, c_out, 3, 1, 1))
    nn.init.normal_(slow[2].weight), nn.init.normal_(slow[2].bias)
    kinds = [nn.Identity, UpsampledToSquares, SquaresBatchNorm2d, nn.LeakyReLU, ConvFromSquares]
    assert [type(layer) for layer in quicken(copy.deepcopy(slow))] == kinds
    x = torch.randn(n, c_in, height, width).contiguous(memory_format=layout)
    both_ways(slow, x)  # moves the running moments
    both_ways(slow.eval(), x)


def test_what_works_in_place_may_stand_behind():
    """The last convolution's maps are only a view, and so that convolution stays as it is."""
    layers = [nn.Upsample(scale_factor=2), nn.Conv2d(2, 3, 3, 1, 1), nn.BatchNorm2d(3), nn.LeakyReLU(0.2, inplace=True)]
    both_ways(nn.Sequential(*layers, nn.Conv2d(3, 2, 3, 1, 1), nn.ReLU(inplace=True)), torch.randn(2, 2, 4, 4))


@pytest.mark.parametrize("offset", [0.0, 3.0, 10.0])
def test_normalising_squares_rounds_no_more_than_torchs_own(offset):
    """Gradients in bfloat16, against those of the same numbers in double precision."""
    norm = nn.BatchNorm2d(8)
    nn.init.normal_(norm.weight)
    squares = SquaresBatchNorm2d(copy.deepcopy(norm))
    x, grad = (torch.randn(16, 32, 16, 16).contiguous(memory_format=torch.channels_last) for _ in range(2))
    x, grad = (x + offset).bfloat16(), grad.bfloat16()

    def maps(of_squares: torch.Tensor) -> torch.Tensor:
        return of_squares.unflatten(1, (4, 8)).transpose(1, 2).flatten(2, 3)

    exact, own, fast = (x.to(dtype).requires_grad_() for dtype in (torch.float64, torch.bfloat16, torch.bfloat16))
    copy.deepcopy(norm).double()(maps(exact)).backward(maps(grad).double())
    norm(maps(own)).backward(maps(grad))
    squares(fast).backward(grad)
    error = {id(z): float((z.grad.double() - exact.grad).norm()) for z in (own, fast)}
    assert error[id(fast)] < 2.5 * error[id(own)]


def test_a_plain_mean_over_batches():
    """Momentum None, as where statistics are estimated anew."""
    layers = [
        nn.Upsample(scale_factor=2),
        nn.Conv2d(2, 3, 3, 1, 1),
        nn.BatchNorm2d(3, momentum=None),
        nn.LeakyReLU(0.2),
    ]
    slow = nn.Sequential(*layers, nn.Conv2d(3, 1, 3, 1, 1)).double()
    fast = quicken(copy.deepcopy(slow))
    for x in torch.randn(3, 4, 2, 4, 4, dtype=torch.float64):
        slow(x), fast(x)
    torch.testing.assert_close(fast.state_dict(), slow.state_dict(), rtol=1e-12, atol=1e-12)


def test_where_taps_fall_by_hand():
    """Squares of two pixels, and a kernel of three from the pixel before: pixel 0 reads −1, 0, 1, and pixel 1 reads 0,
    1, 2. Pixel −1 is phase 1 of square −1, and pixel 2 phase 0 of square 1.
    """
    assert taps(2, 3, padding=1)[0].tolist() == [[[0, 0, 0], [0, 1, 0], [0, 0, 0]], [[1, 0, 0], [0, 0, 1], [0, 0, 0]]]
    assert taps(2, 3, padding=1)[1].tolist() == [[[0, 0, 0], [1, 0, 0], [0, 0, 1]], [[0, 0, 0], [0, 1, 0], [0, 0, 0]]]


def test_kernels_by_hand():
    """One row of a kernel that reads 1, 10, 100 pixels of the large grid."""
    convolution = nn.Conv2d(1, 1, 3, 1, 1)
    convolution.weight.data.zero_()[0, 0, 1] = torch.tensor([1.0, 10, 100])
    # The middle row falls on tap 1 of upper phases, on tap 0 of lower ones.
    phases = UpsampledConv2d(convolution).kernels()
    assert phases[0, 0].tolist() == [[0, 0], [1, 110]] and phases[1, 0].tolist() == [[0, 0], [11, 100]]
    assert phases[2, 0].tolist() == [[1, 110], [0, 0]] and phases[3, 0].tolist() == [[11, 100], [0, 0]]


def test_of_equal_pixels_the_first_one_gets_the_gradient():
    """Images of one colour: every square of maps is a tie."""
    slow = nn.Sequential(nn.Conv2d(1, 3, 5), nn.ReLU(), nn.MaxPool2d(2))
    with torch.no_grad():
        slow[0].weight.copy_(torch.tensor([1.0, 2, 3]).view(3, 1, 1, 1).expand(3, 1, 5, 5))
    both_ways(slow, torch.ones(2, 1, 8, 8))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_ties_within_and_between_rows(layout):
    """Whole numbers: many squares have two or three largest, through both layers; and of a copy of the network."""
    for seed in range(10):
        torch.manual_seed(seed)
        layers = [nn.Conv2d(1, 3, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(3, 2, 5), nn.ReLU(), nn.MaxPool2d(2)]
        for layer in (layers[0], layers[3]):
            layer.weight.data = torch.randint(-1, 2, layer.weight.shape).float()
        x = torch.randint(0, 2, (3, 1, 32, 32)).float().contiguous(memory_format=layout)
        both_ways(nn.Sequential(*copy.deepcopy(layers)), x)
        fast = quicken(nn.Sequential(*layers))
        torch.testing.assert_close(copy.deepcopy(fast)(x), fast(x))


def test_there_are_no_second_derivatives():
    """And no wrong ones."""
    for network, x in ((LeNet5(), torch.randn(2, 1, 32, 32)), (GeneratorA(7, 1, 16, width=4), torch.randn(5, 7))):
        x.requires_grad_()
        (first,) = torch.autograd.grad(quicken(network)(x).square().sum(), x, create_graph=True)
        with pytest.raises(RuntimeError, match="once_differentiable"):
            first.sum().backward()


@pytest.mark.parametrize(
    "layers",
    [
        [nn.Upsample(scale_factor=2, mode="bilinear"), nn.Conv2d(2, 2, 3, 1, 1)],
        [nn.Upsample(scale_factor=3), nn.Conv2d(2, 2, 3, 1, 1)],
        [nn.Upsample(scale_factor=2), nn.Conv2d(2, 2, 3)],
        [nn.Upsample(scale_factor=2), nn.Conv2d(2, 2, 3, 1, 1, bias=False)],
        [nn.Upsample(scale_factor=2), nn.Conv2d(2, 2, 3, 1, 1, groups=2)],
        [nn.Upsample(scale_factor=2), nn.Conv2d(2, 2, 3, 1, 1, padding_mode="reflect")],
        [nn.Upsample(scale_factor=2), nn.Conv2d(2, 2, 3, 1, 1), nn.ReLU(inplace=True)],
        [nn.Upsample(), nn.Conv2d(2, 2, 3, 1, 1), nn.BatchNorm2d(2), nn.LeakyReLU(), nn.Conv2d(2, 2, 3, 1, 1)],
        [nn.Upsample(scale_factor=2), spectral_norm(nn.Conv2d(2, 2, 3, 1, 1))],
        [nn.Conv2d(2, 2, 5, padding=1), nn.ReLU(), nn.MaxPool2d(2)],
        [nn.Conv2d(2, 2, 6), nn.ReLU(), nn.MaxPool2d(2)],
        [nn.Conv2d(2, 2, 3), nn.ReLU(), nn.MaxPool2d(2)],  # no gain
        [nn.Conv2d(16, 2, 5), nn.ReLU(), nn.MaxPool2d(2)],  # no gain
        [nn.Conv2d(2, 2, 5), nn.BatchNorm2d(2), nn.MaxPool2d(2)],
        [nn.Conv2d(2, 2, 5), nn.ReLU(inplace=True), nn.MaxPool2d(2)],
        [nn.Conv2d(2, 2, 5), nn.ReLU(), nn.MaxPool2d(2, stride=1)],
        [nn.Conv2d(2, 2, 5), nn.ReLU(), nn.MaxPool2d(2, padding=1)],
        [nn.Conv2d(2, 2, 5), nn.ReLU(), nn.MaxPool2d(2, dilation=2)],
        [nn.Conv2d(2, 2, 5), nn.ReLU(), nn.MaxPool2d(2, ceil_mode=True)],
        [nn.Conv2d(2, 2, 5), nn.ReLU(), nn.MaxPool2d(3)],
        [nn.Conv2d(2, 2, 5, padding=1), nn.ReLU(), nn.Flatten()],
        [nn.Conv2d(2, 2, 5, stride=2), nn.ReLU(), nn.Flatten()],
        [nn.Conv2d(2, 2, 5), nn.ReLU(), nn.Conv2d(2, 2, 5)],
    ],
)
def test_other_layers_are_left_alone(layers):
    before = [type(layer) for layer in layers]
    assert [type(layer) for layer in quicken(nn.Sequential(*layers))] == before


@pytest.mark.parametrize("half", [False, True])
def test_lenet(half):
    both_ways(LeNet5(half=half), torch.randn(3, 1, 32, 32))
    fast = [type(m) for m in quicken(LeNet5(half=half)).features]
    assert [fast.count(kind) for kind in (PooledConv2d, LinearConv2d, nn.Conv2d)] == [2, 1, 0]


def test_a_kernel_smaller_than_its_maps_stays_a_convolution():
    both_ways(nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU(), nn.Flatten()), torch.randn(4, 2, 5, 3))


@pytest.mark.parametrize(
    "norm", [nn.BatchNorm2d(3, affine=False), nn.BatchNorm2d(3, track_running_stats=False), nn.InstanceNorm2d(3)]
)
def test_other_normalisations_are_left_alone(norm):
    layers = [nn.Upsample(scale_factor=2), nn.Conv2d(2, 3, 3, 1, 1), norm, nn.LeakyReLU(), nn.Conv2d(3, 1, 3, 1, 1)]
    fast = quicken(nn.Sequential(*layers))
    assert isinstance(fast[1], UpsampledConv2d) and fast[2] is norm


@pytest.mark.parametrize(("width", "squares"), [(4, 1), (15, 1), (16, 0)])
def test_generator_a(width, squares):
    """Where maps are few they stay squares until the last convolution."""
    both_ways(GeneratorA(7, 3, 16, width=width), torch.randn(5, 7))
    kinds = [type(m) for m in quicken(GeneratorA(7, 3, 16, width=width)).layers]
    assert kinds.count(UpsampledToSquares) == kinds.count(ConvFromSquares) == squares
    assert kinds.count(UpsampledToSquares) + kinds.count(UpsampledConv2d) == 2


def test_a_network_without_such_layers_stays_as_it_is():
    for network in (GeneratorB(7, 3, 16, width=4), build("wrn16_2", 10), torchvision.models.mobilenet_v2()):
        before = [type(m) for m in network.modules()]
        assert [type(m) for m in quicken(network).modules()] == before
