"""PRE: a VAE that replays what the generator no longer makes."""

import copy

import numpy as np
import pytest
import torch
from test_methods import lenet, real, started

from dfkd_lib.losses import one_hot
from dfkd_lib.methods import pre


def values(network):
    return [p.detach().clone() for p in network.parameters()]


def moved(network, before):
    return any(not torch.equal(a, b) for a, b in zip(values(network), before))  # noqa: B905


def test_the_divergence_from_a_standard_normal_by_hand():
    random = np.random.default_rng(0)
    mean, log_var = random.normal(size=(2, 5, 3))
    std = np.exp(log_var / 2)
    by_hand = -np.log(std) + (std**2 + mean**2) / 2 - 1 / 2
    made = pre.kl_to_normal(torch.from_numpy(mean), torch.from_numpy(log_var))
    assert made.item() == pytest.approx(by_hand.sum(1).mean())


def test_the_memory_learns_to_rebuild_what_it_has_seen():
    settings, s = started("pre", student_batch=32, memory_lr=3e-3)
    x = real().batch(torch.arange(32))

    @torch.no_grad()
    def gap():
        mean = s.encoder(x).chunk(2, 1)[0]
        return (s.memory(mean) - x).abs().mean().item()

    first, generator, student = gap(), values(s.generator), values(s.student)
    for _ in range(40):
        settings.remember(s, x)
    assert gap() < 0.85 * first
    assert not moved(s.generator, generator) and not moved(s.student, student)


def test_replayed_images_are_of_noise_that_pleases_the_teacher_more():
    """One step of the noise; neither the memory nor its statistics move."""
    settings, s = started("pre", student_batch=512, generator_lr=0.03)
    before, again = copy.deepcopy(s.memory.state_dict()), copy.deepcopy(s.random)
    x = settings.replay(s)
    assert len(x) == 64 and not x.requires_grad and s.memory.training
    assert all(torch.equal(v, before[n]) for n, v in s.memory.state_dict().items())
    s.random = again
    s.memory.eval()
    with torch.no_grad():
        plain = s.memory(*s.noise(64))
        assert one_hot(lenet()(x)) < one_hot(lenet()(plain))


def test_the_student_learns_from_new_and_from_replayed_images():
    settings, s = started("pre", student_steps=3, student_batch=16, memory_steps=2)
    s.stage = 1
    memory = values(s.memory)
    losses = settings.stage(s)
    assert s.samples == 3 * (16 + 2) and moved(s.memory, memory)
    assert [player for player, _ in losses.updates].count("student") == 3
    still, s = started("pre", student_steps=1, memory_steps=0)
    s.stage, memory = 1, values(s.memory)
    still.stage(s)
    assert not moved(s.memory, memory)


def test_the_generator_looks_for_disagreement():
    """With nothing but 1 − JS, the divergence of its images grows."""
    alone = {"lambda_onehot": 0.0, "lambda_entropy": 0.0, "lambda_activation": 0.0}
    own = {"generator_steps": 20, "generator_lr": 3e-3, "student_steps": 1}
    settings, s = started("pre", batch=64, student_lr=0.0, **alone, **own)
    terms = []
    for s.stage in (1, 2):
        updates = settings.stage(s).updates
        terms += [t["1 − JS"].item() for player, t in updates if player == "generator"]
    assert np.mean(terms[-5:]) < np.mean(terms[:5])
