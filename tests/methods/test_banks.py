"""CMI, Fast and NAYER: what makes each of them that method, and their bank."""

import copy

import numpy as np
import pytest
import torch

from dfkd_lib.data import load_dataset, word_vectors
from dfkd_lib.errors import UserError
from dfkd_lib.losses import agreed_kl, bn_norms
from dfkd_lib.methods import METHODS, Task, cmi, fast, nayer, spaceshipnet
from dfkd_lib.models import build
from dfkd_lib.recipes import recipe_for
from dfkd_lib.run import begin
from dfkd_lib.teachers import load_teacher

SMALL = {"generator_width": 2, "z_dim": 6, "batch": 12, "student_batch": 8}
SMALL |= {"inversion_steps": 3, "student_steps": 1, "memory": 40, "shift": 0}


def started(name, teacher="lenet5", shape=(1, 32, 32), **changes):
    kind = METHODS[name]
    own = {"labels": "random"} if name == "nayer" else {}
    own |= {"warmup": 0} if name in ("composed", "fast", "nayer") else {}
    settings = kind(**SMALL | own | changes)
    torch.manual_seed(0)
    networks = build(teacher, 10).eval(), build(teacher, 10)
    return settings, settings.start(*networks, Task(10, shape), 0)


def softmax(x):
    e = np.exp(x - x.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def test_the_agreed_divergence_by_hand():
    """Images of two different classes count as zero, in the mean too."""
    random = np.random.default_rng(0)
    t, s = random.normal(size=(2, 30, 4))
    p, q = softmax(t), softmax(s)
    same = t.argmax(1) == s.argmax(1)
    assert 0 < same.sum() < 30
    wanted = ((p * np.log(p / q)).sum(1) * same).mean()
    found = agreed_kl(torch.from_numpy(t), torch.from_numpy(s))
    assert found.item() == pytest.approx(wanted)


@pytest.mark.parametrize("name", ["cmi", "fast", "nayer"])
def test_what_is_found_is_kept_and_taught(name):
    """Every batch enters the bank; the student learns from the bank alone."""
    settings, s = started(name)
    for s.stage in (1, 2, 3):
        settings.stage(s)
        assert int(s.memory.filled) == 12 * s.stage
    seen = []
    s.student.register_forward_pre_hook(lambda _, x: seen.append(x[0].clone()))
    s.stage = 4
    settings.stage(s)
    kept = {image.numpy().tobytes() for image in s.memory.images}
    assert all(image.numpy().tobytes() in kept for image in seen[-1])
    assert int(s.memory.filled) == 40 and not s.memory.images.requires_grad


# --- CMI ------------------------------------------------------------------------------


@pytest.mark.parametrize("new", [5, 8])
def test_the_contrastive_loss_by_hand(new):
    random = np.random.default_rng(1)
    a, b = (unit_rows(random.normal(size=(8, 3))) for _ in range(2))
    each = -np.log(np.diag(softmax(a @ b.T / 0.1)))
    wanted = each[:new].mean() + (each[new:].mean() if new < 8 else 0)
    found = cmi.contrast(torch.from_numpy(a), torch.from_numpy(b), new, 0.1)
    assert found.item() == pytest.approx(wanted)


def unit_rows(v):
    return v / np.linalg.norm(v, axis=1, keepdims=True)


def test_the_contrast_drives_images_apart():
    """With this term alone, a batch's features become less alike."""
    own = {"lambda_bn": 0.0, "lambda_onehot": 0.0, "lambda_adv": 0.0}
    settings, s = started("cmi", inversion_steps=30, inversion_lr=1e-2, **own)
    z, y = s.noise(12)
    with torch.no_grad():
        before = settings.image_loss(s, s.generator(z, y), y)[0]["contrast"]
    s.stage = 1
    after = settings.stage(s).updates[0][1]["contrast"]
    assert after < 0.8 * before


def test_features_are_means_of_the_maps_of_a_view():
    settings, s = started("cmi", "wrn16_1", (3, 32, 32))
    x = torch.randn(4, 3, 32, 32)
    with cmi.means_of_maps(s.teacher) as means:
        s.teacher(x)
    first = next(m for m in s.teacher.modules() if isinstance(m, torch.nn.Conv2d))
    assert torch.allclose(means[0], first(x).mean((2, 3)), atol=1e-6)
    s.stage = 1
    settings.stage(s)
    assert s.features.images.shape[2] == sum(m.shape[1] for m in means)
    assert s.features.images[:12].any(2).all()


def test_a_zoomed_view_is_a_square_of_the_image():
    random = torch.Generator().manual_seed(0)
    line = torch.linspace(-1, 1, 33).expand(33, 33)
    ramp = torch.stack([line, line.T]).expand(200, 2, 33, 33)
    seen = cmi.zoomed(ramp, random)
    columns, rows = seen[:, 0, 16], seen[:, 1, :, 16]
    sides = (columns[:, -1] - columns[:, 0]) / 2
    assert torch.allclose(sides, (rows[:, -1] - rows[:, 0]) / 2, atol=0.05)
    area = sides**2
    assert 0.2 < area.min() < 0.3 and area.max() > 0.85
    assert seen.abs().max() <= 1


# --- Fast -----------------------------------------------------------------------------


def test_the_meta_gradient_is_the_sum_of_the_copys():
    """With steps that move nothing it is k times the gradient at the start."""
    own = {"inversion_lr": 1e-12, "noise_lr": 0.0, "generator_weight_decay": 0.0}
    settings, s = started("fast", **own)
    random = s.random.get_state()
    z, y = s.noise(12)
    terms = settings.image_loss(s, s.generator(z, y), y, competing=True)
    sum(terms.values()).backward()
    wanted = [3 * p.grad.clone() for p in s.generator.parameters()]
    s.random.set_state(random)
    settings.find(s)
    for p, gradient in zip(s.generator.parameters(), wanted, strict=True):
        assert torch.allclose(p.grad, gradient, rtol=1e-3, atol=1e-6)


def test_the_learned_start_becomes_better():
    """After some batches, the first images of a new one are of their class."""
    teacher = load_teacher(load_dataset("digits"), "lenet5").network
    settings = fast.Fast(**SMALL | {"batch": 64, "warmup": 40, "z_dim": 20,
                                    "generator_width": 8})  # fmt: skip
    s = settings.start(teacher, build("lenet5_half", 10), Task(10, (1, 32, 32)), 0)

    def right():
        z, y = s.noise(256)
        with torch.no_grad():
            return settings.image_loss(s, s.generator(z, y), y, False)["one-hot"].item()

    before, s.stage = right(), 1
    settings.stage(s)
    assert right() < before


def test_the_first_layer_is_reset_once():
    settings, s = started("fast", stages=4, reset_share=0.5)
    linear = next(m for m in s.generator.modules() if isinstance(m, torch.nn.Linear))
    moves = []
    for s.stage in (1, 2, 3, 4):
        before = linear.weight.detach().clone()
        settings.stage(s)
        moves.append((linear.weight - before).abs().mean().item())
    assert np.argmax(moves) == 2 and moves[2] > 3 * sorted(moves)[-2]


def test_the_composed_method_learns_by_mae_from_the_images_that_fast_finds():
    parts = {}
    for name in ("fast", "composed"):
        settings, s = started(name, batch=6, student_batch=6, stages=4)
        s.stage = 1
        parts[name] = dict(settings.stage(s).updates) | {"images": s.memory.images}
    assert torch.equal(parts["fast"]["images"], parts["composed"]["images"])
    settings, s = started("composed", batch=6, student_batch=6, stages=4)
    before, s.stage, draws = copy.deepcopy(s.student), 1, []
    s.memory.draw = lambda n, random: draws.append(s.memory.images[:n]) or draws[0]
    found = dict(settings.stage(s).updates)["student"]
    t, z = (
        network(draws[0]).detach().double().numpy() for network in (s.teacher, before)
    )
    assert found == {"MAE": pytest.approx(np.abs(t - z).mean(), rel=1e-3)}


# --- NAYER ----------------------------------------------------------------------------


def test_the_layer_of_noise_by_hand():
    random = np.random.default_rng(2)
    text, w = random.normal(size=(2, 4, 5)), random.normal(size=(2, 5, 3))
    bias = random.normal(size=(2, 1, 3))
    wanted = (np.einsum("lcw,lwz->lcz", text, w) + bias).reshape(8, 3)
    found = nayer.noisy(*map(torch.from_numpy, (text, w, bias)))
    np.testing.assert_allclose(found, wanted)


def test_every_layer_of_noise_reads_each_class_once():
    """So that a batch is balanced, and another batch of the same text differs."""
    settings, s = started("nayer", batch=25)
    asked = []

    def noting(s, x, y, competing):
        asked.append(y)
        return {"one-hot": x.square().mean()}

    object.__setattr__(settings, "image_loss", noting)
    settings.find(s)
    settings.find(s)
    for y in asked[0], asked[-1]:
        assert sorted(y[:10].tolist()) == sorted(y[10:20].tolist()) == list(range(10))
    one, two = s.memory.images[:25], s.memory.images[25:40]
    assert not torch.equal(one[:15], two)


def test_the_generator_begins_again_when_its_life_ends():
    settings, s = started("nayer", generator_life=2)
    moves = []
    for s.stage in (1, 2, 3, 4):
        before = [p.detach().clone() for p in s.generator.parameters()]
        settings.stage(s)
        pairs = zip(before, s.generator.parameters(), strict=True)
        moves.append(sum((b - p).norm().item() for b, p in pairs))
    assert min(moves[0], moves[2]) > 2 * max(moves[1], moves[3])


def test_classes_are_read_by_the_text_of_their_names():
    """The vectors' order in each of their hundred numbers stays."""
    numerals = word_vectors(("zero", "one"), 2)
    assert numerals.shape == (2, 100) and numerals.dtype == np.float32
    trees = word_vectors(("oak tree", "Oak", "tree_"), 3)
    np.testing.assert_allclose(trees[0], (trees[1] + trees[2]) / 2, atol=1e-3)
    digits = load_dataset("digits_half")
    recipe = recipe_for("digits_half", "nayer").replace(generator_width=2)
    s = begin(recipe, load_teacher(digits, "lenet5").network, digits)
    assert torch.allclose(s.text.mean(0), torch.zeros(100), atol=1e-5)
    assert torch.allclose(s.text.std(0, correction=0), torch.ones(100), atol=1e-5)
    stretched = s.text[0] - s.text[1]
    difference = torch.from_numpy(numerals[0] - numerals[1])
    assert ((stretched > 0) == (difference > 0)).float().mean() > 0.97


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ((), "are not known"), (("cat",), "are not known"), (("cat", ""), "not known"),
        (("cat", "qwzx"), "qwzx"), (("cat", "Cat"), "two classes have one name"),
    ],
)  # fmt: skip
def test_unknown_names_are_refused_with_the_cure(names, words):
    with pytest.raises(UserError, match=f"labels: .*{words}.*set labels=random"):
        word_vectors(names, 2)


def test_moments_and_classes_are_asked_for():
    """On a teacher with BatchNorm, the terms are the weighted formulas."""
    settings, s = started("fast", "wrn16_1", (3, 32, 32))
    z, y = s.noise(12)
    x = s.generator(z, y)
    logits, bn = bn_norms(s.teacher, x)
    terms = settings.image_loss(s, x, y, competing=False)
    assert terms["BatchNorm"].item() == pytest.approx(10 * bn.item(), rel=1e-4)
    by_hand = -logits.log_softmax(1)[torch.arange(12), y].mean().item() / 2
    assert terms["one-hot"].item() == pytest.approx(by_hand, rel=1e-4)
    assert "-agreed KL" not in terms


# --- SpaceshipNet ---------------------------------------------------------------------


def test_kept_maps_become_the_generators_images():
    _, s = started("spaceshipnet")
    z, _ = s.noise(4)
    with torch.no_grad():
        wanted, maps = s.generator(z), spaceshipnet.head(s.generator, z)
        for cut, h in enumerate(maps):
            found = spaceshipnet.tail(s.generator, h, cut)
            assert torch.allclose(found, wanted, atol=1e-5)


def test_images_that_are_not_square_are_cut():
    settings, s = started("spaceshipnet", "resnet18_8x", (3, 32, 20))
    s.stage = 1
    settings.stage(s)
    z, _ = s.noise(4)
    x = spaceshipnet.tail(s.generator, spaceshipnet.head(s.generator, z)[1], 1)
    assert x.shape == (4, 3, 32, 20) and s.samples == 8


def test_half_of_the_channels_come_from_the_other_end():
    random = torch.Generator().manual_seed(0)
    h = torch.arange(6.0)[:, None, None, None].expand(6, 10, 2, 2)
    mixed = spaceshipnet.exchange(h, 1.0, random)
    for i, one in enumerate(mixed):
        assert sorted(one[:, 0, 0].tolist()) == sorted(5 * [float(i)] + 5 * [5.0 - i])
    assert torch.equal(spaceshipnet.exchange(h, 0.0, random), h)


def test_a_banks_layers_are_filled_in_turn():
    settings, s = started("spaceshipnet")
    for s.stage in (1, 2, 3, 4):
        settings.stage(s)
    filled = [int(bank.filled) for bank in (s.grid, s.low, s.high)]
    assert filled == [24, 12, 12]


def test_activation_maps_of_a_network_that_averages():
    """Class activation maps average to the logits without bias; Grad-CAM of the last
    maps is that of the class, divided by the number of places.
    """
    _, s = started("spaceshipnet", "wrn16_1", (3, 32, 32))
    x, y = torch.randn(3, 3, 32, 32), torch.tensor([1, 4, 7])
    seen = s.teacher.stages(x.requires_grad_())
    maps, _ = spaceshipnet.class_maps(s, seen, seen)
    logits = maps.mean((2, 3)) + s.teacher.classifier.bias
    assert torch.allclose(logits, seen.logits, atol=1e-5)
    [cam] = spaceshipnet.grad_cam(seen, y, [-1])
    assert torch.allclose(cam, maps[torch.arange(3), y] / 64, atol=1e-5)
