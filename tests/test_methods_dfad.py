"""DFAD and AR+VI: what their losses are made of, term by term, and how images are mixed."""

import numpy as np
import pytest
import torch
from method_checks import colour, numbers, play, random_images
from scipy import stats
from torch.nn import functional as F

from dfkd_lib.methods import ARVI, DFAD

# Of logits, by hand: the candidates of DFAD Fig. 4.
DISCREPANCY = {
    "mae": lambda t, s: (t - s).abs().mean(),
    "mse": lambda t, s: ((t - s) ** 2).mean(),
    "mse_mae": lambda t, s: ((t - s) ** 2 + (t - s).abs()).mean(),
    "kl": lambda t, s: (t.softmax(1) * (t.softmax(1) / s.softmax(1)).log()).sum(1).mean(),
}


@torch.no_grad()
def next_images(game, n: int = 8) -> torch.Tensor:
    """What a twin of the game, as it stands, will generate first."""
    return game.generate(game.generator, *game.noise(n))


# --- DFAD ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", DISCREPANCY)
@torch.no_grad()
def test_dfads_two_losses_are_one_with_two_signs(name):
    """DFAD Eq. 5 and 7, and nothing else."""
    game, x = play("dfad", discrepancy=name), next_images(play("dfad"))
    expected = DISCREPANCY[name](game.teacher(x), game.student(x)).item()
    assert expected > 0
    assert numbers(game.generator_loss()) == pytest.approx({"-discrepancy": -expected}, rel=1e-4)
    assert numbers(game.student_loss([x])) == pytest.approx({"discrepancy": expected}, rel=1e-4)


def test_dfads_steps_return_their_terms():
    game, x = play("dfad"), next_images(play("dfad"))
    with torch.no_grad():
        expected = (game.teacher(x) - game.student(x)).abs().mean().item()
    assert numbers(game.generator_step()) == pytest.approx({"-discrepancy": -expected}, rel=1e-4)
    assert set(game.student_step()) == {"discrepancy"}


# --- AR+VI -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("setup", [{}, colour()], ids=["lenet5", "wrn16_1"])
@torch.no_grad()
def test_arvis_generator_loss(setup):
    """AR+VI Eq. 1 to 3, signed and weighted; f_T is what the teacher's last layer reads."""
    game = play("arvi", lambda_l=0.3, lambda_m=0.02, **setup)
    x = next_images(play("arvi", **setup))
    t, features = game.teacher(x), game.teacher.features(x)
    assert torch.equal(F.linear(features, game.teacher.classifier.weight, game.teacher.classifier.bias), t)
    expected = {
        "-discrepancy": -(t - game.student(x)).abs().mean().item(),
        "R_l": 0.3 * -t.softmax(1).max(1).values.log().mean().item(),
        "R_m": 0.02 * -features.abs().sum(1).mean().item(),
    }
    assert numbers(game.generator_loss()) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("discrepancy", ["mae", "kl"])
@pytest.mark.parametrize("labels", ["chord", "teacher"])
@torch.no_grad()
def test_arvis_student_loss(labels, discrepancy):
    """AR+VI Eq. 9: each image mixed with its neighbour of the batch, by a λ of its own."""
    game = play("arvi", mixup_labels=labels, lambda_vi=0.4, discrepancy=discrepancy)
    x, lam = random_images(), play("arvi").mixing(8)
    partner = torch.stack([x[i - 1] for i in range(8)])
    mixture = torch.stack([w * a + (1 - w) * b for w, a, b in zip(lam, x, partner, strict=True)])
    t, s = game.teacher, game.student
    target = lam[:, None] * t(x) + (1 - lam[:, None]) * t(partner) if labels == "chord" else t(mixture)
    distance = DISCREPANCY[discrepancy]
    expected = {"discrepancy": distance(t(x), s(x)).item(), "VI": 0.4 * distance(target, s(mixture)).item()}
    assert numbers(game.student_loss([x])) == pytest.approx(expected, rel=1e-3)


def test_without_its_own_terms_arvi_is_dfad():
    arvi = play("arvi", lambda_l=0.0, lambda_m=0.0, lambda_vi=0.0)
    x, random = random_images(), arvi.random.get_state()
    assert numbers(arvi.student_loss([x])) == numbers(play("dfad").student_loss([x]))
    assert torch.equal(arvi.random.get_state(), random)
    terms = numbers(arvi.generator_loss())
    assert terms.pop("-discrepancy") == pytest.approx(numbers(play("dfad").generator_loss())["-discrepancy"])
    assert all(value == 0 for value in terms.values())
    assert issubclass(ARVI, DFAD)


def test_lambda_is_fixed_or_uniform():
    assert torch.equal(play("arvi", mixup="fixed", mixup_a=0.3).mixing(5), torch.full((5,), 0.3))
    lam = play("arvi", mixup="uniform").mixing(20_000).double().numpy()
    assert stats.kstest(lam, "uniform").pvalue > 0.01


@pytest.mark.parametrize("a", [0.1, 0.5, 1.0, 4.0])
def test_lambda_is_beta_distributed(a):
    lam = play("arvi", mixup="beta", mixup_a=a).mixing(20_000).double().numpy()
    points = np.linspace(0.001, 0.999, 500)  # float32 rounds much of a small beta to 1
    below = np.searchsorted(np.sort(lam), points) / len(lam)
    assert np.abs(below - stats.beta(a, a).cdf(points)).max() < 1.63 / len(lam) ** 0.5  # Kolmogorov's bound, 1 %
    assert lam.mean() == pytest.approx(0.5, abs=0.01)
    assert lam.var() == pytest.approx(1 / (4 * (2 * a + 1)), rel=0.03)
    assert (lam * (1 - lam)).mean() == pytest.approx(a / (2 * (2 * a + 1)), rel=0.03)


@pytest.mark.parametrize("a", [1e-6, 1e-3, 1e-2])
def test_lambda_of_a_small_beta_is_one_end_or_the_other(a):
    """Where the quotient of two Gamma variables that round to zero would be 1/2, or no number."""
    lam = play("arvi", mixup="beta", mixup_a=a).mixing(20_000).double().numpy()
    assert np.isfinite(lam).all() and 0 <= lam.min() and lam.max() <= 1
    assert lam.var() == pytest.approx(1 / (4 * (2 * a + 1)), rel=0.02)
