"""`distill` on small teachers: what it writes, resumes, exports and refuses."""

import copy
import inspect
import json
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

import dfkd_lib
from dfkd_lib import distillation
from dfkd_lib.distillation import Enough, FreshImages, export, seen_constants
from dfkd_lib.errors import UserError
from dfkd_lib.methods import DFAD, MAD
from dfkd_lib.models import build
from dfkd_lib.teachers import renormalised, weights
from dfkd_lib.train import History

TINY = {"generator_width": 2, "z_dim": 6, "batch": 128, "student_batch": 8}
TINY |= {"student_steps": 2, "precision": "float32", "stages": 4, "onnx": False}
COLOUR = {"input_shape": (3, 32, 32), "mean": (0.4, 0.5, 0.6), "std": (0.2, 0.3, 0.2)}
COLOUR |= {"stages": 2}
PIXELS = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def same(one: nn.Module, other: nn.Module) -> bool:
    return weights(one) == weights(other)


@pytest.fixture
def make(digits, teacher, tmp_path, monkeypatch):
    """A call, small; `export` is left out unless asked for."""
    given = {"teacher": teacher.network, "student": "lenet5_half", "num_classes": 10}
    given |= {"input_shape": (1, 32, 32), "mean": digits.mean, "std": digits.std}
    given |= {"output_dir": str(tmp_path / "own"), "device": "cpu"} | TINY

    def made(exporting=False, **changes):
        with monkeypatch.context() as patch:
            if not exporting:
                patch.setattr(distillation, "export", lambda *args, **options: {})
            # Without the annotations' own checks, which only tests have.
            return inspect.unwrap(dfkd_lib.distill)(**given | changes)

    return made


@pytest.fixture(scope="module")
def colour():
    """A small teacher of colour images, whose BatchNorm has seen something."""
    torch.manual_seed(0)
    layers = nn.Conv2d(3, 8, 4, 4), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten()
    network = nn.Sequential(*layers, nn.Linear(8 * 8 * 8, 10))
    network(1 + 2 * torch.randn(16, 3, 32, 32))
    return network.eval()


def test_what_it_writes(make, teacher, digits, tmp_path):
    before, check = copy.deepcopy(teacher.network), tmp_path / "check.npz"
    np.savez(check, x=digits.x_test[:50], y=digits.y_test[:50])
    done = make(exporting=True, check=check)
    assert same(before, teacher.network)
    assert done.report == json.loads(done.files["report"].read_text())
    assert done.report["stages"] == 4 and done.report["samples"] == 4 * 2 * 2 * 8
    assert done.report["sizes"] == {"teacher": 61706, "student": 15738}
    assert done.report["exports"]["onnx"] == {"not_made": "not asked for"}
    x, y = torch.from_numpy(digits.normalise(digits.x_test[:50])), digits.y_test[:50]
    with torch.no_grad():
        logits, answers = done.student(x), teacher.network(x)
    program = torch.export.load(done.files["torch.export"]).module()
    torch.testing.assert_close(program(x), logits, rtol=1e-3, atol=1e-3)
    found, guess = done.report["check"], logits.argmax(1)
    agreement = 100 * (guess == answers.argmax(1)).double().mean().item()
    assert found["images"] == 50 and found["agreement"] == pytest.approx(agreement)
    right = 100 * (guess.numpy() == y).mean()
    assert found["student_accuracy"] == pytest.approx(right)
    read = build("lenet5_half", 10)
    read.load_state_dict(load_file(done.files["weights"]))
    assert same(read, done.student) and not done.student.training
    written = {path.name for path in (tmp_path / "own").iterdir()}
    assert written == {f"student.{e}" for e in ("json", "safetensors", "pt2")} | {
        ".student.lock"
    }


def test_it_learns_and_ends_when_the_student_agrees(make, digits, tmp_path):
    np.savez(tmp_path / "check.npz", x=digits.x_test)
    more = {"generator_width": 8, "z_dim": 100, "student_batch": 64, "student_steps": 5}
    done = make(stages=40, check=tmp_path / "check.npz", stages_per_epoch=20, **more)
    assert done.report["check"]["agreement"] > 60  # no image of a digit was shown
    assert make(stages=40, percent=0).report["stages"] == 3


@pytest.mark.parametrize(
    ("tests", "ends"),
    [
        ([100, 100], False),
        ([0, 99, 99, 99], True),
        ([50, 10, 20, 30], False),
        ([50, 10, 20, 30, 50], True),
        ([50, 10, 20, 30, 51], False),
    ],
)
def test_when_it_is_enough(tests, ends):
    assert Enough(99, 4)(History(agreement=[float(test) for test in tests])) is ends


def test_it_resumes_with_the_same_outcome(make, tmp_path, monkeypatch):
    whole, other = (
        make(output_dir=str(tmp_path / "whole")),
        make(seed=1, output_dir=str(tmp_path)),
    )
    assert not same(whole.student, other.student)
    usual = MAD.stage

    def stopped(self, state):
        if state.stage == 3:
            raise KeyboardInterrupt
        return usual(self, state)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(MAD, "stage", stopped)
        make()
    with pytest.raises(UserError, match="resume=True"):
        make()
    with pytest.raises(UserError, match="parameters"):
        make(resume=True, student_lr=0.5)
    done = make(resume=True)
    assert done.history.resumed == [2] and same(done.student, whole.student)
    assert not list((tmp_path / "own").glob("*.ckpt*"))


@pytest.mark.parametrize("method", ["dfad", "arvi", "abm", "dfkd_mem", "dafl"])
def test_every_game(make, method):
    assert make(method=method, stages=1).report["method"] == method


def test_a_method_of_ones_own(make):
    @dataclass(frozen=True)
    class Slow(DFAD):
        student_lr: float = 1e-6

    usual, slow = make(method="dfad", stages=1), make(method=Slow, stages=1)
    assert slow.report["method"] == "Slow" and not same(usual.student, slow.student)
    instance = DFAD(student_lr=1e-6, generator_width=2, z_dim=6)
    one = make(method=instance, stages=1)
    assert one.report["parameters"]["student_lr"] == 1e-6 and same(
        one.student, slow.student
    )


# --- networks -----------------------------------------------------------------------


class Own(nn.Module):
    """Flattens by `view`, which refuses images that lie channels-last in memory."""

    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Conv2d(3, 4, 5), nn.Linear(4 * 28 * 28, 10)

    def forward(self, x):
        return self.head(self.body(x).view(len(x), -1))


def test_a_module_is_copied_and_trained_from_its_weights(make, colour):
    own = Own()
    before = copy.deepcopy(own)
    done = make(teacher=colour, student=own, **COLOUR)
    assert (
        same(before, own) and type(done.student) is Own and not same(done.student, own)
    )
    near = make(teacher=own, student=own, **COLOUR, student_lr=1e-9).student
    assert near(PIXELS).allclose(own(PIXELS), atol=1e-3)
    done = make(teacher=colour, student="torchvision:shufflenet_v2_x0_5", **COLOUR)
    assert done.student(PIXELS).shape == (4, 10)


class TakesBytes(nn.Module):
    """A teacher of pixels from 0 to 255, which normalises them itself."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, pixels):
        return self.network((pixels / 255 - 0.5) / 0.25)


def test_a_student_takes_what_its_teacher_took(make, colour):
    torch.manual_seed(0)
    common = COLOUR | {"student": Own()}
    one = make(teacher=colour, **common | {"mean": (0.5,), "std": (0.25,)})
    byte = common | {"mean": (0.0,), "std": (1 / 255,)}
    two = make(teacher=TakesBytes(colour), **byte)
    assert two.report["weights_take"] == {"mean": [0.5] * 3, "std": [0.25] * 3}
    with torch.no_grad():
        wanted = one.student((PIXELS - 0.5) / 0.25)
        torch.testing.assert_close(
            two.student(255 * PIXELS), wanted, rtol=1e-2, atol=1e-2
        )
    assert not any(module.training for module in two.student.modules())


@pytest.mark.parametrize(
    "constants", [(0.0, 1.0), (0.5, 0.5), (0.0, 1 / 255), (0.4, 0.2)]
)
def test_constants_of_a_range_are_no_moments(colour, constants):
    given = tuple((value,) * 3 for value in constants)
    seen = seen_constants(given)
    assert seen == (given if constants == (0.4, 0.2) else ((0.5,) * 3, (0.25,) * 3))
    theirs, ours = ((PIXELS - m[0]) / s[0] for m, s in (given, seen))
    found = renormalised(colour, seen, given)(ours)
    torch.testing.assert_close(found, colour(theirs), rtol=1e-3, atol=1e-3)


def test_one_class_of_fresh_images_is_told(make, colour, capsys):
    """Pixels from 0 to 1 are all black to a teacher that takes 0 to 255."""
    wrong = COLOUR | {"mean": (0.0,), "std": (1.0,)}
    done = make(teacher=TakesBytes(colour), student=Own(), **wrong)
    assert done.report["synthetic"]["classes"] == 1
    assert "do not trust this student" in capsys.readouterr().out


def test_fresh_images_leave_the_state_as_it_is(teacher):
    from dfkd_lib.methods import Task

    settings = MAD(generator_width=2, z_dim=6)
    state = settings.start(
        teacher.network, build("lenet5", 10), Task(10, (1, 32, 32)), 0
    )
    before = copy.deepcopy(state.state_dict())
    scores = FreshImages(40, 16).scores(state)
    assert scores == FreshImages(40, 16).scores(state) and scores.accuracy is None
    assert str(before) == str(state.state_dict())
    state.student.load_state_dict(teacher.network.state_dict())
    assert FreshImages(40).scores(state).agreement == 100


# --- refusals -----------------------------------------------------------------------


def tells(answer):
    class Told(nn.Module):
        def forward(self, x):
            return answer(x)

    return Told()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"mean": None, "std": None}, "mean std normalised"),
        ({"mean": None}, "mean, std give both"),
        ({"mean": (0.5, 0.5)}, "mean 1 numbers"),
        ({"std": (0.0,)}, "std 1e-06"),
        ({"input_shape": (1, 32)}, "input_shape channels"),
        ({"input_shape": (1, 32, 28)}, "square (1, 32, 32)"),
        ({"input_shape": (1, 30, 30)}, "divides by 4 (1, 28, 28)"),
        ({"input_shape": (3, 100, 100)}, "divides by 16 (3, 96, 96)"),
        ({"input_shape": (3, 32, 32)}, "teacher 3×32×32"),
        ({"num_classes": 9}, "(2, 10) (2, 9)"),
        ({"teacher": "lenet5"}, "FILE:lenet5"),
        ({"student": "lenet6"}, "student did you mean"),
        ({"student": "hub:lenet5"}, "student torchvision:NAME"),
        ({"student": "torchvision:lenet5"}, "torchvision 'lenet5'"),
        ({"student": "wrn16_1"}, "student 1×32×32"),
        ({"student": nn.Flatten()}, "student Flatten 1024"),
        ({"method": "kd_ori"}, "method allowed: abm, arvi"),
        ({"method": nn.Linear}, "method"),
        ({"stages": 0}, "stages"),
        ({"percent": 101}, "percent"),
        ({"seed": -1}, "seed"),
        ({"precision": "half"}, "precision"),
        ({"check": "gone"}, "check gone"),
        ({"student_rate": 0.1}, "setting student_rate did you mean"),
        ({"student_lr": -1.0}, "student_lr -1.0"),
        ({"output_dir": ""}, "output_dir"),
        (
            COLOUR | {"teacher": tells(lambda x: x.neg_().flatten(1)[:, :10])},
            "in place",
        ),
        (
            COLOUR | {"teacher": tells(lambda x: x.detach().flatten(1)[:, :10])},
            "gradient",
        ),
        (COLOUR | {"teacher": tells(lambda x: x.reshape(2, 3072)[:, :10])}, "any size"),
    ],
    ids=str,
)
def test_one_line_before_any_work(make, tmp_path, changes, words):
    student = Own() if changes.get("input_shape", "1")[0] == 3 else "lenet5_half"
    with pytest.raises(UserError) as refused:
        make(**{"student": student} | changes)
    line = str(refused.value)
    assert "\n" not in line and not [word for word in words.split() if word not in line]
    assert not (tmp_path / "own").exists()


def test_a_loss_that_is_not_finite_names_what_to_do(make):
    with pytest.raises(FloatingPointError, match="lower student_lr"):
        make(student_lr=1e30, stages=10)


# --- programs -----------------------------------------------------------------------


def test_both_programs_answer_as_the_network(colour, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    made = export(colour, PIXELS[:3], tmp_path / "a.b")
    assert [told["file"] for told in made.values()] == ["a.b.pt2", "a.b.onnx"]
    with torch.no_grad():
        wanted = colour(PIXELS)
        found = torch.export.load(tmp_path / "a.b.pt2").module()(PIXELS)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)
    session = onnxruntime.InferenceSession(tmp_path / "a.b.onnx")
    (found,) = session.run(None, {"images": PIXELS.numpy()})
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


def test_what_cannot_be_exported_says_why(tmp_path):
    (tmp_path / "s.pt2").write_text("an earlier student's")
    depends = tells(lambda x: x.flatten(1)[:, :10] * (2 if x.sum() > 0 else 3))
    made = export(depends, PIXELS, tmp_path / "s", onnx=False)
    assert made["torch.export"]["not_made"] and not list(tmp_path.iterdir())
