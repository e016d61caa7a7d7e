"""HiDFD: each loss trains what the paper says and nothing else; two modules, one behind the other; the hybrid data."""

import copy

import numpy as np
import pytest
import torch
from method_checks import lenet, numbers, weights
from torch import nn

from dfkd_lib import run
from dfkd_lib.data import load_dataset
from dfkd_lib.images import Images
from dfkd_lib.losses import hidfd as losses
from dfkd_lib.methods import METHODS, HiDFD
from dfkd_lib.methods.students import StudentLoss
from dfkd_lib.methods.with_data import images_for
from dfkd_lib.models import build, classifier_of
from dfkd_lib.recipes import Recipe

TINY = Recipe(
    dataset="digits_hybrid", generator_width=2, z_dim=6, batch=10, student_batch=12, stages=4, stages_per_epoch=1,
    generator_steps=2, student_steps=2, gan_share=0.5, synthetic=40, collected_ratio=0.1,
)  # fmt: skip


@pytest.fixture(scope="module")
def collected() -> Images:
    """60 images of the digits that the teacher has not seen, the first classes more often."""
    return images_for(
        "collected", load_dataset("digits_hybrid"), seed=0, device="cpu", ratio=0.1, by="category", imbalance=5.0
    )[0]


def as_they_are(game: HiDFD) -> HiDFD:
    """Without the shifts of the student's images."""
    game.augmented = game.images.normalise
    return game


def play(images: Images, method: str = "hidfd", **changes) -> HiDFD:
    return METHODS[method](lenet(), TINY.replace(**changes), 10, 1, seed=0, images=images)


def moved(game: HiDFD, act) -> set[str]:
    parts = {name: getattr(game, name) for name in ("generator", "discriminator", "projector", "student", "teacher")}
    before = {name: weights(part) for name, part in parts.items()}
    act()
    return {name for name, part in parts.items() if not torch.equal(before[name], weights(part))}


def reached(game: HiDFD, loss: torch.Tensor) -> set[str]:
    """The parts whose weights a loss sends a gradient to."""
    parts = {name: getattr(game, name) for name in ("generator", "discriminator", "projector", "student", "teacher")}
    for part in parts.values():
        part.zero_grad()
    loss.backward()
    return {n for n, part in parts.items() if any(p.grad is not None and p.grad.any() for p in part.parameters())}


# --- where gradients go ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("term", "parts"),
    [
        ("GAN", {"discriminator"}),
        ("classes", {"discriminator"}),
        ("L_blend", {"discriminator", "projector"}),
        ("L_trans", {"discriminator", "projector"}),
    ],
)
def test_the_discriminators_losses_train_it_and_its_projector(collected, term, parts):
    """In the public code L_blend and L_trans carry no gradient; here they do, and none to the generator."""
    game = play(collected, gate_q=0.0)
    assert reached(game, game.discriminator_loss()[term]) == parts


def test_the_frequency_regulariser_trains_the_generator(collected):
    game = play(collected)
    game.discriminator.requires_grad_(False)
    assert reached(game, game.generator_loss()["L_reg"]) == {"generator"}


@pytest.mark.parametrize("distill", ["align", "simkd", "kd", "dkd", "nkd", "cc", "rkd"])
def test_the_students_losses_train_the_student_alone(collected, distill):
    game = play(collected, distill=distill, gan_share=0.0)
    game.end_generator_stage()
    assert moved(game, lambda: game.student_step(0)) == {"student"}


def test_alignment_leaves_the_shared_classifier_as_it_is(collected):
    game = play(collected, gan_share=0.0)
    game.end_generator_stage()
    shared, own = classifier_of(game.student), classifier_of(game.teacher)
    for step in range(2):
        game.student_step(step)
    assert torch.equal(shared.weight, own.weight) and torch.equal(shared.bias, own.bias)
    assert not shared.weight.requires_grad and shared.weight is not own.weight


# --- the two modules -------------------------------------------------------------------------------------------------


def test_first_the_gan_then_the_student(collected):
    game = play(collected)
    for stage in range(1, 5):
        acts = set()
        acts |= moved(game, lambda: [game.generator_step() for _ in range(2)])
        game.end_generator_stage()
        acts |= moved(game, lambda: [game.student_step(step) for step in range(2)])
        assert acts == ({"generator", "discriminator", "projector"} if stage <= 2 else {"student"})
    assert game.samples == 2 * 2 * 12


def test_the_students_schedule_begins_behind_the_gans_stages(collected):
    game = play(collected, stages=10, gan_share=0.4)
    assert [game.progress(stage) for stage in range(1, 11)] == pytest.approx([0, 0, 0, 0, *np.arange(6) / 6])


@pytest.mark.parametrize(("inflation", "share"), [(0, 60 * 3 / (60 * 3 + 200)), (1, 60 / 260), (10, 600 / 800)])
def test_the_hybrid_data_hold_the_collected_images_n_times(collected, inflation, share):
    """α = N |D_c| / (N |D_c| + |D_s|); 0 asks for the paper's N."""
    n = len(collected)
    game = as_they_are(play(collected, inflation=inflation, student_batch=400, synthetic=200))
    x, y = game.student_images()
    known = {
        image.numpy().tobytes(): label
        for image, label in zip(collected.batch(torch.arange(n)), collected.y, strict=True)
    }
    real = [image.numpy().tobytes() in known for image in x]
    alpha = share if n == 60 else game.inflation() * n / (game.inflation() * n + 200)
    assert np.mean(real) == pytest.approx(alpha, abs=4 * (alpha * (1 - alpha) / 400) ** 0.5)
    assert all(known[image.numpy().tobytes()] == label for image, label, r in zip(x, y, real, strict=True) if r)


def test_the_synthetic_images_are_the_same_after_a_resume(collected):
    game, other = play(collected), play(collected)
    game.generator_step()
    other.load(copy.deepcopy(game.state()))
    other.random.manual_seed(77)
    assert all(torch.equal(a, b) for a, b in zip(game.synthesise(), other.synthesise(), strict=True))


def test_the_frequencies_really_move(collected):
    """Eq. 10 by hand, one step behind: in the public code they stay what they were."""
    game = play(collected, gamma=0.25)
    before = game.counters.counts.clone()
    seen = []
    usual = game.teacher.forward
    game.teacher.forward = lambda x: seen.append(usual(x)) or seen[-1]
    game.generator_loss()
    made = torch.bincount(seen[-1].argmax(1), minlength=10)
    assert torch.allclose(game.counters.counts, 0.75 * before + 0.25 * made) and made.sum() == 10


def test_the_parts_of_the_objective_are_the_equations(collected):
    game, twin = play(collected, gate_q=0.4), play(collected, gate_q=0.4)
    with torch.no_grad():
        x, fake, y = twin.pairs()
        real, made = twin.discriminator(x), twin.discriminator(fake)
        p = torch.rand(10, generator=twin.random)
        t = [twin.teacher.features(part) for part in (x, fake)]
        d = [twin.projector(part.features) for part in (real, made)]
    expected = {
        "GAN": losses.gan_discriminator(real.real, made.real, "log").item(),
        "classes": losses.class_discriminator(real.classes, y, made.classes, y).item(),
        "L_blend": 0.1 * ((p > 0.4) * ((t[0] - d[1]).norm(dim=1) + (t[1] - d[0]).norm(dim=1))).mean().item(),
        "L_trans": 0.1 * ((t[0] - d[0]).norm(dim=1) + (t[1] - d[1]).norm(dim=1)).mean().item(),
    }
    assert numbers(game.discriminator_loss()) == pytest.approx(expected, rel=1e-2)  # spectral norms move at each pass


@pytest.mark.parametrize("method", ["hidfd", "degan"])
def test_no_class_is_asked_for_that_was_not_collected(collected, method):
    """Nobody has told the discriminator what its images look like."""
    game = play(collected[(collected.y != 3).nonzero()[:, 0]], method)
    assert game.present.tolist() == [0, 1, 2, 4, 5, 6, 7, 8, 9]
    asked = []
    usual = game.generate
    game.generate = lambda generator, y: asked.append(y) or usual(generator, y)
    game.generator_loss()
    _, labels = game.synthesise()
    assert 3 not in torch.cat(asked) and labels.bincount(minlength=10).tolist() == [5, 5, 5, 0, 5, 4, 4, 4, 4, 4]


def test_the_averaged_generator_makes_the_students_images(collected):
    game = play(collected, gan_momentum=0.5)
    start = copy.deepcopy(game.generator)
    game.generator_step()
    for mine, now, before in zip(*(n.parameters() for n in (game.ema.network, game.generator, start)), strict=True):
        assert torch.allclose(mine, (now + before) / 2, atol=1e-6)
    assert all(map(torch.equal, game.ema.network.buffers(), game.generator.buffers()))
    game.generator_loss = game.discriminator_loss = None  # the GAN is done
    before = game.synthesise()[0]
    torch.nn.init.zeros_(game.generator.last.parametrizations.weight.original)
    assert torch.equal(game.synthesise()[0], before)


def test_a_teacher_whose_classifier_has_no_bias_can_be_shared(collected):
    teacher = copy.deepcopy(lenet())
    teacher.classifier = nn.Linear(84, 10, bias=False)
    loss = StudentLoss("align", 1.0)
    student = loss.student(build("lenet5_half", 10), teacher, (1, 32, 32))
    x = torch.randn(3, 1, 32, 32)
    assert torch.allclose(loss.merged(student)(x), student(x), atol=1e-5)


def test_images_lie_in_the_pixels_range(collected):
    game = play(collected)
    x = game.generate(game.generator, torch.arange(10))
    pixels = x * collected.std + collected.mean
    assert pixels.min() >= -1e-6 and pixels.max() <= 1 + 1e-6


# --- networks --------------------------------------------------------------------------------------------------------


def test_simkds_student_ends_in_the_teachers_layers():
    student = StudentLoss("simkd", 1.0).student(build("lenet5_half", 10), lenet(), (1, 32, 32))
    x = torch.randn(3, 1, 32, 32)
    maps = student.stages(x).maps[-1]
    assert maps.shape == (3, 120, 1, 1)
    own = [m for m in lenet().features][8:]
    assert torch.allclose(student(x), lenet().classifier(nn.Sequential(*own)(maps)), atol=1e-6)


# --- what is wrong ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "setting", "words"),
    [
        ("hidfd", "collected_by=random", "collected_by labels category confidence"),
        ("kd_collected", "collected_by=random", "imbalance labels category confidence"),
        ("hidfd", "collected_ratio=0.9", "ratio digits_rest 450"),
        ("hidfd", "collected_imbalance=0.5", "imbalance 0.5"),
    ],
)
def test_images_that_cannot_be_collected_are_told_in_one_line(capsys, tmp_path, method, setting, words):
    place = ["--dataset", "digits_hybrid", "--device", "cpu", "--output-dir", str(tmp_path)]
    assert run.main(["--method", method, *place, "--set", setting]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ") and [word for word in words.split() if word not in line] == []
    assert [path for path in tmp_path.iterdir() if path.suffix != ".lock"] == []
