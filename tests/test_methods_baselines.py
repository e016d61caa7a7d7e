"""DAFL, RANDOM and the methods with data: what their losses are made of, and which images they learn from."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from method_checks import (
    SHOWN,
    colour,
    content,
    numbers,
    play,
    played,
    random_images,
    real_dataset,
    real_images,
    weights,
)
from PIL import Image
from scipy import stats
from torch.nn import functional as F

from dfkd_lib.collected import collect
from dfkd_lib.data import load_dataset
from dfkd_lib.errors import UserError
from dfkd_lib.layouts import ImageFiles
from dfkd_lib.methods import METHODS, with_data
from dfkd_lib.methods.with_data import images_for
from dfkd_lib.models import build
from dfkd_lib.recipes import recipe_for


def softened_kl(t: torch.Tensor, s: torch.Tensor, temperature: float) -> float:
    p, q = (t / temperature).softmax(1), (s / temperature).softmax(1)
    return temperature**2 * (p * (p / q).log()).sum(1).mean().item()


@pytest.mark.parametrize("method", ["dafl", "deepinversion", "random", "kd_ori", "kd_rel", "kd_unr"])
@torch.no_grad()
def test_students_of_the_baselines_minimise_kl_at_a_temperature(method):
    """Labels may come along, and are not looked at: unknown ones are −1."""
    game, x = play(method, temperature=4.0), random_images()
    images = [x, torch.full((8,), -1)] if method.startswith("kd") else [x]
    expected = softened_kl(game.teacher(x), game.student(x), 4)
    assert numbers(game.student_loss(images)) == pytest.approx({"KL": expected}, rel=1e-4)


# --- DAFL ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("setup", [{}, colour()], ids=["lenet5", "wrn16_1"])
@torch.no_grad()
def test_dafls_generator_loss(setup):
    """Sure, active and balanced: three terms, all on the same images; the student has no say."""
    game = play("dafl", lambda_onehot=0.3, lambda_activation=0.02, lambda_entropy=0.7, **setup)
    twin = play("dafl", **setup)
    x = twin.generate(twin.generator, *twin.noise(8))
    p = game.teacher(x).softmax(1)
    share = p.mean(0)
    expected = {
        "one-hot": -0.3 * p.max(1).values.log().mean().item(),
        "activation": -0.02 * game.teacher.features(x).abs().sum(1).mean().item(),
        "entropy": 0.7 * (share * share.log()).sum().item(),
    }
    game.student = None
    assert numbers(game.generator_loss()) == pytest.approx(expected, rel=1e-4)


# --- RANDOM ----------------------------------------------------------------------------------------------------------


def test_random_images_are_white_noise():
    """Every pixel normal, and new at every step."""
    game = play("random", student_batch=64)
    (x,), (again,) = game.student_images(), game.student_images()
    assert x.shape == (64, 1, 32, 32) and not torch.equal(x, again)
    assert stats.kstest(x.flatten().double().numpy(), "norm").pvalue > 0.01
    pixels = x.flatten(1).double()
    assert (pixels[:, 1:] * pixels[:, :-1]).mean().abs() < 4 / (64 * 1023) ** 0.5
    assert game.generator_step() == {}
    assert play("random", **colour()).student_images()[0].shape == (8, 3, 32, 32)


# --- the images of methods with data ---------------------------------------------------------------------------------


def views(image: np.ndarray, normalise) -> np.ndarray:
    """All that augmentation may make of one uint8 image (height, width, channels), normalised."""
    grey = image.shape[2] == 1
    pad, flips = (2, (False,)) if grey else (4, (False, True))
    bordered = np.pad(image, ((pad, pad), (pad, pad), (0, 0)), mode="edge" if grey else "constant")
    crops = [bordered[i : i + 32, j : j + 32] for i in range(2 * pad + 1) for j in range(2 * pad + 1)]
    return normalise(np.stack([crop[:, ::-1] if flip else crop for crop in crops for flip in flips]))


@pytest.mark.parametrize("method", [name for name in SHOWN if name != "degan"])  # its student sees no real image
@pytest.mark.parametrize("setup", [{}, colour()], ids=["grey", "colour"])
def test_batches_are_augmented_images_with_their_labels(method, setup):
    """Grey ones shifted over their own border, colour ones over black and flipped; normalised behind that."""
    channels = 3 if setup else 1
    dataset = real_dataset(channels)
    game = play(method, student_batch=16, inflation=10**6, **setup)  # HiDFD: hardly any image but the real ones
    x, y = game.student_images()
    real = game.images.x.permute(0, 2, 3, 1).numpy()
    known = [(views(image, dataset.normalise), label) for image, label in zip(real, game.images.y.tolist())]  # noqa: B905
    found = []
    for image, label in zip(x.numpy(), y.tolist(), strict=True):
        hits = [
            (index, view)
            for index, (candidates, theirs) in enumerate(known)
            if theirs == label
            for view in np.flatnonzero(np.abs(candidates - image).max((1, 2, 3)) < 1e-5)
        ]
        assert len(hits) == 1
        found.append(hits[0])
    assert len({index for index, _ in found}) > 8
    assert len({view for _, view in found}) > 8


def test_a_share_of_the_images():
    """The same images for one seed, each with its own label; the record says which."""
    dataset = load_dataset("digits")
    some, record = images_for("original", dataset, share=0.01, seed=3, device="cpu")
    again, _ = images_for("original", dataset, share=0.01, seed=3, device="cpu")
    other, _ = images_for("original", dataset, share=0.01, seed=4, device="cpu")
    assert len(some) == 13 == record["images"] == len(set(record["kept"]))
    assert torch.equal(some.x, again.x) and not torch.equal(some.x, other.x)
    assert torch.equal(some.x[:, 0], torch.from_numpy(dataset.x_train[record["kept"], :, :, 0]))
    assert some.y.tolist() == dataset.y_train[record["kept"]].tolist()
    every, record = images_for("original", dataset, share=1.0, seed=3, device="cpu")
    assert record == {"source": "digits", "images": 1347} and len(every) == 1347


def test_a_share_of_image_files_stays_in_its_files(tmp_path, monkeypatch):
    monkeypatch.setattr("dfkd_lib.images.MEMORY", 0)
    dataset, paths = real_dataset(3), [str(tmp_path / f"{number}.png") for number in range(40)]
    for path, pixels in zip(paths, dataset.x_train, strict=True):
        Image.fromarray(pixels).save(path)
    filed = replace(dataset, x_train=ImageFiles(tuple(paths), 3, 32, 32))
    some, record = images_for("original", filed, share=0.1, seed=0, device="cpu")
    assert isinstance(some.x, ImageFiles) and some.x.paths == tuple(paths[i] for i in record["kept"])
    expected = torch.from_numpy(dataset.normalise(dataset.x_train[record["kept"]]))
    assert torch.equal(some.batch(torch.arange(4)), expected)
    assert some.y.tolist() == [i % 10 for i in record["kept"]]


def test_unrelated_images_are_none_of_the_data_set(monkeypatch):
    """All that the first source on this machine has; here a tenth, since cutting photographs takes time."""
    monkeypatch.setenv("DFKD_OFFLINE", "1")
    monkeypatch.setattr(with_data, "collect", partial(collect, ratio=0.1))
    dataset = load_dataset("digits")
    images, record = images_for("unrelated", dataset, share=1.0, seed=0, device="cpu")
    assert record["source"] == "photographs" and record["images"] == len(images) == 135
    own = {x.tobytes() for x in dataset.x_train}
    assert not own & {x.tobytes() for x in images.x.permute(0, 2, 3, 1).contiguous().numpy()}
    with pytest.raises(UserError, match="source: of the data sets related to digits none"):
        images_for("related", dataset, share=1.0, seed=0, device="cpu")


# --- features --------------------------------------------------------------------------------------------------------


def maps(network) -> callable:
    """LeNet-5's feature maps, stage by stage, before their pooling."""
    return lambda x: (network.features[:2](x), network.features[:5](x), network.features[:8](x))


def unit(v: torch.Tensor) -> torch.Tensor:
    return F.normalize(v.flatten(1), dim=1)


@torch.no_grad()
def test_fitnets_loss():
    """FitNets Eq. 3 on the middle map, behind a 1×1 convolution; and KD."""
    game, x = play("fitnet", lambda_hint=0.3, temperature=2.0), random_images()
    t, s = maps(game.teacher)(x)[1], maps(game.student)(x)[1]
    regressor = game.helpers["regressor"]
    guided = torch.einsum("oi,bihw->bohw", regressor.weight[:, :, 0, 0], s) + regressor.bias[:, None, None]
    expected = {
        "KL": softened_kl(game.teacher(x), game.student(x), 2),
        "hint": 0.3 * (t - guided).square().mean().item(),
    }
    assert (t.shape[1], s.shape[1]) == (16, 8)
    assert numbers(game.student_loss([x, torch.zeros(8).long()])) == pytest.approx(expected, rel=1e-4)


@torch.no_grad()
def test_attention_transfers_loss():
    """AT Eq. 2: labels, and all maps of more than one pixel, LeNet-5's first two."""
    game, x, y = play("at", lambda_attention=30.0), random_images(), torch.arange(8)
    pairs = list(zip(maps(game.teacher)(x), maps(game.student)(x), strict=True))
    assert [t.shape[2] for t, _ in pairs] == [28, 10, 1]
    distances = [(unit((t**2).sum(1)) - unit((s**2).sum(1))).square().mean().item() for t, s in pairs[:2]]
    expected = {
        "labels": -game.student(x).softmax(1)[range(8), y].log().mean().item(),
        "attention": 30 * sum(distances),
    }
    assert numbers(game.student_loss([x, y])) == pytest.approx(expected, rel=1e-4)
    assert len(game.helpers) == 0


@torch.no_grad()
def test_factor_transfers_loss():
    """FT with p = 1, on the last map of more than one pixel."""
    game, x, y = play("ft", lambda_factor=30.0), random_images(), torch.arange(8)
    factors = game.helpers["paraphraser"](maps(game.teacher)(x)[1])
    translated = game.helpers["translator"](maps(game.student)(x)[1])
    assert factors.shape == translated.shape == (8, 8, 10, 10)
    expected = {
        "labels": -game.student(x).softmax(1)[range(8), y].log().mean().item(),
        "factors": 30 * (unit(factors) - unit(translated)).abs().mean().item(),
    }
    assert numbers(game.student_loss([x, y])) == pytest.approx(expected, rel=1e-4)


def test_the_paraphraser_learns_before_the_student_and_then_stands_still():
    game = play("ft", stages_per_epoch=10)
    features = maps(game.teacher)(real_images(1).batch(torch.arange(40)))[1]

    @torch.no_grad()
    def error() -> float:
        return (game.helpers["decoder"](game.helpers["paraphraser"](features)) - features).square().mean().item()

    start, student, drawn, draw = error(), content(game.student), [], game.student_images
    game.student_images = lambda: drawn.append(1) or draw()
    game.prepare()
    assert len(drawn) == 2 * 10 * 4
    assert error() < 0.8 * start and torch.equal(content(game.student), student)
    before = {name: weights(helper) for name, helper in game.helpers.items()}
    game.student_step()
    moved = {name for name, helper in game.helpers.items() if not torch.equal(weights(helper), before[name])}
    assert moved == {"translator"}
    frozen = [game.helpers["paraphraser"], game.helpers["decoder"]]
    assert not any(p.requires_grad for helper in frozen for p in helper.parameters())
    fresh = play("ft", seed=1)
    fresh.load(game.state())
    assert not any(p.requires_grad for name in ("paraphraser", "decoder") for p in fresh.helpers[name].parameters())


def test_helpers_are_optimised_along_with_the_student():
    """By the student's optimiser, so at its learning rate; FitNet's regressor and FT's translator alone."""
    for method, names in (("fitnet", ["regressor"]), ("at", []), ("ft", ["translator"])):
        game = played(play(method), stages=1)
        extra = [p for name in names for p in game.helpers[name].parameters()]
        (group,) = game.student_optimizer.param_groups
        assert {id(p) for p in group["params"]} == {id(p) for p in (*game.student.parameters(), *extra)}
        assert game.optimizers() == [game.student_optimizer]


@pytest.mark.parametrize("method", ["at", "ft"])
def test_at_and_ft_refuse_networks_whose_maps_are_single_pixels(method):
    recipe, data = recipe_for("moons", method), load_dataset("moons")
    images = images_for("original", data, share=1.0, seed=0, device="cpu")[0]
    with pytest.raises(UserError, match="maps of many pixels"):
        METHODS[method](build("mlp", 2), recipe, 2, 2, seed=0, size=1, images=images)
