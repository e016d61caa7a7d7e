"""Accuracy, agreement and KL on the test split."""

import numpy as np
import pytest
import torch
from torch import nn

from dfkd_lib import evaluation
from dfkd_lib.data import Dataset
from dfkd_lib.losses import mad
from dfkd_lib.models import LeNet5, WideResNet


def test_accuracy_counts_largest_logits():
    logits = torch.tensor([[3.0, 1.0], [-1.0, 2.0], [5.0, 4.0], [0.0, 1.0]])
    assert evaluation.accuracy(logits, torch.tensor([0, 1, 1, 1])) == 75


def test_scores_tell_the_label_from_the_teachers_answer():
    """Four images: the student agrees with the teacher on three, and with the label on two."""
    one_hot = {answer: 4.0 * torch.eye(3)[answer] for answer in range(3)}
    student = nn.Sequential(nn.Flatten(), nn.Linear(4, 3, bias=False))
    student[1].weight.data = torch.stack([one_hot[a] for a in (0, 1, 2, 0)], dim=1)
    teacher_logits = torch.stack([one_hot[a] for a in (0, 1, 2, 1)])
    images = torch.eye(4).reshape(4, 1, 2, 2)
    test = evaluation.TestSet(images, torch.tensor([0, 1, 1, 2]), teacher_logits)

    scores = evaluation.evaluate(student, test)
    assert scores.accuracy == 50
    assert scores.agreement == 75
    assert scores.kl == pytest.approx(mad.kl(teacher_logits[3:], one_hot[0][None]).item() / 4, rel=1e-5)


def test_a_teacher_agrees_with_itself(digits, teacher):
    test = evaluation.TestSet.of(digits, teacher.network, "cpu")
    scores = evaluation.evaluate(teacher.network, test)
    assert scores.agreement == 100
    assert scores.kl == pytest.approx(0, abs=1e-6)
    assert len(test.x) == len(test.y) == len(digits.y_test)


@pytest.mark.parametrize("training", [True, False])
def test_logits_are_those_of_evaluation_and_the_mode_comes_back(training):
    torch.manual_seed(0)
    network, x = WideResNet(10, 1).train(training), torch.randn(7, 3, 32, 32)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    logits = evaluation.logits_of(network, x, batch=3)
    assert network.training == training and not logits.requires_grad
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    torch.testing.assert_close(logits, network.eval()(x))


def test_the_mode_comes_back_behind_an_exception():
    network = nn.Sequential(nn.Flatten(), nn.Linear(5, 10))
    with pytest.raises(RuntimeError):
        evaluation.logits_of(network, torch.zeros(2, 1, 32, 32))
    assert network.training


def test_the_test_split_is_what_is_tested_on():
    """Not the training split, which a student without data must never see."""
    x = np.arange(2 * 32 * 32).reshape(2, 32, 32, 1) % 251
    made = Dataset("made", x[:1].astype(np.uint8), np.array([3]), x[1:].astype(np.uint8), np.array([1]), (0.5,), (2.0,))
    test = evaluation.TestSet.of(made, LeNet5(), "cpu")
    np.testing.assert_allclose(
        test.x.batch(torch.arange(1)).numpy(), (x[1:].transpose(0, 3, 1, 2) / 255 - 0.5) / 2, rtol=1e-5, atol=1e-7
    )
    assert test.y.tolist() == [1]
