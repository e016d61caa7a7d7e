"""Probes leave a run unchanged, and their metrics are what they are called."""

import copy

import numpy as np
import pytest
import torch

from dfkd_lib import theory
from dfkd_lib.data import images_for, load_dataset
from dfkd_lib.lab import GANProbe, Probe
from dfkd_lib.methods import Task, hidfd
from dfkd_lib.models import build
from dfkd_lib.recipes import recipe_for
from dfkd_lib.teachers import load_teacher

SMALL = {"batch": 8, "student_batch": 8, "generator_steps": 1, "student_steps": 1}


def played(dataset, method, stages=3, observe=None, **changes):
    """A run's settings and state after some stages, with the library's recipe."""
    data = load_dataset(dataset)
    r = recipe_for(dataset, method).replace(stages=10, **SMALL | changes)
    images = None
    if r.settings.data:
        choice = {"ratio": 0.13, "by": "category", "imbalance": 5.0}
        images, _ = images_for("collected", data, seed=0, device="cpu", **choice)
    torch.manual_seed(0)
    shape = (data.x_train.shape[3], *data.x_train.shape[1:3])
    task = Task(data.num_classes, shape, images=images)
    teacher = load_teacher(data, r.teacher).network
    state = r.settings.start(teacher, build(r.student, data.num_classes), task, seed=0)
    state.observe = observe
    for state.stage in range(1, stages + 1):
        r.settings.stage(state)
    return r.settings, state


def same(one, other):
    """Whether two runs have the same networks and random state."""
    names = ("student", "generator", "ema", "discriminator")
    pairs = [(getattr(one, n), getattr(other, n)) for n in names if hasattr(one, n)]
    equal = [
        torch.equal(a, b)
        for p, q in pairs
        for a, b in zip(p.state_dict().values(), q.state_dict().values(), strict=True)
    ]
    return all(equal) and torch.equal(one.random.get_state(), other.random.get_state())


# --- Probe ---------------------------------------------------------------------------


def test_a_probe_leaves_the_run_unchanged():
    probe = Probe(images=4, coordinates=9, js_every=1)
    ran = [played("digits", "mad", 22, o, generator_width=1) for o in (None, probe)]
    assert same(*(state for _, state in ran))
    assert probe.seen == list(range(1, 23)) and len(probe.samples["EMA(G)"]) == 22
    assert [len(js) for js in probe.js["G"].values()] == [2] * 5  # of stages 21 and 22
    assert 0 <= min(probe.js["EMA(G)"][1]) <= max(probe.js["EMA(G)"][1]) <= np.log(2)


def test_its_metrics_by_hand():
    probe, seen = Probe(images=5, coordinates=10_000), []

    def observe(s):
        probe(s)
        flat = torch.cat([p.flatten() for p in s.generator.parameters()])
        seen.append((flat.detach().double(), probe.samples["G"][-1]))

    _, s = played("digits", "dfad", observe=observe, generator_width=1)
    weights, images = zip(*seen, strict=True)
    moves = torch.stack(weights).diff(dim=0)[:, probe.index].numpy()
    np.testing.assert_allclose(probe.increments, moves)
    step = (images[2] - images[1]).flatten(1).double().numpy().reshape(-1)
    np.testing.assert_allclose(probe.sample_increments()[1], step)
    first, second = (s.teacher(x).argmax(1) for x in images[:2])
    assert probe.flips()[0] == (first != second).double().mean()
    found = probe.summary(momentum=0.5)
    assert found["filtered_ratio"] == theory.filtered_ratio(moves, 0.5)
    assert not probe.samples["EMA(G)"] and sum(found["power"]) == pytest.approx(1)


# --- GANProbe ------------------------------------------------------------------------

GAN = {"generator_width": 2, "z_dim": 6, "gan_share": 0.5}


@pytest.fixture(scope="module")
def gan():
    data = load_dataset("digits_hybrid")
    settings, twin = played("digits_hybrid", "hidfd", **GAN)
    probe = GANProbe(settings, data, images=20)
    _, s = played("digits_hybrid", "hidfd", observe=probe, **GAN)
    return settings, s, probe, twin


def test_a_gan_probe_leaves_the_run_unchanged(gan):
    _, s, probe, twin = gan
    assert same(s, twin)
    assert {len(values) for values in probe.summary().values()} == {3}


def test_what_was_not_collected_is_not_learned_from(gan):
    _, s, probe, _ = gan
    both = [x.pixels(torch.arange(len(x))) for x in (s.task.images, probe.unseen)]
    known, others = ({image.numpy().tobytes() for image in images} for images in both)
    assert len(known) + len(others) == 450 and not known & others


def test_its_metrics_on_the_last_stage_by_hand(gan):
    settings, s, probe, _ = gan
    x, y = probe.samples, probe.labels
    judge, slopes = copy.deepcopy(s.discriminator).eval(), {"GAN": [], "classes": []}
    for image, label in zip(x, y, strict=True):
        one = image[None].clone().requires_grad_(True)
        real, classes = judge(one).real, judge(one).classes
        terms = {"GAN": hidfd.gan_generator(real, settings.gan_loss)}
        terms["classes"] = hidfd.class_generator(classes, label[None])
        for name, term in terms.items():
            slopes[name].append(torch.autograd.grad(term, one)[0].norm().item())
    last = {name: values[-1] for name, values in probe.series.items()}
    for name, values in slopes.items():
        assert last[f"slope {name}"] == pytest.approx(np.mean(values), rel=1e-3)
    with torch.no_grad():
        u, answers = judge(x).real, s.teacher(x)
        right = judge(s.task.images.batch(torch.arange(len(s.task.images)))).real > 0
    labels = s.task.images.y
    by_class = [right[labels == c].double().mean().item() for c in range(10)]
    assert last["real"] == pytest.approx(np.mean(by_class))
    assert last["fake"] == pytest.approx((u < 0).double().mean().item())
    assert last["agreement"] == (answers.argmax(1) == y).double().mean().item()
    shares = answers.softmax(1).mean(0).tolist()
    assert last["shares"] == pytest.approx(shares, rel=1e-4)
