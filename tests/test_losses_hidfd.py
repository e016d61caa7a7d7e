"""HiDFD's losses against plain NumPy, and their gradients against finite differences."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from loss_checks import (
    arrays,
    check_gradient,
    cross_entropy,
    few,
    finite,
    huge,
    labels,
    logits,
    norms,
    probabilities,
    tensors,
)

from dfkd_lib.errors import UserError
from dfkd_lib.losses import hidfd

# --- ADCGAN (Eq. 1) --------------------------------------------------------------------------------------------------

sigmoid = lambda u: 1 / (1 + np.exp(-u))  # noqa: E731  reads like the equation
DISCRIMINATOR = {
    "log": lambda real, fake: -np.log(sigmoid(real)).mean() - np.log(1 - sigmoid(fake)).mean(),
    "non_saturating": lambda real, fake: -np.log(sigmoid(real)).mean() - np.log(1 - sigmoid(fake)).mean(),
    "hinge": lambda real, fake: np.maximum(1 - real, 0).mean() + np.maximum(1 + fake, 0).mean(),
}
GENERATOR = {
    "log": lambda fake: np.log(1 - sigmoid(fake)).mean(),
    "non_saturating": lambda fake: -np.log(sigmoid(fake)).mean(),
    "hinge": lambda fake: -fake.mean(),
}
forms = pytest.mark.parametrize("form", hidfd.GAN)


@forms
@given(pair=arrays("real", "fake"))
def test_gan(form, pair):
    real, fake = pair[0] / 3, pair[1] / 3  # where log(1 − σ) still has its digits
    made = hidfd.gan_discriminator(*tensors(real, fake), form=form).item()
    assert made == pytest.approx(DISCRIMINATOR[form](real, fake), rel=1e-5)
    assert hidfd.gan_generator(*tensors(fake), form=form).item() == pytest.approx(GENERATOR[form](fake), rel=1e-5)


@forms
def test_gradients_of_gan(form):
    real, fake = np.random.default_rng(0).normal(size=(2, 5))  # on both sides of the hinges
    check_gradient(lambda r, f: hidfd.gan_discriminator(r, f, form), real, fake)
    check_gradient(lambda f: hidfd.gan_generator(f, form), fake)


def test_the_equations_form_is_the_default():
    real, fake = torch.tensor([2.0]), torch.tensor([-3.0])
    assert hidfd.gan_discriminator(real, fake) == hidfd.gan_discriminator(real, fake, "log")
    assert hidfd.gan_generator(fake) == hidfd.gan_generator(fake, "log")


def test_only_the_printed_form_loses_the_gradient():
    """Eq. 6: a discriminator that is sure of its fakes leaves nothing to the generator."""
    u = torch.tensor([-60.0, -60.0], requires_grad=True)
    gradients = {form: torch.autograd.grad(hidfd.gan_generator(u, form), u)[0].tolist() for form in hidfd.GAN}
    assert gradients["log"] == pytest.approx([0, 0], abs=1e-20)
    assert gradients["non_saturating"] == gradients["hinge"] == pytest.approx([-0.5, -0.5])


@forms
def test_huge_gan_logits_are_finite(form):
    real, fake = torch.tensor([1e4, -1e4]), torch.tensor([-1e4, 1e4])
    assert finite(lambda r, f: hidfd.gan_discriminator(r, f, form), real, fake)
    assert finite(lambda f: hidfd.gan_generator(f, form), fake)


def test_an_unknown_form_is_told():
    with pytest.raises(UserError, match="form: 'hing' is not known .did you mean 'hinge'.*hinge, log, non_"):
        hidfd.gan_discriminator(torch.zeros(1), torch.zeros(1), "hing")
    with pytest.raises(UserError, match="form"):
        hidfd.gan_generator(torch.zeros(1), "hing")


@st.composite
def classified(draw):
    """Logits of 2C classes for real and for fake images, and C classes asked for."""
    plus_r, minus_r, plus_f, minus_f = draw(arrays("real c", "real c", "fake c", "fake c"))
    real, fake = np.concatenate([plus_r, minus_r], 1), np.concatenate([plus_f, minus_f], 1)
    return real, labels(plus_r), fake, labels(plus_f)


@given(classified())
def test_class_losses(images):
    """Ψ(y⁺) and Ψ(y⁻) are shares of one softmax over both halves."""
    real, y_real, fake, y_fake = images
    classes = fake.shape[1] // 2
    as_fake = cross_entropy(fake, y_fake + classes)
    made = hidfd.class_discriminator(*tensors(real, y_real, fake, y_fake)).item()
    assert made == pytest.approx(cross_entropy(real, y_real) + as_fake)
    made = hidfd.class_generator(*tensors(fake, y_fake)).item()
    assert made == pytest.approx(cross_entropy(fake, y_fake) - as_fake, rel=1e-5, abs=1e-9)


def test_gradients_of_class_losses():
    real, fake = np.random.default_rng(0).normal(size=(2, 4, 6))
    y_real, y_fake = tensors([0, 1, 2, 0], [2, 2, 1, 0])
    check_gradient(lambda r, f: hidfd.class_discriminator(r, y_real, f, y_fake), real, fake)
    check_gradient(lambda f: hidfd.class_generator(f, y_fake), fake)


def test_the_mended_sign_has_its_minimum_at_the_papers_optimal_classifier():
    """Images that all look the same: Ψ* = (p(y), q(y)) / (p + q), the appendix's Eq. 1. The printed sign has none."""
    p, q = np.array([5, 2, 1]), np.array([1, 3, 4])
    y_real, y_fake = (torch.from_numpy(np.repeat(np.arange(3), n)) for n in (p, q))

    def loss(c):
        return hidfd.class_discriminator(c.expand(8, 6), y_real, c.expand(8, 6), y_fake)

    best = torch.from_numpy(np.log(np.concatenate([p, q]) / 16)).requires_grad_()
    assert torch.autograd.grad(loss(best), best)[0].abs().max() < 1e-12
    for direction in torch.eye(6, dtype=torch.float64):
        assert loss(best + 0.1 * direction) > loss(best)


def test_the_generators_class_term_never_saturates():
    fake = torch.tensor([[-1e4, 0.0, 1e4, 0.0]], requires_grad=True)  # class 0, and surely fake
    gradient = torch.autograd.grad(hidfd.class_generator(fake, torch.tensor([0])), fake)[0]
    assert gradient.tolist() == [[-1, 0, 1, 0]]


# --- feature integration and alignment (Eq. 8, 9 and 14) -------------------------------------------------------------

features = arrays("b w", "b w", "b w", "b w")


@given(features, st.floats(0, 1))
def test_blend(parts, q):
    t_real, t_fake, d_real, d_fake = parts
    p = np.random.default_rng(len(t_real)).uniform(size=len(t_real))
    (gate,) = tensors((p > q).astype(float))
    crossed = norms(t_real - d_fake) + norms(t_fake - d_real)
    made = hidfd.blend(*tensors(*parts), gate).item()
    assert made == pytest.approx(np.mean([c if draw > q else 0 for c, draw in zip(crossed, p, strict=True)]))


@given(features)
def test_transfer(parts):
    t_real, t_fake, d_real, d_fake = parts
    expected = (norms(t_real - d_real) + norms(t_fake - d_fake)).mean()
    assert hidfd.transfer(*tensors(*parts)).item() == pytest.approx(expected)


@given(features)
def test_alignment(parts):
    t, s, *_ = parts
    assert hidfd.alignment(*tensors(t, s)).item() == pytest.approx(norms(t - s).mean())


@few
@given(features)
def test_gradients_of_feature_losses(parts):
    gate = torch.tensor([1.0] + [0.0] * (len(parts[0]) - 1), dtype=torch.float64)
    check_gradient(lambda *f: hidfd.blend(*f, gate), *parts)
    check_gradient(hidfd.transfer, *parts)
    check_gradient(hidfd.alignment, *parts[:2])


def test_feature_losses_at_equality():
    """Zero, with a gradient of zero: a plain square root would give NaN."""
    f = torch.arange(6.0).reshape(2, 3)
    gate = torch.ones(2)
    for loss in (
        hidfd.alignment,
        lambda t, d: hidfd.transfer(t, t, d, d),
        lambda t, d: hidfd.blend(t, t, d, d, gate),
    ):
        assert loss(f, f).item() == 0
        assert finite(loss, f, f)


def test_the_gates_two_readings():
    p = torch.rand(100_000, generator=torch.Generator().manual_seed(0))
    formula, sentence = (hidfd.blend_gate(p, 0.7, reading) for reading in ("formula", "sentence"))
    assert torch.equal(formula, (p > 0.7).float())
    assert torch.equal(sentence, (p < 0.7).float())
    assert formula.mean().item() == pytest.approx(0.3, abs=0.01)
    assert torch.equal(hidfd.blend_gate(p, 0.7), formula)
    with pytest.raises(UserError, match="reading: 'text' is not known.*allowed: formula, sentence"):
        hidfd.blend_gate(p, 0.7, "text")


# --- category frequency smoothing (Eq. 10 to 12) ---------------------------------------------------------------------


@given(logits(least_classes=1))
def test_class_counts(pair):
    t, _ = pair
    counts = hidfd.class_counts(*tensors(t))
    assert counts.tolist() == np.bincount(t.argmax(1), minlength=t.shape[1]).tolist()
    assert counts.dtype == torch.float64


def test_smoothed_counts():
    """Three iterations of Eq. 10 by hand, with unequal weights for old and new."""
    counts = torch.tensor([8.0, 8.0])
    for made in ([16.0, 0.0], [0.0, 16.0]):
        counts = hidfd.smoothed_counts(counts, torch.tensor(made), 0.25)
    assert counts.tolist() == [0.75 * (0.75 * 8 + 0.25 * 16), 0.75 * (0.75 * 8) + 0.25 * 16]


@given(arrays("c"), st.floats(0, 1))
def test_class_frequencies(counts, floor):
    n = np.abs(counts[0])
    expected = [max(x / n.sum(), floor / len(n)) for x in n]
    np.testing.assert_allclose(hidfd.class_frequencies(*tensors(n), floor), expected)
    assert hidfd.class_frequencies(*tensors(n), 0).sum().item() == pytest.approx(1)


def test_the_floor_bounds_the_weight_of_a_class_that_is_never_made():
    weights = 1 / hidfd.class_frequencies(torch.tensor([0.0, 1.0, 99.0, 100.0]), floor=0.1)
    assert weights.tolist() == pytest.approx([4 / 0.1, 4 / 0.1, 200 / 99, 2])


@given(arrays("b c", "c"))
def test_frequency_regulariser(parts):
    t, counts = parts
    frequencies = np.abs(counts) + 0.1
    p = probabilities(t).mean(0)
    expected = sum(p[c] * np.log(p[c]) / frequencies[c] for c in range(len(p)))
    assert hidfd.frequency_regulariser(*tensors(t, frequencies)).item() == pytest.approx(expected, rel=1e-5, abs=1e-9)


@few
@given(arrays("b c", "c", c=2))
def test_gradient_of_frequency_regulariser(parts):
    t, counts = parts
    (frequencies,) = tensors(np.abs(counts) + 0.1)
    check_gradient(lambda t: hidfd.frequency_regulariser(t, frequencies), t / 5)


def test_frequency_regulariser_of_balanced_answers_and_of_missing_classes():
    fair = torch.full((5,), 0.2)
    assert hidfd.frequency_regulariser(torch.zeros(3, 5), fair).item() == pytest.approx(-5 * np.log(5))
    sure, _ = huge(3, 5)  # two classes have probability 0
    assert finite(lambda t: hidfd.frequency_regulariser(t, fair), sure)
    assert hidfd.frequency_regulariser(sure, fair).item() == pytest.approx(-5 * np.log(3))
