"""`distill` on small teachers: what it learns, what it leaves, how it is continued, what it refuses."""

import inspect
import json

import faults
import numpy as np
import pytest
import torch
from method_checks import with_batchnorm
from safetensors.torch import load_file
from strangers import Detaches, OnlyTwo, Own, TakesBytes, Views, Writes
from torch import nn

import dfkd_lib
from dfkd_lib import distillation, training
from dfkd_lib.errors import UserError
from dfkd_lib.foreign import renormalised
from dfkd_lib.methods import DFAD, MAD
from dfkd_lib.models import build
from dfkd_lib.own_networks import seen_constants

TINY = {"generator_width": 2, "z_dim": 6, "batch": 128, "student_batch": 8, "student_steps": 2}
WRITTEN = {".student.lock", "student.json", "student.safetensors"}


def same(one: nn.Module, other: nn.Module) -> bool:
    return faults.same(one.state_dict(), other.state_dict())


@pytest.fixture
def task(digits, teacher, tmp_path):
    """What every call here gives, small."""
    given = {"teacher": teacher.network, "student": "lenet5_half", "input_shape": (1, 32, 32), "num_classes": 10}
    given |= {"mean": digits.mean, "std": digits.std, "output_dir": str(tmp_path / "own"), "device": "cpu"}
    return given | {"precision": "float32", "stages": 4, "onnx": False} | TINY


@pytest.fixture
def make(task, monkeypatch):
    """A call; exporting takes seconds and has tests of its own."""
    monkeypatch.setattr(distillation, "export", lambda *args, **options: {})

    def distilled(**changes):
        return dfkd_lib.distill(**{**task, **changes})

    return distilled


def test_what_it_leaves(task, teacher, digits, tmp_path):
    before = {name: value.clone() for name, value in teacher.network.state_dict().items()}
    check = tmp_path / "check.npz"
    np.savez(check, x=digits.x_test[:50], y=digits.y_test[:50])
    done = dfkd_lib.distill(**task, check=check)
    assert all(torch.equal(before[name], value) for name, value in teacher.network.state_dict().items())
    assert {path.name for path in (tmp_path / "own").iterdir()} == WRITTEN | {"student.pt2"}
    assert done.report == json.loads(done.files["report"].read_text())
    assert done.report["stages"] == 4 and done.report["samples"] == 4 * 2 * 2 * 8
    assert done.report["sizes"] == {"teacher": 61706, "student": 15738}
    assert done.report["exports"]["onnx"] == {"not_made": "not asked for"}
    x = torch.from_numpy(digits.normalise(digits.x_test[:50]))
    with torch.no_grad():
        logits, answers = done.student(x), teacher.network(x)
        assert torch.equal(torch.export.load(done.files["torch.export"]).module()(x), logits)
    found, y = done.report["check"], torch.from_numpy(digits.y_test[:50])
    assert found["images"] == 50
    for name, (a, b) in {
        "agreement": (logits.argmax(1), answers.argmax(1)),
        "student_accuracy": (logits.argmax(1), y),
        "teacher_accuracy": (answers.argmax(1), y),
    }.items():
        assert found[name] == pytest.approx(100 * (a == b).double().mean().item())
    read = build("lenet5_half", 10)
    read.load_state_dict(load_file(done.files["weights"]))
    assert same(read, done.student) and not done.student.training


def test_it_learns(make, digits, tmp_path):
    """No image of a digit was shown: with wrong ideas of training, agreement stays near a tenth."""
    np.savez(tmp_path / "check.npz", x=digits.x_test)
    done = make(stages=60, check=tmp_path / "check.npz", generator_width=8, z_dim=100, student_batch=64,
                student_steps=5, stages_per_epoch=20)  # fmt: skip
    assert done.report["check"]["agreement"] > 80
    assert "student_accuracy" not in done.report["check"]


def test_the_same_seed_makes_the_same_student(make, tmp_path):
    one, two, other = (make(seed=seed, output_dir=str(tmp_path / str(i))) for i, seed in enumerate((1, 1, 2)))
    assert same(one.student, two.student) and not same(one.student, other.student)


def test_it_is_continued(make, task, tmp_path, monkeypatch):
    whole = make(output_dir=str(tmp_path / "whole"))

    def stopped(game, *args, **options):
        def observe(stage, method):
            if stage == 3:
                raise KeyboardInterrupt

        return training.train(game, *args, **options | {"observe": observe})

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(distillation, "train", stopped)
        make()
    with pytest.raises(UserError, match="resume=True"):
        make()
    with pytest.raises(UserError, match="of another run"):
        make(resume=True, student_lr=0.5)
    done = make(resume=True)
    assert done.history.resumed == [2] and same(done.student, whole.student)
    assert {path.name for path in (tmp_path / "own").iterdir()} == WRITTEN


def test_it_ends_where_the_student_agrees(make):
    assert make(stages=40, percent=0).report["stages"] == 3
    assert make(stages=40, percent=100, patience=1).report["stages"] < 40


# --- networks --------------------------------------------------------------------------------------------------------


COLOUR = {"input_shape": (3, 32, 32), "mean": (0.4, 0.5, 0.6), "std": (0.2, 0.3, 0.2), "stages": 2}


def test_a_module_of_ones_own_is_copied_and_trained_from_its_weights(make):
    own = Own()
    before = [p.clone() for p in own.parameters()]
    done = make(teacher=with_batchnorm(), student=own, **COLOUR)
    assert all(map(torch.equal, before, own.parameters()))
    assert isinstance(done.student, Own) and not same(done.student, own)
    near = make(teacher=with_batchnorm(), student=own, **COLOUR, student_lr=1e-9).student
    torch.testing.assert_close(list(near.parameters()), before, atol=1e-4, rtol=1e-4)


def test_a_student_of_torchvision(make):
    done = make(teacher=with_batchnorm(), student="torchvision:shufflenet_v2_x0_5", **COLOUR)
    assert done.student(torch.zeros(2, 3, 32, 32)).shape == (2, 10)


@pytest.mark.parametrize("method", ["dfad", "arvi", "abm", "dfkd_mem", "dafl"])
def test_other_methods(make, method):
    assert make(method=method, stages=1).report["method"] == method


def test_a_method_of_ones_own(make):
    class Twice(DFAD):
        def student_loss(self, images):
            return {name: 2 * term for name, term in super().student_loss(images).items()}

    one, two = make(method="dfad", stages=1), make(method=Twice, stages=1)
    assert two.report["method"] == "Twice" and not same(one.student, two.student)


@pytest.mark.parametrize(
    ("mean", "std"), [((0.0,), (1.0,)), ((0.5,), (0.5,)), ((0.0,) * 3, (1 / 255,) * 3), ((0.4, 0.5, 0.6), (0.2,) * 3)]
)
def test_constants_of_a_range_are_no_moments(mean, std):
    mean, std = ((value * 3)[:3] for value in (mean, std))
    seen = seen_constants((mean, std))
    assert seen == ((mean, std) if mean == (0.4, 0.5, 0.6) else ((0.5,) * 3, (0.25,) * 3))
    # Both ways between the teacher's images and the generator's.
    pixels, network = torch.rand(4, 3, 32, 32), with_batchnorm()
    (theirs, made) = (((pixels - torch.tensor(m).view(3, 1, 1)) / torch.tensor(s).view(3, 1, 1))
                      for m, s in ((mean, std), seen))  # fmt: skip
    torch.testing.assert_close(renormalised(network, seen, (mean, std))(made), network(theirs), rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(renormalised(network, (mean, std), seen)(theirs), network(made), rtol=1e-3, atol=1e-3)


def test_a_student_takes_what_its_teacher_took(make, tmp_path):
    """A teacher that normalises by itself has the student of one that is given normalised images."""
    pixels = torch.rand(4, 3, 32, 32)
    common = {"student": "wrn16_1", **COLOUR}
    one = make(teacher=with_batchnorm(), **common | {"mean": (0.5,), "std": (0.25,)})
    two = make(teacher=TakesBytes(with_batchnorm()), **common | {"mean": (0.0,), "std": (1 / 255,)})
    assert two.report["constants"] == [[0.0] * 3, [1 / 255] * 3]
    assert two.report["weights_take"] == {"mean": [0.5] * 3, "std": [0.25] * 3}
    with torch.no_grad():
        normalised = one.student((pixels - 0.5) / 0.25)
        torch.testing.assert_close(two.student(255 * pixels), normalised, rtol=1e-2, atol=1e-2)
        read = build("wrn16_1", 10).eval()
        read.load_state_dict(load_file(two.files["weights"]))
        torch.testing.assert_close(read((pixels - 0.5) / 0.25), two.student(255 * pixels), rtol=1e-3, atol=1e-3)


# --- refusals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"mean": None, "std": None}, ["mean, std", "were normalised", "one number per channel"]),
        ({"mean": None}, ["one is given without the other"]),
        ({"mean": (0.5, 0.5)}, ["mean", "1 numbers"]),
        ({"std": (0.0,)}, ["std", "1e-06"]),
        ({"mean": 0.5}, ["mean", "one per channel"]),
        ({"input_shape": (1, 32)}, ["input_shape", "channels, height, width"]),
        ({"input_shape": (1, 32, 28)}, ["square", "(1, 32, 32)"]),
        ({"input_shape": (1, 30, 30)}, ["divides by 4", "(1, 28, 28)"]),
        ({"input_shape": (3, 100, 100)}, ["divides by 16", "(3, 96, 96)"]),
        ({"input_shape": (3, 32, 32), "student": "wrn16_1"}, ["teacher", "3×32×32"]),
        ({"num_classes": 9}, ["knows 10 classes; 9 are needed"]),
        ({"num_classes": 1}, ["num_classes"]),
        ({"teacher": "lenet5"}, ["without weights"]),
        ({"teacher": "hub:lenet5"}, ["teacher", "is not understood"]),
        ({"teacher": "gone.safetensors:lenet5"}, ["there is no file"]),
        ({"student": "lenet6"}, ["student", "did you mean"]),
        ({"student": "hub:lenet5"}, ["student", "torchvision or timm"]),
        ({"student": "torchvision:lenet5"}, ["torchvision has no classifier 'lenet5'"]),
        ({"student": "wrn16_1"}, ["student", "1×32×32"]),
        ({"student": nn.Flatten()}, ["student", "Flatten", "1024 classes; 10"]),
        ({"student": None}, ["student"]),
        ({"method": "kd_ori"}, ["method", "allowed: abm, arvi, dafl"]),
        ({"method": nn.Linear}, ["method"]),
        ({"stages": 0}, ["stages"]),
        ({"percent": 101}, ["percent"]),
        ({"patience": 0}, ["patience"]),
        ({"seed": -1}, ["seed"]),
        ({"precision": "half"}, ["precision"]),
        ({"check": "gone"}, ["check", "there is no 'gone'"]),
        ({"student_rate": 0.1}, ["setting", "student_rate", "did you mean"]),
        ({"student_lr": -1.0}, ["student_lr", "-1.0"]),
        ({"discrepancy": "kl"}, ["setting", "discrepancy"]),
        ({"output_dir": ""}, ["output_dir"]),
    ],
    ids=str,
)  # fmt: skip
def test_one_line_before_any_work(task, tmp_path, monkeypatch, changes, told):
    monkeypatch.setattr(MAD, "generator_step", lambda self: pytest.fail("work has started"))
    with pytest.raises(UserError) as refused:
        # Without the annotations' own checks, which only tests have.
        inspect.unwrap(dfkd_lib.distill)(**{**task, **changes})
    line = str(refused.value)
    assert "\n" not in line
    assert all(part in line for part in told), line
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path.name != ".student.lock"]


def test_a_broken_loss_names_what_to_do(make):
    with pytest.raises(FloatingPointError, match="lower student_lr"):
        make(student_lr=1e30, stages=10)


# --- what a stranger's networks do -----------------------------------------------------------------------------------


def test_networks_that_want_contiguous_images_have_them(make):
    views = Views()
    done = make(teacher=views, student=views, **COLOUR)
    x = torch.randn(3, 3, 32, 32)
    assert done.student(x).shape == (3, 10) and not done.student._forward_pre_hooks


def test_a_wrapped_student_is_in_evaluation_mode(make, tmp_path):
    np.savez(tmp_path / "check.npz", x=np.zeros((4, 32, 32, 3), np.uint8))
    common = COLOUR | {"mean": (0.0,), "std": (1.0,)}
    done = make(teacher=with_batchnorm(), student=Own(), check=tmp_path / "check.npz", **common)
    assert not any(module.training for module in done.student.modules())


@pytest.mark.parametrize(
    ("network", "told"),
    [(Writes(), "writes into no image"), (Detaches(), "no gradient"), (OnlyTwo(), "batches of any size")],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_teachers_with_which_the_game_cannot_be_played(make, tmp_path, network, told):
    with pytest.raises(UserError, match=told):
        make(teacher=network, student=Own(), **COLOUR)
    assert not (tmp_path / "own").exists()


def test_one_class_of_fresh_images_is_told(make, capsys):
    """A teacher of pixels from 0 to 255, told to take 0 to 1: all images are black to it."""
    done = make(teacher=TakesBytes(with_batchnorm()), student=Own(), **COLOUR | {"mean": (0.0,), "std": (1.0,)})
    assert done.report["synthetic"]["classes"] == 1
    assert "do not trust this student" in capsys.readouterr().out
