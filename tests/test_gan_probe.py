"""The probe of a GAN's players: it leaves the run alone, and its figures are what they are called."""

import numpy as np
import pytest
import torch
from method_checks import content, lenet, networks

from dfkd_lib.data import load_dataset
from dfkd_lib.gan_probe import GANProbe
from dfkd_lib.losses import hidfd as losses
from dfkd_lib.methods import HiDFD
from dfkd_lib.methods.with_data import images_for
from dfkd_lib.recipes import recipe_for

SMALL = recipe_for("digits_hybrid", "hidfd").replace(stages=4, generator_steps=2, generator_width=2, z_dim=6, batch=10)


@pytest.fixture(scope="module")
def digits():
    return load_dataset("digits_hybrid")


def play(digits) -> HiDFD:
    teacher = lenet()
    images, _ = images_for("collected", digits, seed=0, device="cpu", **HiDFD.choice(SMALL, teacher, "cpu"))
    game = HiDFD(teacher, SMALL, 10, 1, seed=0, images=images)
    for _ in range(3):
        game.generator_step()
    game.end_generator_stage()
    return game


@pytest.fixture(scope="module")
def seen(digits):
    game, probe = play(digits), GANProbe(digits, images=20)
    probe(1, game)
    return game, probe


def test_the_run_stays_as_it_is(digits):
    game, twin = play(digits), play(digits)
    GANProbe(digits)(1, game)
    assert torch.equal(game.random.get_state(), twin.random.get_state())
    assert all(torch.equal(content(n), content(networks(twin)[name])) for name, n in networks(game).items())
    pairs = zip(game.discriminator.parameters(), twin.discriminator.parameters(), strict=True)
    assert all(torch.equal(mine.grad, theirs.grad) for mine, theirs in pairs)


def test_what_was_not_collected_has_not_been_seen(seen):
    game, probe = seen
    known = {image.numpy().tobytes() for image in game.images.pixels(torch.arange(len(game.images)))}
    others = {image.numpy().tobytes() for image in probe.unseen.pixels(torch.arange(len(probe.unseen)))}
    assert len(game.images) == 117 and len(probe.unseen) == 450 - 117 and not known & others


def test_the_figures_by_hand(seen):
    """Of the same synthetic images, one at a time."""
    game, probe = seen
    x, y = probe.samples, torch.arange(20) % 10
    discriminator = game.discriminator.eval()
    slopes = {"GAN": [], "classes": []}
    for image, label in zip(x, y, strict=True):
        one = image[None].clone().requires_grad_(True)
        judged = discriminator(one)
        own = {"GAN": losses.gan_generator(judged.real), "classes": losses.class_generator(judged.classes, label[None])}
        for name, term in own.items():
            (slope,) = torch.autograd.grad(term, one, retain_graph=True)
            slopes[name].append(slope.norm().item())
    for name, values in slopes.items():
        assert probe.series[f"slope {name}"][0] == pytest.approx(np.mean(values), rel=1e-3)
    with torch.no_grad():
        u, real = discriminator(x).real, discriminator(game.images.batch(torch.arange(117))).real > 0
        answers = game.teacher(x)
    game.discriminator.train()
    assert probe.series["fake"] == [pytest.approx((u < 0).double().mean().item())]
    by_class = [real[game.images.y == label].double().mean().item() for label in range(10)]
    assert probe.series["real"] == [pytest.approx(np.mean(by_class))]
    assert probe.series["D(fake)"] == [pytest.approx(torch.sigmoid(u).mean().item(), rel=1e-5)]
    assert probe.series["agreement"] == [(answers.argmax(1) == y).double().mean().item()]
    assert probe.series["shares"][0] == pytest.approx(answers.softmax(1).mean(0).tolist(), rel=1e-4)


def test_variety_is_one_where_synthetic_images_are_the_collected_ones(digits):
    game, probe, every = play(digits), GANProbe(digits), torch.arange(117)
    probe._classes(game, game.images.batch(every), game.images.y)
    probe._classes(game, game.images.batch(0 * every), every % 10)  # one image, again and again
    assert probe.series["variety"] == [pytest.approx(1), 0]


def test_only_the_gans_stages_are_seen(digits, seen):
    game, probe = seen
    before = {name: len(values) for name, values in probe.series.items()}
    probe(game.recipe.gan_stages + 1, game)
    assert {name: len(values) for name, values in probe.series.items()} == before
    summary = probe.summary()
    assert set(summary) == set(before) and all(len(values) == 1 for values in summary.values())
