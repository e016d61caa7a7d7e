"""ABM and MAD: what their losses are made of, the conditional generator, and its pretraining."""

import math

import pytest
import torch
from method_checks import colour, content, numbers, play, played, random_images, weights
from torch import nn

from dfkd_lib.errors import UserError

KINDS = ("abm", "dfkd_mem", "mad")
SECOND = {"mad": "EMA(G)", "dfkd_mem": "the memory"}


def kl(t: torch.Tensor, s: torch.Tensor) -> float:
    """KL(p_T ‖ p_S), summed over classes."""
    p = t.softmax(1)
    return (p * (p / s.softmax(1)).log()).sum(1).mean().item()


def excess(values: torch.Tensor, bound: float) -> float:
    """By how much values leave [−bound, bound], on average."""
    return (values.abs() - bound).clamp(min=0).mean().item()


# --- the student -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", KINDS)
@torch.no_grad()
def test_the_students_loss(method):
    """MAD Eq. 4, with the bounds of Eq. 10 on the student's logits, source by source."""
    game = play(method, lambda0=0.3, lambda1=2.0, lambda_logit=0.7, logit_bound=0.02)
    images = [random_images(seed=i) for i in range(2 if method in SECOND else 1)]
    expected = {}
    for x, source, weight in zip(images, ("G", SECOND.get(method)), (0.3, 2.0), strict=False):
        t, s = game.teacher(x), game.student(x)
        expected[f"KL on {source}"] = weight * kl(t, s)
        expected[f"bound on {source}"] = 0.7 * excess(s, 0.02)
        assert expected[f"bound on {source}"] > 0.01
    assert numbers(game.student_loss(images)) == pytest.approx(expected, rel=1e-4)


@torch.no_grad()
def test_batchnorm_sees_each_source_by_itself():
    game = play("mad", **colour())
    layer = next(m for m in game.student.modules() if isinstance(m, nn.BatchNorm2d))
    seen = []
    layer.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
    game.student_loss([random_images(4, 3), random_images(6, 3)])
    assert seen == [4, 6]


def test_without_its_second_source_mad_is_abm():
    abm, alone = play("abm"), play("mad", lambda1=0.0)
    x, x_ema = alone.student_images()
    assert sum(alone.student_loss([x, x_ema]).values()) == sum(abm.student_loss([x]).values())
    assert sum(play("mad").student_loss([x, x_ema]).values()) != sum(abm.student_loss([x]).values())


def test_mads_student_sees_both_generators():
    """Each on noise of its own."""
    game = played(play("mad", momentum=0.5, generator_lr=0.1))
    random = game.random.get_state()
    made = game.student_images()
    game.random.set_state(random)
    for x, generator in zip(made, (game.generator, game.ema.network), strict=True):
        assert torch.equal(x, game.generate(generator, *game.noise(8)))
    assert not torch.equal(*made)


# --- the generator ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", KINDS)
@pytest.mark.parametrize("setup", [{}, colour()], ids=["lenet5", "wrn16_1"])
@torch.no_grad()
def test_the_generators_loss(method, setup):
    """MAD Eq. 2, 9 and 11 on the same noise. The bounds: of what enters Tanh, and of the student's logits."""
    weighed = {"lambda_bn": 0.2, "lambda_logit": 0.7, "logit_bound": 0.02}
    game, twin = play(method, **weighed, **setup), play(method, **setup)
    z, _ = twin.noise(8)
    before = twin.generator.project(z).unflatten(1, twin.generator.grid)
    for layer in twin.generator.layers[:-2]:
        before = layer(before)
    x = twin.generator.layers[-1](before.tanh())
    inputs, handles = [], []
    for layer in game.teacher.modules():
        if isinstance(layer, nn.BatchNorm2d):
            handles.append(layer.register_forward_pre_hook(lambda m, i: inputs.append((m, i[0]))))
    t, s = game.teacher(x), game.student(x)
    for handle in handles:
        handle.remove()
    bn = sum(
        (f.mean((0, 2, 3)) - m.running_mean).square().sum()
        + (f.var((0, 2, 3), correction=0) - m.running_var).square().sum()
        for m, f in inputs
    )
    expected = {
        "-KL": -kl(t, s),
        "BNmm": 0.2 * float(bn),
        "bound on G's logits": 0.7 * excess(before, 0.02),
        "bound on S's logits": 0.7 * excess(s, 0.02),
    }
    assert bool(inputs) == bool(setup)
    assert expected["bound on G's logits"] > 0.01 < expected["bound on S's logits"]
    assert numbers(game.generator_loss()) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("kind", ["sum", "cat"])
@torch.no_grad()
def test_the_conditional_generators_loss(kind):
    """MAD Eq. 6: −KL + λ·NLL + λ·norm, all on the same noise and classes; here with one embedding out of bounds."""
    game = play("mad", conditional=True, conditioning=kind, lambda_nll=0.7, lambda_norm=3.0, norm_scale=1.1)
    e = game.generator.embedding.weight.mul_(0.1)
    e[4] = 5.0
    z, y = game.noise(8)
    y[0] = 4
    game.noise = lambda n: (z, y)
    told = z + e[y] if kind == "sum" else torch.cat([z, e[y]], 1)
    x = game.generator.generator(told)
    t, s = game.teacher(x), game.student(x)
    norms = e[y].square().sum(1).sqrt()
    expected = {
        "-KL": -kl(t, s),
        "BNmm": 0.0,
        "NLL": 0.7 * -t.softmax(1)[range(8), y].log().mean().item(),
        "norm": 3 * (norms - 1.1 * math.sqrt(6)).clamp(min=0).mean().item(),
    }
    assert expected["norm"] > 0.1
    assert numbers(game.generator_loss()) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("kind", ["sum", "cat"])
def test_a_conditional_generator_learns_its_embeddings_and_obeys_them(kind):
    game = play("mad", conditional=True, conditioning=kind, batch=64)
    before = game.generator.embedding.weight.detach().clone()
    z, y = game.noise(4)
    x = game.generate(game.generator, z, y)
    assert not torch.equal(x, game.generate(game.generator, z, (y + 1) % 10))
    game.generator_step()
    assert (game.generator.embedding.weight != before).any(1).sum() >= 8  # of 10 classes, those in the batch


def test_classes_are_drawn_uniformly():
    _, y = play("mad").noise(10_000)
    assert ((torch.bincount(y, minlength=10) - 1000).abs() < 4 * math.sqrt(1000)).all()


# --- pretraining -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", KINDS)
@pytest.mark.parametrize("told", [True, False])
def test_pretraining_leaves_the_student_alone(method, told):
    """MAD Section 5.1: all losses of the generator but KL. The student is not even looked at."""
    game = play(method, **colour(), conditional=told, pretrain_steps=3, lambda_logit=1.0)
    student, generator = content(game.student), weights(game.generator)
    terms, seen, loss = [], [], game.generator_loss
    game.student.register_forward_pre_hook(lambda *_: seen.append(1))
    game.generator_loss = lambda **how: terms.append(loss(**how)) or terms[-1]
    game.prepare()
    assert seen == [] and torch.equal(content(game.student), student)
    assert not torch.equal(weights(game.generator), generator)
    assert all(p.requires_grad for p in game.student.parameters())
    names = {"BNmm", "bound on G's logits"} | ({"NLL", "norm"} if told else set())
    assert len(terms) == 3 and all(set(one) == names for one in terms)


def test_pretraining_teaches_the_class():
    game = play("mad", conditional=True, pretrain_steps=60, generator_lr=1e-2, batch=64)
    start = game.generator_loss(adversarial=False)["NLL"].item()
    game.prepare()
    assert game.generator_loss(adversarial=False)["NLL"].item() < 0.8 * start


def test_the_average_starts_behind_the_pretraining():
    game = play("mad", conditional=True, pretrain_steps=2)
    start = weights(game.generator)
    game.prepare()
    assert torch.equal(weights(game.ema.network), weights(game.generator))
    assert not torch.equal(weights(game.ema.network), start)


@pytest.mark.parametrize("method", KINDS)
def test_pretraining_without_a_loss_is_refused(method):
    game = play(method, pretrain_steps=3)
    before = weights(game.generator)
    with pytest.raises(UserError, match=r"^pretrain_steps: .*set it to 0$"):
        game.prepare()
    assert torch.equal(weights(game.generator), before)
    play(method, pretrain_steps=1, **colour()).prepare()


def test_a_class_is_told_where_the_method_knows_of_classes():
    assert all(play(method, conditional=True).conditional == (method in KINDS) for method in ("dfad", "dafl", *KINDS))
