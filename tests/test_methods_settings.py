"""A method reads the settings that it names in `uses`, and no other."""

from typing import Any

import pytest
import torch
from method_checks import TINY, colour, lenet, play, weights

from dfkd_lib.evaluation import TestSet
from dfkd_lib.methods import METHODS
from dfkd_lib.recipe import SETTINGS
from dfkd_lib.training import train

SMALL = TINY.replace(gan_share=0.5, batch=4, student_batch=4, student_steps=2, memory=6, inversion_steps=2)

# Another legal value for every setting there is.
OTHERWISE: dict[str, Any] = {
    "generator": "generator_b",
    "generator_width": 3,
    "z_dim": 5,
    "batch": 5,
    "student_batch": 5,
    "stages": 3,
    "stages_per_epoch": 2,
    "generator_steps": 2,
    "student_steps": 4,
    "student_optimizer": "adam",
    "student_lr": 0.02,
    "student_momentum": 0.5,
    "student_weight_decay": 0.1,
    "generator_lr": 0.01,
    "generator_beta1": 0.3,
    "generator_weight_decay": 0.5,
    "schedule": "constant",
    "milestones": (0.9,),
    "reuse": 2,
    "discrepancy": "mse",
    "momentum": 0.1,
    "lambda0": 3.0,
    "lambda1": 5.0,
    "ema_statistics": "reestimated",
    "conditional": True,
    "conditioning": "cat",
    "lambda_nll": 7.0,
    "lambda_norm": 9.0,
    "norm_scale": 9.0,
    "lambda_bn": 11.0,
    "lambda_logit": 2.0,
    "logit_bound": 0.01,
    "pretrain_steps": 2,
    "memory": 5,
    "lambda_l": 2.0,
    "lambda_m": 0.2,
    "lambda_onehot": 4.0,
    "lambda_activation": 0.3,
    "lambda_entropy": 1.0,
    "lambda_vi": 0.0,
    "mixup": "fixed",
    "mixup_a": 0.9,
    "mixup_labels": "teacher",
    "inversion_steps": 4,
    "inversion_lr": 0.2,
    "lambda_tv": 0.4,
    "lambda_l2": 0.6,
    "lambda_compete": 0.0,
    "temperature": 3.0,
    "lambda_hint": 0.2,
    "lambda_attention": 5.0,
    "lambda_factor": 8.0,
    "data_share": 0.2,
    "collected_from": "digits",
    "collected_ratio": 0.25,
    "collected_by": "confidence",
    "collected_imbalance": 1.0,
    "gan_share": 0.0,
    "gan_loss": "hinge",
    "discriminator_lr": 0.01,
    "gan_augment": True,
    "gan_momentum": 0.5,
    "lambda_d": 2.0,
    "integration": "blend",
    "gate_q": 0.3,
    "gate": "sentence",
    "lambda_g": 2.0,
    "gamma": 0.9,
    "frequency_floor": 0.9,
    "synthetic": 37,
    "inflation": 7,
    "distill": "kd",
}

# What must be there for a setting to matter; for `lambda_bn` that is a teacher with BatchNorm.
TOLD = {"conditional": True}
QUICK_GAN = {"generator_steps": 3, "generator_lr": 0.1, "discriminator_lr": 0.1}  # else grey levels hide it
WHERE = {
    "milestones": {"schedule": "step", "gan_share": 0.0},
    "schedule": {"gan_share": 0.0},
    "conditioning": TOLD,
    "lambda_nll": TOLD,
    "lambda_norm": TOLD | {"norm_scale": 0.5},
    "norm_scale": TOLD | {"norm_scale": 0.5},  # most embeddings out of bounds
    "pretrain_steps": TOLD,
    "logit_bound": {"lambda_logit": 1.0},
    "lambda_logit": {"logit_bound": 0.1},
    "mixup_a": {"mixup": "beta"},
    "temperature": {"distill": "kd"},
    **dict.fromkeys(("frequency_floor", "gamma", "gan_loss", "gate_q"), QUICK_GAN),
}
ALL_AT_ONCE = {"schedule": "step", **TOLD, "norm_scale": 0.5, "lambda_logit": 1.0, "logit_bound": 0.1, "mixup": "beta"}

PAIRS = [(method, name) for method, kind in METHODS.items() for name in sorted(kind.uses)]


def outcome(method: str, **changes: Any) -> tuple[list[int], torch.Tensor]:
    """When the student was tested, and what it came to, in a run of two stages."""
    game = play(method, recipe=SMALL, **changes)
    test = TestSet(torch.zeros(2, *game.shape), torch.arange(2), torch.zeros(2, 10))
    history = train(game, test, progress=False)
    return history.stage, weights(game.student)


def same(one: tuple[list[int], torch.Tensor], other: tuple[list[int], torch.Tensor]) -> bool:
    return one[0] == other[0] and torch.equal(one[1], other[1])


@pytest.fixture(scope="module")
def usual():
    """Outcomes that several settings are compared with."""
    known: dict[str, tuple[list[int], torch.Tensor]] = {}

    def of(method: str, **setup: Any) -> tuple[list[int], torch.Tensor]:
        key = f"{method} {sorted((name, str(value)) for name, value in setup.items() if name != 'teacher')}"
        if key not in known:
            known[key] = outcome(method, **setup)
        return known[key]

    return of


def test_every_setting_is_somebodys_and_has_another_value():
    assert set(OTHERWISE) == SETTINGS == {name for kind in METHODS.values() for name in kind.uses}
    assert all(value != getattr(SMALL, name) for name, value in OTHERWISE.items())


@pytest.mark.parametrize("method", METHODS)
def test_used_and_unused_make_up_all_settings(method):
    kind = METHODS[method]
    assert len(kind.uses) == len(set(kind.uses))
    assert kind.unused() == SETTINGS - set(kind.uses)


@pytest.mark.parametrize(("method", "name"), PAIRS)
def test_a_setting_that_a_method_uses_makes_a_difference(usual, method, name):
    setup = WHERE.get(name, {}) | (colour() if name == "lambda_bn" else {"teacher": lenet()})
    other = outcome(method, **setup | {name: OTHERWISE[name]})
    assert all(part.isfinite().all() for part in (other[1], usual(method, **setup)[1]))
    assert not same(other, usual(method, **setup))


@pytest.mark.parametrize("method", METHODS)
def test_settings_that_a_method_does_not_use_make_none(method):
    """To the bit, all of them changed at once, where there is all that a method can weigh."""
    unused = METHODS[method].unused()
    setup = colour() | {name: value for name, value in ALL_AT_ONCE.items() if name not in unused}
    assert same(outcome(method, **setup | {name: OTHERWISE[name] for name in unused}), outcome(method, **setup))
