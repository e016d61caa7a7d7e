"""Every formula against plain NumPy, and its gradient against finite differences."""

import itertools
import math

import numpy as np
import pytest
import torch
from torch import nn

from dfkd_lib import losses, theory
from dfkd_lib.methods import (
    EMA,
    Memory,
    State,
    Task,
    arvi,
    deepinversion,
    dfad,
    features,
    hidfd,
    hidfd_maps,
    hidfd_students,
    mad,
)
from dfkd_lib.models import build

# --- plain NumPy ----------------------------------------------------------------------


def softmax(x):
    e = np.exp(x - x.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def kl_of(p, q):
    return (p * (np.log(p) - np.log(q))).sum(1).mean()


def kl(t, s):
    return kl_of(softmax(t), softmax(s))


def js(t, s):
    p, q = softmax(t), softmax(s)
    return (kl_of(p, (p + q) / 2) + kl_of(q, (p + q) / 2)) / 2


def cross_entropy(x, y):
    return -np.log(softmax(x)[np.arange(len(y)), y]).mean()


def norms(x):
    """‖·‖₂ of each image."""
    return np.sqrt((x.reshape(len(x), -1) ** 2).sum(1))


def unit(x):
    return x.reshape(len(x), -1) / norms(x)[:, None]


def sigmoid(u):
    return 1 / (1 + np.exp(-u))


def mixed(x, z, lam):
    return np.stack([w * a + (1 - w) * b for w, a, b in zip(lam, x, z, strict=True)])


def split(x, y):
    """(p_y, 1 − p_y), and the probabilities among the other classes."""
    p = softmax(x)
    others = np.array([np.delete(row, c) for row, c in zip(p, y, strict=True)])
    rest = others.sum(1)
    return np.stack([p[np.arange(len(y)), y], rest], 1), others / rest[:, None]


def dkd(t, s, y, temperature, alpha, beta):
    (b_t, q_t), (b_s, q_s) = split(t / temperature, y), split(s / temperature, y)
    return temperature**2 * (alpha * kl_of(b_t, b_s) + beta * kl_of(q_t, q_s))


def nkd(t, s, y):
    (b_t, q_t), (b_s, q_s) = split(t, y), split(s, y)
    return -(b_t * np.log(b_s))[:, 0].mean() - 1.5 * (q_t * np.log(q_s)).sum(1).mean()


def ofa(t, s, y, temperature, gamma):
    """One-hot and teacher, each with its own cross entropy, where γ = 1."""
    p, total = softmax(t / temperature), 0.0
    for row, log_q, c in zip(p, np.log(softmax(s / temperature)), y, strict=True):
        total -= (1 + row[c]) ** gamma * log_q[c]
        total -= sum(row[k] * log_q[k] for k in range(len(row)) if k != c)
    return total / len(y)


def attention(queries, keys):
    """Image by image: cosines of each query with every key, through a softmax."""
    return np.stack([softmax(unit(q) @ unit(k).T)
                     for q, k in zip(queries, keys, strict=True)])  # fmt: skip


def cells(maps):
    """2×2 means; of an odd side, both halves have the middle."""
    (h, w), halves = maps.shape[2:], range(2)
    part = [[maps[:, :, i * h // 2 : -(-(i + 1) * h // 2),
                  j * w // 2 : -(-(j + 1) * w // 2)].mean((2, 3)) for j in halves]
            for i in halves]  # fmt: skip
    return np.array(part)


def total_variation(x):
    """Each pixel and its neighbours to the right and below, pair by pair."""
    height, width, total = *x.shape[2:], 0.0
    for down, right in ((0, 1), (1, 0), (1, 1), (1, -1)):
        squares = [
            ((x[:, :, i + down, j + right] - x[:, :, i, j]) ** 2).sum()
            for i, j in itertools.product(range(height), range(width))
            if i + down < height and 0 <= j + right < width
        ]
        total += np.sqrt(sum(squares))
    return total


def kernel(f):
    """exp(−0.4‖f_i − f_j‖²) for unit f, its series in the cosine cut after order 2."""
    c = 0.8 * unit(f) @ unit(f).T
    return np.exp(-0.8) * sum(c**p / math.factorial(p) for p in range(3))


def relative_distances(f):
    d = np.array([[np.sqrt(((a - b) ** 2).sum()) for b in f] for a in f])
    return d / d[~np.eye(len(f), dtype=bool)].mean()


def cosines(f):
    made = np.zeros((len(f),) * 3)
    for i, j, k in itertools.product(range(len(f)), repeat=3):
        if i not in (j, k):
            a, b = f[j] - f[i], f[k] - f[i]
            made[i, j, k] = a @ b / np.sqrt((a @ a) * (b @ b))
    return made


def huber(r):
    return np.where(np.abs(r) < 1, r**2 / 2, np.abs(r) - 0.5).mean()


def class_discriminator(real, y, fake, z):
    return cross_entropy(real, y) + cross_entropy(fake, z + fake.shape[1] // 2)


def class_generator(fake, y):
    return cross_entropy(fake, y) - cross_entropy(fake, y + fake.shape[1] // 2)


def regulariser(t, frequencies):
    p = softmax(t).mean(0)
    return (p * np.log(p) / frequencies).sum()


REAL = {"hinge": lambda u: np.maximum(1 - u, 0)}
FAKE = {"hinge": lambda u: np.maximum(1 + u, 0)}
MAKES = {
    "log": lambda u: np.log(1 - sigmoid(u)),
    "non_saturating": lambda u: -np.log(sigmoid(u)),
    "hinge": lambda u: -u,
}


def judged(form):
    """NumPy's loss of a discriminator on real and fake images."""
    real = REAL.get(form, lambda u: -np.log(sigmoid(u)))
    fake = FAKE.get(form, lambda u: -np.log(1 - sigmoid(u)))
    return lambda r, f: real(r).mean() + fake(f).mean()


def at(loss, *constants):
    """The loss at these last arguments."""
    return lambda *inputs: loss(*inputs, *constants)


# Of each formula: the library's, NumPy's, and its inputs. An input "n c" is normal, of
# shape (n, c); "n:c" are labels below c, "n%" lies in (0, 1), "c+" above 0.1.
PAIR = ("n c", "n c")
MAPS = ("n c h w", "n c h w")
FOUR = ("n w",) * 4
# fmt: off
FORMULAS = {
    "mae": (losses.mae, lambda t, s: np.abs(t - s).mean(), PAIR),
    "mse": (losses.mse, lambda t, s: ((t - s) ** 2).mean(), PAIR),
    "mse_mae": (losses.mse_mae,
        lambda t, s: ((t - s) ** 2).mean() + np.abs(t - s).mean(),
        MAPS),  # of segmentation, too
    "log_mae": (dfad.log_mae, lambda t, s: np.log(1 + np.abs(t - s).mean()), PAIR),
    "kl": (losses.kl, kl, PAIR),
    "kd": (at(losses.kd, 4.0), lambda t, s: 16 * kl(t / 4, s / 4), PAIR),
    "js": (losses.js, js, PAIR),
    "one_hot": (losses.one_hot, lambda t: cross_entropy(t, t.argmax(1)), PAIR[:1]),
    "activation": (losses.activation,
        lambda f: -np.mean([np.abs(image).sum() for image in f]), MAPS[:1]),
    "log_class_share": (losses.log_class_share, lambda t: np.log(softmax(t).mean(0)),
        PAIR[:1]),
    "information_entropy": (losses.information_entropy,
        lambda t: (softmax(t).mean(0) * np.log(softmax(t).mean(0))).sum(), PAIR[:1]),
    "unit": (losses.unit, unit, PAIR[:1]),
    "distance": (losses.distance, lambda a, b: norms(a - b), PAIR),
    # AR+VI
    "mixup": (arvi.mixup, mixed, (*MAPS, "n%")),
    "chord": (arvi.chord, mixed, (*PAIR, "n%")),

    # the chord is the target: KL's first argument
    "interpolation": (at(arvi.interpolation, losses.kl),
        lambda x, z, m, lam: kl(mixed(x, z, lam), m), ("n c", "n c", "n c", "n%")),
    # MAD
    "nll": (mad.nll, cross_entropy, ("n c", "n:c")),
    "embedding_norm": (at(mad.embedding_norm, 0.7),
        lambda e: np.maximum(norms(e) - 0.7 * np.sqrt(e.shape[1]), 0).mean(), PAIR[:1]),
    "logit_bound": (at(mad.logit_bound, 0.5),
        lambda x: np.maximum(np.abs(x) - 0.5, 0).mean(), MAPS[:1]),
    # DeepInversion
    "total_variation": (deepinversion.total_variation, total_variation, MAPS[:1]),
    # AT and FT
    "attention_map": (features.attention_map, lambda x: unit((x**2).sum(1)), MAPS[:1]),
    "factor_gap": (features.factor_gap, lambda t, s: np.abs(unit(t) - unit(s)).mean(),
        MAPS),
    # HiDFD
    **{f"gan_discriminator, {form}": (at(hidfd.gan_discriminator, form), judged(form),
        ("n", "m")) for form in MAKES},
    **{f"gan_generator, {form}": (at(hidfd.gan_generator, form),
        lambda u, makes=makes: makes(u).mean(), ("n",)) for form, makes in MAKES.items()},
    "class_discriminator": (hidfd.class_discriminator, class_discriminator,
        ("n 2c", "n:c", "m 2c", "m:c")),
    "class_generator": (hidfd.class_generator, class_generator, ("n 2c", "n:c")),
    "blend": (hidfd.blend,
        lambda tr, tf, dr, df, g: (g * (norms(tr - df) + norms(tf - dr))).mean(),
        (*FOUR, "n%")),
    "transfer": (hidfd.transfer,
        lambda tr, tf, dr, df: (norms(tr - dr) + norms(tf - df)).mean(), FOUR),
    "smoothed_counts": (at(hidfd.smoothed_counts, 0.3),
        lambda old, new: 0.7 * old + 0.3 * new, ("c+", "c+")),
    "class_frequencies": (at(hidfd.class_frequencies, 0.9),
        lambda n: np.maximum(n / n.sum(), 0.9 / len(n)), ("c+",)),
    "frequency_regulariser": (hidfd.frequency_regulariser, regulariser, ("n c", "c+")),
    # HiDFD's students
    "alignment": (hidfd_students.alignment, lambda t, s: norms(t - s).mean(),
        ("n w", "n w")),
    "dkd": (at(hidfd_students.dkd, 4.0, 0.7, 3.0), at(dkd, 4.0, 0.7, 3.0),
        (*PAIR, "n:c")),
    "nkd": (hidfd_students.nkd, nkd, (*PAIR, "n:c")),
    "cc": (hidfd_students.cc, lambda t, s: ((kernel(t) - kernel(s)) ** 2).mean(),
        ("n v", "n w")),
    "rkd_distance": (hidfd_students.rkd_distance,
        lambda t, s: huber(relative_distances(s) - relative_distances(t)),
        ("n v", "n w")),
    "rkd_angle": (hidfd_students.rkd_angle, lambda t, s: huber(cosines(s) - cosines(t)),
        ("n v", "n w")),
    "ofa": (at(hidfd_maps.ofa, 2.0, 1.7), at(ofa, 2.0, 1.7), (*PAIR, "n:c")),
    "similarities": (hidfd_maps.similarities,
        lambda x: np.array([[(a * b).sum() for b in x] for a in x]), MAPS[:1]),
    "attention": (hidfd_maps.attention, attention, ("n v w", "n c w")),
    "class_maps": (hidfd_maps.class_maps,
        lambda x, w: np.stack([(x * row[:, None, None]).sum(1) for row in w], 1),
        ("n c h w", "v c")),
    "cat": (hidfd_maps.cat, lambda t, s: ((cells(t) - cells(s)) ** 2).mean(),
        ("n c h w", "n c w h")),
}
# fmt: on
formulas = pytest.mark.parametrize("name", FORMULAS)


def drawn(shapes, seed, scale=1.0):
    """Inputs of these shapes, of sizes from 3 to 5 that the seed decides."""
    random = np.random.default_rng(seed)
    sizes = {name: random.integers(3, 6) for name in "nmcvwh"}
    sizes["2c"], made = 2 * sizes["c"], []
    for shape in shapes:
        size = [sizes[name] for name in shape.split(":")[0].rstrip("%+").split()]
        if ":" in shape:
            made.append(random.integers(sizes["c"], size=size))
        elif shape[-1] in "%+":
            made.append(random.uniform(0.1, 0.9 if shape[-1] == "%" else 9, size=size))
        else:
            made.append(scale * random.normal(size=size))
    return made


def tensors(*arrays):
    return [torch.from_numpy(np.asarray(array)) for array in arrays]


@formulas
def test_its_value_and_its_gradient_are_right(name):
    """The gradient by every real input: central differences, at a random point."""
    loss, reference, shapes = FORMULAS[name]
    for seed, scale in itertools.product(range(3), (0.1, 1.0, 6.0)):
        inputs = drawn(shapes, seed, scale)
        found, wanted = loss(*tensors(*inputs)).numpy(), reference(*inputs)
        np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-10)
    inputs = tensors(*drawn(shapes, 7, 0.6))
    points = [x.requires_grad_(x.is_floating_point()) for x in inputs]
    assert torch.autograd.gradcheck(loss, points, atol=1e-6, rtol=1e-4)


SURE = 1e4 * torch.eye(3, 4)  # logits of a network that is sure of itself


def test_all_are_finite_for_sure_and_opposite_answers():
    """In float32, with their gradients."""
    given = {"n c": [SURE, -SURE, SURE], "n": [SURE[0]], "m": [-SURE[0]]}
    given |= {"n:c": [torch.tensor([0, 1, 3])], "n%": [torch.tensor([0.0, 0.5, 1.0])]}
    given |= {"c+": [torch.full((4,), 0.25)]}
    for name, (loss, _, shapes) in FORMULAS.items():
        if shapes[0] in ("n c", "n"):
            which = [(x, shapes[:i].count(x)) for i, x in enumerate(shapes)]
            inputs = [given[x][i].clone() for x, i in which]
            points = [x.requires_grad_() for x in inputs if x.is_floating_point()]
            value = loss(*inputs)
            value.sum().backward()
            assert value.isfinite().all(), name
            assert all(point.grad.isfinite().all() for point in points), name


# --- limits and other properties ------------------------------------------------------


@pytest.fixture
def random():
    return torch.Generator().manual_seed(0)


def pair(seed=0, *size):
    random = torch.Generator().manual_seed(seed)
    return torch.randn(2, *(size or (4, 5)), generator=random, dtype=torch.float64)


def gradient(loss, x):
    x = x.clone().requires_grad_()
    return torch.autograd.grad(loss(x), x)[0]


def test_kl_sees_probabilities_only_and_js_is_symmetric():
    t, s = pair()
    assert losses.kl(t + 3, s - 2).item() == pytest.approx(losses.kl(t, s).item())
    assert losses.kl(t, t + 5).item() == pytest.approx(0, abs=1e-12)
    assert gradient(lambda s: losses.kl(t, s), s).sum(1).abs().max() < 1e-12
    assert losses.js(t, s).item() == pytest.approx(losses.js(s, t).item())
    assert losses.js(SURE, -SURE).item() == pytest.approx(math.log(2))


def test_a_zero_vector_stays_zero_and_passes_gradients_on():
    v = torch.zeros(2, 3)
    assert losses.unit(v).tolist() == [[0, 0, 0]] * 2
    assert gradient(lambda v: losses.unit(v).sum(), v).tolist() == [[1, 1, 1]] * 2


def mixing(random, n=20_000, **settings):
    state = State(nn.Flatten(), nn.Flatten(), Task(2, (2, 1, 1)), 0)
    state.random = random
    return arvi.ARVI(**settings).mixing(state, n)


@pytest.mark.parametrize("a", [0.1, 3.0])
def test_beta_mixtures_have_betas_moments(random, a):
    lam = mixing(random, mixup="beta", mixup_a=a)
    assert lam.mean().item() == pytest.approx(0.5, abs=0.01)
    assert lam.var().item() == pytest.approx(1 / (4 * (2 * a + 1)), abs=0.005)
    assert (0 <= lam).all() and (lam <= 1).all()


def test_the_other_mixtures(random):
    fixed = mixing(random, mixup="fixed", mixup_a=0.3)
    assert fixed.unique().tolist() == [pytest.approx(0.3)]
    assert mixing(random).std().item() == pytest.approx(12**-0.5, abs=0.01)


def two_layers():
    random = np.random.default_rng(0)
    layers = [nn.BatchNorm2d(3), nn.BatchNorm2d(3)]
    for layer in layers:
        layer.running_mean = torch.from_numpy(random.normal(size=3))
        layer.running_var = torch.from_numpy(random.uniform(0.5, 2, size=3))
    return nn.Sequential(*layers, nn.Flatten()).double().eval()


def test_batchnorm_losses_by_hand():
    """The second layer sees what the first one normalised with its stored moments."""
    network, squares, lengths = two_layers(), 0.0, 0.0
    x = np.random.default_rng(1).normal(1, 2, size=(4, 3, 5, 5))
    seen = x
    for layer in network[:2]:
        mean, var = layer.running_mean.numpy(), layer.running_var.numpy()
        gaps = seen.mean((0, 2, 3)) - mean, seen.var((0, 2, 3)) - var
        squares += sum((gap**2).sum() for gap in gaps)
        lengths += sum(np.sqrt((gap**2).sum()) for gap in gaps)
        seen = (seen - mean[:, None, None]) / np.sqrt(var + layer.eps)[:, None, None]
    (images,) = tensors(x)
    few = images[:2, :, :2, :2].clone().requires_grad_()
    pair = (losses.bn_moments, squares), (losses.bn_norms, lengths)
    for loss, wanted in pair:
        logits, found = loss(network, images)
        assert found.item() == pytest.approx(wanted)
        np.testing.assert_allclose(logits.detach(), seen.reshape(4, -1), atol=1e-9)
        assert torch.autograd.gradcheck(lambda x, f=loss: f(network, x)[1], few)


def test_batchnorm_losses_without_batchnorm_and_behind_an_exception():
    lenet, x = build("lenet5", 10).eval(), torch.zeros(2, 1, 32, 32)
    assert losses.bn_moments(lenet, x)[1].item() == 0
    assert losses.bn_norms(lenet, x)[1].item() == 0
    broken = nn.Sequential(nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(1, 10)).eval()
    for _ in range(2):  # no hook is left behind: the second time is as the first
        with pytest.raises(RuntimeError, match="shapes"):
            losses.bn_moments(broken, torch.zeros(2, 3, 4, 4))


@pytest.mark.parametrize("name", ["cc", "rkd_distance", "rkd_angle", "factor_gap"])
def test_relations_know_no_size(name):
    """Nor do collapsed features, all zero or all equal, blow a gradient up."""
    loss = FORMULAS[name][0]
    t, s = pair(0, 5, 4, 2, 2) if name == "factor_gap" else pair(0, 5, 4)
    assert loss(t, 3 * t).item() == pytest.approx(0, abs=1e-12)
    assert loss(t, 3 * s).item() == pytest.approx(loss(t, s).item())
    for dead in (torch.zeros_like(s), torch.ones_like(s)):
        assert gradient(lambda s: loss(t, s), dead).abs().max() <= 1


def test_dkd_with_the_coupled_weight_is_kd():
    """Image by image: 1 for "class y or not", 1 − p_T(y) among the others."""
    y = torch.tensor([2])
    for t, s in zip(*pair(), strict=True):
        t, s = t[None], s[None]
        beta = 1 - (t / 4).softmax(1)[0, 2].item()
        found = hidfd_students.dkd(t, s, y, 4.0, 1.0, beta).item()
        assert found == pytest.approx(losses.kd(t, s, 4.0).item())


def test_ofa_asks_for_more_of_the_label_the_surer_the_teacher():
    """Where γ is larger; with γ = 1 it is the label's cross entropy, and the teacher's."""
    (t, s), y = pair(), torch.tensor([0, 1, 2, 3])
    plain = losses.kl(t, s) - (t.softmax(1) * t.log_softmax(1)).sum(1).mean()
    plain = plain + nn.functional.cross_entropy(s, y)
    assert hidfd_maps.ofa(t, s, y, 1.0, 1.0).item() == pytest.approx(plain.item())
    more = gradient(lambda s: hidfd_maps.ofa(t, s, y, 1.0, 2.0), s)
    more = more - gradient(lambda s: hidfd_maps.ofa(t, s, y, 1.0, 1.0), s)
    p = t.softmax(1)[range(4), y]
    wanted = (p + p**2)[:, None] * (s.softmax(1) - torch.eye(4, 5)) / 4
    assert torch.allclose(more, wanted)


def test_semckd_by_hand():
    """Without projections: every pair of maps on the smaller grid, by its attention."""
    torch.manual_seed(0)
    shapes = [(3, 4, 4), (3, 2, 2)]
    helper = hidfd_maps.Calibration(shapes, shapes, batch=5).double()
    for row in helper.projections:
        row[0], row[1] = nn.Identity(), nn.Identity()
    teacher, student = (
        [torch.randn(5, *shape, dtype=torch.float64) for shape in shapes] for _ in "ts"
    )

    def embedded(parts, maps):
        rows = []
        for part, x in zip(
            parts, (x.numpy().reshape(5, -1) for x in maps), strict=True
        ):
            a, b, c, d = (p.detach().numpy() for p in part.parameters())
            rows.append(np.maximum(x @ x.T @ a.T + b, 0) @ c.T + d)
        return np.stack(rows, 1)

    weights = attention(
        embedded(helper.queries, student), embedded(helper.keys, teacher)
    )
    wanted = 0.0
    for n, i, j in itertools.product(range(5), range(2), range(2)):
        s, t = student[i][n].numpy(), teacher[j][n].numpy()
        if i != j:  # then one of them has 4×4 pixels
            s, t = (cells(m[None])[..., 0, :].transpose(2, 0, 1)
                    if m.shape[1] == 4 else m for m in (s, t))  # fmt: skip
        wanted += weights[n, i, j] * ((s - t) ** 2).mean() / 10
    found = hidfd_maps.calibrated(*helper(teacher, student))
    assert found.item() == pytest.approx(wanted)


# --- what keeps: EMA(G) and a memory --------------------------------------------------


def normed(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(2, 3, 1), nn.BatchNorm2d(3)).train()


def values(network, kind="parameters"):
    parts = [p for p in getattr(network, kind)() if p.is_floating_point()]
    return torch.cat([p.detach().flatten() for p in parts]).double().numpy()


@pytest.mark.parametrize("statistics", ["averaged", "batch", "reestimated"])
@pytest.mark.parametrize("momentum", [0.0, 0.7, 1.0])
def test_the_average_is_eq_5(momentum, statistics):
    """From θ_0 on; running statistics follow only where they are averaged."""
    network, random = normed(), torch.Generator().manual_seed(1)
    ema = EMA(network, momentum, statistics)
    past = [(values(network), values(network, "buffers"))]
    for _ in range(4):
        network(torch.randn(8, 2, 3, 3, generator=random))
        with torch.no_grad():
            for p in network.parameters():
                p.add_(torch.randn(p.shape, generator=random))
        past.append((values(network), values(network, "buffers")))
        ema.update(network)
    weights, moments = (
        theory.ema(np.array(path), momentum)[-1] for path in zip(*past, strict=True)
    )
    np.testing.assert_allclose(values(ema.network), weights, atol=1e-5)
    moments = moments if statistics == "averaged" else past[0][1]
    np.testing.assert_allclose(values(ema.network, "buffers"), moments, atol=1e-5)
    assert not any(p.requires_grad for p in ema.parameters())
    assert ema.network.training == (statistics == "batch")


def test_reestimated_statistics_forget_what_was():
    ema = EMA(nn.BatchNorm2d(3, momentum=0.3), 0.9, "reestimated")
    for seed in range(2):
        x, _ = pair(seed, 5, 3, 2, 2).float()
        ema.reestimate(x)
        var, mean = torch.var_mean(x, (0, 2, 3))
        torch.testing.assert_close(ema.network.running_mean, mean)
        torch.testing.assert_close(ema.network.running_var, var)
    assert ema.network.momentum == 0.3 and not ema.network.training


def numbered(first, count):
    return torch.arange(first, first + count).float()[:, None, None, None]


def test_a_memory_fills_then_replaces_at_random(random):
    memory = Memory(6, (1, 1, 1))
    memory.add(numbered(0, 4), random)
    assert set(memory.draw(100, random).flatten().tolist()) == {0, 1, 2, 3}
    memory.add(numbered(4, 4), random)  # two free places, then two random ones
    kept = set(memory.images.flatten().tolist())
    assert len(kept) == 6 and {6, 7} <= kept
    memory.add(numbered(8, 9), random)  # more than it holds
    assert len(set(memory.images.flatten().tolist()) - set(range(8, 17))) == 0
    twin = Memory(6, (1, 1, 1))
    twin.load_state_dict(memory.state_dict())
    assert torch.equal(twin.images, memory.images) and int(twin.filled) == 6
