"""Chapter 2's closed forms against direct sums, quadrature and automatic differentiation; bends against a fine grid."""

import copy
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats
from torch import nn

from dfkd_lib import chords, theory
from dfkd_lib.errors import UserError
from dfkd_lib.losses import arvi
from dfkd_lib.models import MLP, GeneratorA, grid
from dfkd_lib.models.classifier import Classifier

SEEDS = st.integers(0, 2**32)
inside = st.floats(0.01, 0.99)
interior = st.floats(-0.99, 0.99)


def normal(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


# --- one function against its own chord ------------------------------------------------------------------------------


@given(st.floats(0, 1), st.floats(0, 1))
def test_tent_is_the_gap_of_a_unit_bend(lam, t):
    gap = lam * (1 - t) - max(lam - t, 0)
    assert theory.tent(np.array([lam]), np.array([t]))[0] == pytest.approx(gap, abs=1e-15)


@given(st.floats(0, 1), st.floats(-3, 3), st.floats(-3, 3))
def test_tent_is_the_kernel_of_smooth_functions(lam, a, b):
    """g(t) = sin(a t + b)."""
    t = (np.arange(20_000) + 0.5) / 20_000
    integral = (theory.tent(np.full_like(t, lam), t) * -(a**2) * np.sin(a * t + b)).mean()
    gap = lam * math.sin(a + b) + (1 - lam) * math.sin(b) - math.sin(a * lam + b)
    assert integral == pytest.approx(gap, abs=1e-7)


@given(st.integers(0, 12), SEEDS)
def test_bends_of_any_piecewise_affine_function_sum_to_its_gap(bends, seed):
    rng = np.random.default_rng(seed)
    t = np.sort(rng.uniform(size=bends))
    if bends and np.diff([0, *t, 1]).min() < 1e-6:
        return
    values = rng.normal(size=(bends + 2, 3))
    lam = rng.uniform(size=50)
    at = np.concatenate([[0.0], t, [1.0]])
    here = np.stack([np.interp(lam, at, column) for column in values.T], 1)
    gap = lam[:, None] * values[-1] + (1 - lam[:, None]) * values[0] - here
    changes = theory.slope_changes(t, values)
    # Slopes are differences over short intervals: their rounding is relative to the largest.
    np.testing.assert_allclose(theory.gap_of_bends(lam, t, changes), gap, atol=1e-13 * (1 + np.abs(changes).sum()))


@given(SEEDS, st.integers(1, 4))
def test_an_affine_function_has_no_gap_and_a_quadratic_its_curvature(seed, d):
    rng = np.random.default_rng(seed)
    x, z, b = rng.normal(size=(3, d))
    h = rng.normal(size=(d, d))
    h, lam = h + h.T, rng.uniform()

    def gap(f):
        return lam * f(x) + (1 - lam) * f(z) - f(lam * x + (1 - lam) * z)

    assert gap(lambda x: x @ b + 3) == pytest.approx(0, abs=1e-12)
    curvature = 0.5 * lam * (1 - lam) * (x - z) @ h @ (x - z)
    assert gap(lambda x: 0.5 * x @ h @ x + x @ b) == pytest.approx(curvature, abs=1e-10)


@given(st.floats(-3, 3), st.floats(-3, 3), st.floats(0, 1))
def test_the_rest_beyond_curvature_is_at_most_third_order(x, z, lam):
    """f(x) = x³, whose second derivative has the Lipschitz constant 6."""
    m = lam * x + (1 - lam) * z
    gap = lam * x**3 + (1 - lam) * z**3 - m**3
    rest = gap - 0.5 * lam * (1 - lam) * 6 * m * (x - z) ** 2
    assert abs(rest) <= lam * (1 - lam) * abs(x - z) ** 3 + 1e-10


@given(st.integers(1, 4), st.integers(0, 3), SEEDS)
def test_what_equation_6_makes_of_a_simplex_is_affine(d, beyond, seed):
    """A simplex's corners, and points each mixed from two others: the values are those of one affine map."""
    rng = np.random.default_rng(seed)
    points = [(p, v) for p, v in zip(rng.normal(size=(d + 1, d)), rng.normal(size=d + 1), strict=True)]
    corners = np.array([[*p, 1] for p, _ in points])
    if np.linalg.cond(corners) > 1e3:
        return
    affine = np.linalg.solve(corners, [v for _, v in points])
    for _ in range(10 + beyond):
        (p, v), (q, w) = (points[i] for i in rng.integers(len(points), size=2))
        lam = rng.uniform()
        points.append((lam * p + (1 - lam) * q, lam * v + (1 - lam) * w))
    for p, v in points:
        assert np.append(p, 1) @ affine == pytest.approx(v, abs=1e-9)


@given(st.floats(0.2, 20))
def test_moments_of_mixing_coefficients(a):
    law = stats.beta(a, a)
    first, second = (law.moment(1) - law.moment(2), law.moment(2) - 2 * law.moment(3) + law.moment(4))
    assert theory.mean_weight(a) == pytest.approx(first, rel=1e-7)
    assert theory.mean_square_weight(a) == pytest.approx(second, rel=1e-7)


def test_moments_of_the_uniform_distribution():
    assert theory.mean_weight(1.0) == pytest.approx(1 / 6)
    assert theory.mean_square_weight(1.0) == pytest.approx(1 / 30)


# --- a student against the teacher's chords --------------------------------------------------------------------------


def interval(m: float, lam: float) -> tuple[float, float]:
    """Where v = x − z may lie, given the mixture and λ, with x = m + (1 − λ)v and z = m − λv in [−1, 1]."""
    low = max((-1 - m) / (1 - lam), (m - 1) / lam)
    high = min((1 - m) / (1 - lam), (m + 1) / lam)
    return low, high


def over_lambda(m: float, f) -> float:
    """Over both sides of the corners, where the interval's ends change their formulas."""
    corners = sorted({0.0, (1 + m) / 2, (1 - m) / 2, 1.0})
    return sum(
        integrate.quad(lambda lam: f(lam, *interval(m, lam)), a, b)[0]
        for a, b in zip(corners, corners[1:], strict=False)
    )


@settings(max_examples=15)
@given(interior)
def test_mixture_density_by_quadrature(m):
    assert theory.mixture_density(np.array([m]))[0] == pytest.approx(
        over_lambda(m, lambda _, a, b: (b - a) / 4), rel=1e-6
    )


@settings(max_examples=15)
@given(interior)
def test_square_bias_by_quadrature(m):
    top = over_lambda(m, lambda lam, a, b: lam * (1 - lam) * (b**3 - a**3) / 3)
    assert theory.square_bias(np.array([m]))[0] == pytest.approx(top / over_lambda(m, lambda _, a, b: b - a), rel=1e-6)


def test_square_bias_at_its_top_and_in_the_mean():
    m = (np.arange(20_000) + 0.5) / 10_000 - 1
    bias, density = theory.square_bias(m), theory.mixture_density(m)
    assert bias.max() == pytest.approx((1 - math.log(2)) / (3 * math.log(2)), abs=1e-6)
    assert density.mean() * 2 == pytest.approx(1, abs=1e-6)
    assert (bias * density).mean() * 2 == pytest.approx(1 / 9, abs=1e-6)  # E[λ(1−λ)] E[(x − z)²] = 1/6 · 2/3


@given(SEEDS)
def test_the_best_student_of_chords_is_the_teacher_plus_its_mean_gap(seed):
    """Points on a line, at 0 … 4, and λ = ½: mixtures that several pairs share. Least squares by a table of means."""
    teacher = normal(seed, 9)  # at 0, ½, 1, …, 4
    pairs = np.random.default_rng(seed).integers(5, size=(200, 2))
    mixture = pairs.sum(1)  # its index in the table
    chord = teacher[2 * pairs].mean(1)
    student, *_ = np.linalg.lstsq(np.eye(9)[mixture], chord, rcond=None)
    gap = chord - teacher[mixture]
    for m in set(mixture):
        assert student[m] - teacher[m] == pytest.approx(gap[mixture == m].mean())
    lowest = sum(((gap - gap.mean()) ** 2).sum() for gap in (gap[mixture == m] for m in set(mixture)))
    assert ((student[mixture] - chord) ** 2).sum() == pytest.approx(lowest)


# --- what the regularisers push for ----------------------------------------------------------------------------------


@given(st.integers(2, 10), st.floats(0.1, 30), SEEDS)
def test_one_hot_gradient_and_what_it_does_to_margins(classes, size, seed):
    logits = torch.tensor(size * normal(seed, 4, classes), requires_grad=True)
    arvi.logit_activation(logits).backward()
    gradient = theory.one_hot_gradient(logits.detach().numpy())
    np.testing.assert_allclose(gradient, 4 * logits.grad.numpy(), atol=1e-12)
    top = logits.argmax(1)
    p = logits.detach().softmax(1).amax(1).numpy()
    norm = np.linalg.norm(gradient, axis=1)
    assert (norm <= math.sqrt(2) * (1 - p) + 1e-12).all() and (1 - p <= -np.log(p) + 1e-12).all()
    rates = gradient - gradient[range(4), top][:, None]  # of each margin, along minus the gradient
    assert (np.delete(rates, top[0], axis=1)[0] > -1e-12).all()


@given(st.integers(0, 1000))
def test_images_behind_a_batchnorm_are_no_longer_than_the_root_of_their_size(seed):
    torch.manual_seed(seed)
    x = GeneratorA(4, 1, 8, width=2).train()(10 * torch.randn(16, 4)).flatten(1)
    assert x.norm(dim=1).mean() <= math.sqrt(x.shape[1]) + 1e-4


# --- bends of a network ----------------------------------------------------------------------------------------------


def gap_and_sum(network, x, z, found):
    t = torch.cat(found).unique()
    ends = torch.tensor([0.0, 1.0], dtype=t.dtype)
    values = chords.along(network, x, z, torch.cat([ends[:1], t, ends[1:]])).numpy()
    lam = np.linspace(0.01, 0.99, 57)
    gap = lam[:, None] * values[-1] + (1 - lam[:, None]) * values[0]
    gap -= chords.along(network, x, z, torch.from_numpy(lam)).numpy()
    return gap, theory.gap_of_bends(lam, t.numpy(), theory.slope_changes(t.numpy(), values))


@pytest.mark.parametrize("seed", range(5))
def test_the_bends_of_a_random_mlp_are_all_there_is(seed):
    torch.manual_seed(seed)
    network = MLP(3).double().eval()
    x, z = 3 * torch.randn(2, 2, 1, 1, dtype=torch.float64)
    found = chords.bends(network, x, z)
    gap, summed = gap_and_sum(network, x, z, list(found.values()))
    np.testing.assert_allclose(summed, gap, atol=1e-12)
    assert all((t.diff() >= 0).all() and 0 < t.min() and t.max() < 1 for t in found.values() if len(t))
    for name, t in found.items():  # each unit changes its sign at most once in a layer's small step
        layer = int(name.split()[0])
        steps = torch.linspace(0, 1, 20_001, dtype=torch.float64)[:, None, None, None]
        with torch.no_grad():
            read = network.features[:layer](z + steps * (x - z)).flatten(1)
        assert (read[1:] * read[:-1] < 0).sum() == len(t)


def test_no_layer_of_lenet_may_be_left_out(digits, teacher):
    network = copy.deepcopy(teacher.network).double()
    x, z = torch.from_numpy(digits.normalise(digits.x_test[:2])).double()
    found = chords.bends(network, x, z)
    assert [name.split()[1] for name in found] == ["ReLU", "MaxPool", "ReLU", "MaxPool", "ReLU", "ReLU"]
    gap, summed = gap_and_sum(network, x, z, list(found.values()))
    np.testing.assert_allclose(summed, gap, atol=1e-11)
    for name in found:
        _, summed = gap_and_sum(network, x, z, [t for other, t in found.items() if other != name])
        assert np.abs(summed - gap).max() > 1e-8, name


@pytest.mark.parametrize(
    ("layer", "says"),
    [(nn.Tanh(), "Tanh"), (nn.MaxPool2d(3, stride=2), "overlap"), (nn.MaxPool2d(2, padding=1), "overlap")],
)
def test_what_cannot_be_followed_is_refused(layer, says):
    network = Classifier(nn.Sequential(nn.Conv2d(1, 2, 1), layer, nn.Flatten()), nn.Linear(2, 2), cuts=())
    with pytest.raises(UserError, match=says):
        chords.bends(network.double(), *torch.randn(2, 1, 4, 4, dtype=torch.float64))


@given(interior, interior, st.floats(0, 3.1))
def test_distance_to_a_straight_boundary(a, b, angle):
    points = grid(201).flatten(1).double().numpy()
    normal_ = np.array([math.cos(angle), math.sin(angle)])
    line = (points @ normal_ - 0.5).reshape(1, 201, 201)
    where = np.array([[a, b]])
    away = chords.distance_to_zeros(line, where, 3.0)[0]
    assert away == pytest.approx(abs(where[0] @ normal_ - 0.5), abs=2 * 6 / 201)


def test_the_nearest_of_several_boundaries_counts():
    line = np.linspace(-3, 3, 301)
    walls = np.stack([np.broadcast_to(line - at, (301, 301)) for at in (-1, 2)])
    away = chords.distance_to_zeros(walls, np.array([[-2.0, 0.0], [0.0, 0.0], [1.5, -2.0]]), 3.0)
    assert away == pytest.approx([1, 1, 0.5], abs=0.05)


def test_hidden_units_are_what_the_relus_read():
    torch.manual_seed(0)
    network, x = MLP(2, half=True).eval(), torch.randn(5, 2, 1, 1)
    first = network.features[0](x)
    with torch.no_grad():
        second = network.features[2](first.relu())
        expected = torch.cat([first, second], 1).flatten(1)
    assert torch.equal(chords.hidden_units(network, x), expected)


def test_a_function_without_zeros_is_infinitely_far_from_them():
    assert chords.distance_to_zeros(np.ones((1, 5, 5)), np.zeros((2, 2)), 3.0).tolist() == [np.inf, np.inf]


def test_bends_of_rounded_points_are_refused():
    with pytest.raises(UserError, match="float32 is not exact enough"):
        chords.bends(MLP(), *torch.zeros(2, 2, 1, 1))
