"""DFND and KD³: what makes each of them that method, against NumPy."""

import dataclasses

import numpy as np
import pytest
import torch

from dfkd_lib.data import Images, load_dataset
from dfkd_lib.methods import METHODS, Task, dfnd, kd3
from dfkd_lib.models import build, classifier_of, embedding_and_logits
from dfkd_lib.teachers import load_teacher

STILL = {"pad": 0, "mode": "replicate", "flip": False}


def started(name, images=100, **changes):
    settings = METHODS[name](student_steps=2, student_batch=8, stages=4, **changes)
    digits = load_dataset("digits")
    found = Images.of(digits, "cpu")[torch.arange(images)]
    task = Task(10, (1, 32, 32), images=dataclasses.replace(found, usual=STILL))
    torch.manual_seed(0)
    pair = load_teacher(digits, "lenet5").network, build("lenet5_half", 10)
    s = settings.start(*pair, task, 0)
    s.stage = 1
    return settings, s


def softmax(x):
    e = np.exp(x - x.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def tensors(*arrays):
    return [torch.from_numpy(array) for array in arrays]


# --- DFND -----------------------------------------------------------------------------


def by_hand(errors, accuracy):
    """Q, cell by cell."""
    made = np.zeros((len(errors), len(errors)))
    for i, row in enumerate(softmax(errors) * (1 - accuracy)):
        left = list(row)
        for j in range(len(errors)):
            made[i, j] = accuracy if i == j else left.pop(0)
    return made


def test_the_adaptation_matrix_and_its_loss_by_hand():
    random = np.random.default_rng(0)
    errors, student = random.normal(size=(4, 3)), random.normal(size=(30, 4))
    y = random.integers(0, 4, 30)
    wanted = by_hand(errors, 0.8)
    found = dfnd.adaptation_matrix(torch.from_numpy(errors), 0.8)
    np.testing.assert_allclose(found, wanted)
    np.testing.assert_allclose(found.sum(1), 1)
    loss = -np.log([softmax(student)[n] @ wanted[:, y[n]] for n in range(30)]).mean()
    made = dfnd.noisy_labels(*tensors(student), found, torch.from_numpy(y))
    assert made.item() == pytest.approx(loss)


def test_the_matrix_learns_which_classes_the_teacher_confuses():
    """Of ten images of class 0, two are called 1: Q moves there, and only there."""
    made = dfnd.Adaptation(3, 0.8)
    student = 20 * torch.eye(3)[torch.zeros(10, dtype=torch.int64)]
    y = torch.tensor([0] * 8 + [1] * 2)
    adam = torch.optim.Adam(made.parameters(), 0.1)
    for _ in range(200):
        adam.zero_grad()
        dfnd.noisy_labels(student, made(), y).backward()
        adam.step()
    wanted = torch.tensor([[0.8, 0.2, 0], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8]])
    assert torch.allclose(made(), wanted, atol=0.02)


def test_dfnds_student_and_matrix_learn_from_the_sum_of_both_losses():
    """Its terms are the formulas on the images that the student saw."""
    settings, s = started("dfnd")
    before, seen = s.adaptation().detach().clone(), []
    hook = s.student.register_forward_hook(lambda _, x, y: seen.append((x[0], y)))
    terms = settings.stage(s).updates[0][1]
    hook.remove()
    x, logits = seen[0]
    teacher, student = (a.detach().double().numpy() for a in (s.teacher(x), logits))
    p, q = softmax(teacher / 4), softmax(student / 4)
    kl = 16 * (p * np.log(p / q)).sum(1).mean()
    assert terms["KL"].item() == pytest.approx(kl, rel=1e-4)
    said = softmax(student) @ by_hand(np.zeros((10, 9)), 0.95)
    noisy = -np.log(said[np.arange(8), teacher.argmax(1)]).mean()
    assert terms["noisy labels"].item() == pytest.approx(noisy, rel=1e-4)
    after = s.adaptation().detach()
    assert not torch.equal(after, before)
    assert torch.equal(after.diag(), before.diag())


# --- KD³ ------------------------------------------------------------------------------


def test_the_selection_by_hand():
    """The combined logits' class has its own cutoff, by its frequency."""
    random = np.random.default_rng(1)
    teacher, student = random.normal(size=(2, 200, 5)) * [[[4]], [[2]]]
    teacher[:, 0] += 3  # a frequent class
    p = softmax(0.7 * teacher + 0.3 * student)
    y, sure = p.argmax(1), p.max(1)
    counts = [sum(y == c) for c in range(5)]
    cutoffs = [0.95 * (n / max(counts)) / (2 - n / max(counts)) for n in counts]
    wanted = [i for i in range(200) if sure[i] > cutoffs[y[i]]]
    found = kd3.selected(*tensors(teacher, student), 0.7, 0.95)
    assert found.tolist() == wanted and 20 < len(wanted) < 180
    assert max(cutoffs) == 0.95 and min(cutoffs) < 0.3
    unsure = torch.zeros(6, 5)
    assert kd3.selected(unsure, unsure, 0.5, 0.95).tolist() == list(range(6))


def test_the_teachers_share_is_that_of_the_code():
    """There, by epochs of 240."""
    for epoch in (1, 40, 118, 120, 240):
        code = 1 - np.exp(-5 * (epoch / 160 - 1) ** 2) if epoch < 120 else 0
        assert kd3.teacher_share(epoch / 240) == pytest.approx(code)


def test_the_contrast_by_hand():
    random = np.random.default_rng(2)
    one, other = random.normal(size=(2, 6, 3))
    views = np.concatenate([one, other])
    views /= np.linalg.norm(views, axis=1, keepdims=True)
    each = []
    for i in range(12):
        alike = {j: np.exp(views[i] @ views[j] / 0.3) for j in range(12) if j != i}
        each.append(-np.log(alike[(i + 6) % 12] / sum(alike.values())))
    found = kd3.contrast(*tensors(one, other), 0.3)
    assert found.item() == pytest.approx(np.mean(each))


def test_a_mixed_image_has_mixed_moments_and_its_own_content():
    random = np.random.default_rng(3)
    x, lam = random.normal(2, 3, (5, 3, 8, 8)), random.random(5)
    other = np.array([3, 0, 4, 1, 2])
    made = kd3.mix_distribution(*tensors(x, lam, other)).numpy()
    for moment in (np.mean, np.std):
        own = moment(x, axis=(2, 3))
        wanted = lam[:, None] * own + (1 - lam[:, None]) * own[other]
        np.testing.assert_allclose(moment(made, axis=(2, 3)), wanted, rtol=1e-5)
    pixels = [image.reshape(15, 64) for image in (x, made)]
    for a, b in zip(*pixels, strict=True):
        assert np.corrcoef(a, b)[0, 1] == pytest.approx(1)


def test_features_weigh_more_where_the_networks_disagree():
    random = np.random.default_rng(4)
    wanted, features = random.normal(size=(2, 7, 5))
    teacher, student = random.normal(size=(2, 7, 4))
    weight = 1 / (1 + np.exp(-np.sqrt(((teacher - student) ** 2).sum(1))))
    by_hand = (weight[:, None] * (wanted - features) ** 2).mean()
    made = tensors(wanted, features, teacher, student)
    logits = made[3].requires_grad_()
    found = kd3.weighted_features(*(a.requires_grad_() for a in made))
    assert found.item() == pytest.approx(by_hand)
    found.backward()
    assert logits.grad is None and made[1].grad is not None


def test_kd3_learns_from_selected_images_before_the_teachers_classifier():
    """A cutoff of 1 leaves out the most frequent class of these easy digits."""
    settings, s = started("kd3", cutoff=1.0)
    s.student.eval()
    x = s.task.images.batch(torch.arange(100))
    teacher, student = (n(x).detach() for n in (s.teacher, s.student))
    found = kd3.selected(teacher, student, kd3.teacher_share(0.25), 1.0)
    assert 0 < len(found) < 100
    s.student.train()
    classifier = classifier_of(s.student).weight.clone()
    seen, head = [], s.head.weight.clone()
    s.teacher.features.register_forward_pre_hook(lambda _, x: seen.append(x[0]))
    settings.stage(s)
    allowed = {image.numpy().tobytes() for image in x[found]}
    assert all(i.numpy().tobytes() in allowed for batch in seen for i in batch)
    assert torch.equal(classifier_of(s.student).weight, classifier)
    assert torch.equal(classifier, classifier_of(s.teacher).weight)
    assert not torch.equal(s.head.weight, head)


def test_both_terms_of_kd3_reach_the_students_features():
    settings, s = started("kd3")
    x = s.task.images.batch(torch.arange(8))
    features, logits = embedding_and_logits(s.student, x)
    wanted, answers = embedding_and_logits(s.teacher, x)
    project = s.student.features[-1].weight
    other = embedding_and_logits(s.student, x.flip(0))[0]
    for loss in (
        kd3.weighted_features(wanted, features, answers, logits),
        kd3.contrast(s.head(features), s.head(other), 0.3),
    ):
        [gradient] = torch.autograd.grad(loss, [project], retain_graph=True)
        assert gradient.abs().max() > 0
