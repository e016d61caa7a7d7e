"""`distill` on small teachers: what it writes, resumes, exports and refuses."""

import copy
import importlib
import inspect
import json
import os
import runpy
import stat
import subprocess
import sys
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional as F
from torchvision.models import VisionTransformer
from torchvision.ops import FrozenBatchNorm2d

import dfkd_lib
from dfkd_lib import distillation
from dfkd_lib.distillation import Enough, FreshImages, export, seen_constants
from dfkd_lib.distillation.fresh import (
    agreement,
    distrust,
    distrust_on,
    effective_classes,
    seen,
)
from dfkd_lib.errors import UserError
from dfkd_lib.files import write_atomically
from dfkd_lib.losses import bn_moments
from dfkd_lib.methods import DFAD, MAD, Task
from dfkd_lib.models import build
from dfkd_lib.teachers import commit, digest, machine, renormalised, tree, weights
from dfkd_lib.train import History

TINY = {"generator_width": 2, "z_dim": 6, "batch": 128, "student_batch": 8}
TINY |= {"student_steps": 2, "precision": "float32", "stages": 4, "onnx": False}
COLOUR = {"input_shape": (3, 32, 32), "mean": (0.4, 0.5, 0.6), "std": (0.2, 0.3, 0.2)}
COLOUR |= {"stages": 2}
PIXELS = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))


class Apply(nn.Module):
    """A function as a layer."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


class Own(nn.Module):
    """Flattens by `view`, which refuses images that lie channels-last in memory."""

    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Conv2d(3, 4, 5), nn.Linear(4 * 28 * 28, 10)

    def forward(self, x):
        return self.head(self.body(x).view(len(x), -1))


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
    endings = ("json", "safetensors", "pt2", "md")
    assert written == {f"student.{e}" for e in endings} | {".student.lock"}
    assert done.report["files"] == {kind: p.name for kind, p in done.files.items()}
    page = done.files["card"].read_text()
    for words in ("LeNet5", "lenet5_half", "mad, 4 stages", "agreement", "student.pt2"):
        assert words in page


def test_it_learns_and_ends_when_the_student_agrees(make, digits, tmp_path):
    np.savez(tmp_path / "check.npz", x=digits.x_test)
    more = {"generator_width": 8, "z_dim": 100, "student_batch": 64, "student_steps": 5}
    done = make(stages=40, check=tmp_path / "check.npz", stages_per_epoch=20, **more)
    assert done.report["check"]["agreement"] > 60  # no image of a digit was shown
    assert make(stages=40, percent=0).report["stages"] == 3


def test_when_it_is_enough():
    for tests in ([0, 99, 99, 99], [50, 10, 20, 30, 50]):
        assert Enough(99, 4)(History(agreement=[float(test) for test in tests]))
    for tests in ([100, 100], [50, 10, 20, 30], [50, 10, 20, 30, 51]):
        assert not Enough(99, 4)(History(agreement=[float(test) for test in tests]))


def test_it_resumes_with_the_same_outcome(make, tmp_path, monkeypatch):
    whole = make(output_dir=str(tmp_path / "whole"))
    other = make(seed=1, output_dir=str(tmp_path))
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
    with pytest.raises(UserError, match="its student_lr is 0.03, here it is 0.5"):
        make(resume=True, student_lr=0.5)
    done = make(resume=True)
    assert done.history.resumed == [2] and same(done.student, whole.student)
    assert not list((tmp_path / "own").glob("*.ckpt*"))


EVERY = ["dfad", "arvi", "abm", "dfkd_mem", "dafl", "dfq", "cmi", "fast", "composed"]


@pytest.mark.parametrize("method", EVERY)
def test_every_game(make, method):
    assert make(method=method, stages=1).report["method"] == method


def test_a_method_that_asks_for_a_class_needs_one_an_image(make):
    with pytest.raises(UserError, match="method: fast asks the teacher for one class"):
        make(method="fast", task="multilabel")
    with pytest.raises(UserError, match="names of the classes .* set labels=random"):
        make(method="nayer")


def test_a_method_of_ones_own(make):
    @dataclass(frozen=True)
    class Slow(DFAD):
        student_lr: float = 1e-6

    usual, slow = make(method="dfad", stages=1), make(method=Slow, stages=1)
    assert slow.report["method"] == "Slow" and not same(usual.student, slow.student)
    instance = DFAD(student_lr=1e-6, generator_width=2, z_dim=6)
    one = make(method=instance, stages=1)
    assert one.report["parameters"]["student_lr"] == 1e-6
    assert same(one.student, slow.student)


# --- the networks of the run answer as those that were given ------------------------


@dataclass(frozen=True)
class Looked(DFAD):
    """DFAD that notes how its teacher, as prepared for the run, answers noise."""

    def start(self, teacher, student, task, seed):
        s = super().start(teacher, student, task, seed)
        SEEN.append(s.teacher)
        return s


SEEN = []
NOISE = torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(1))


class Cosine(nn.Linear):
    def forward(self, x):
        return 16 * F.linear(F.normalize(x), F.normalize(self.weight))


def hooked():
    layer = nn.Linear(128, 10)
    layer.register_forward_hook(lambda _, inputs, output: 3 * output.roll(1, 1))
    return layer


class Wide(nn.Module):
    """Wide enough for bfloat16; `aux`, of other training, is defined last."""

    def __init__(self, head=None, middle=None):
        super().__init__()
        self.body = nn.Sequential(
            *(nn.Conv2d(3, 16, 3, 2, 1), nn.BatchNorm2d(16), nn.ReLU()),
            *(nn.Conv2d(16, 32, 3, 2, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(2)),
        )
        self.head, self.middle = head or nn.Linear(128, 10), middle
        self.aux = nn.Sequential(nn.Conv2d(3, 16, 1), nn.BatchNorm2d(16), nn.Flatten())
        self.aux.append(nn.Linear(16 * 32 * 32, 10))

    def forward(self, x):
        features = self.body(x)
        features = features if self.middle is None else self.middle(features)
        return self.head(features.flatten(1))


def prepared(make, teacher, **changes):
    torch.manual_seed(0)
    given = {"method": Looked, "teacher": teacher, "student": Own(), "stages": 1}
    make(**COLOUR | given | changes)
    with torch.no_grad():
        x = NOISE.to(memory_format=torch.channels_last)  # as generators make them
        return SEEN[-1](x), teacher.eval()(NOISE)


def by_memory():
    """Reads pixels in the order of memory, which channels-last images change."""
    rows = Apply(lambda x: x.as_strided((len(x), 3072), (3072, 1)))
    return nn.Sequential(rows, nn.Linear(3072, 10))


def transformer():
    vit = VisionTransformer(32, 8, 1, 2, 32, 32, num_classes=10)
    nn.init.normal_(vit.heads.head.weight)
    return vit


FAR = 0.05  # of the logits' deviation


@pytest.mark.parametrize(
    ("given", "precision", "limit"),
    [
        (lambda: Wide(), "float32", FAR),
        (lambda: Wide(), "bfloat16", FAR),
        (lambda: Wide(hooked()), "float32", FAR),
        (lambda: Wide(hooked()), "bfloat16", FAR),
        (lambda: Wide(Cosine(128, 10)), "bfloat16", FAR),
        (transformer, "float32", FAR),
        (transformer, "bfloat16", FAR),
        # features of which bfloat16 keeps no digit beside 100
        (lambda: Wide(middle=lambda x: (x + 100) - 100), "bfloat16", 1e-4),
        (by_memory, "float32", 1e-4),
    ],
)
def test_the_run_has_the_teacher_that_was_given(make, capsys, given, precision, limit):
    found, wanted = prepared(make, given(), precision=precision)
    assert (found - wanted).abs().max() < limit * wanted.std()
    assert not torch.equal(found, found.bfloat16().float())  # the head keeps all digits
    told = "float32 instead of bfloat16" in capsys.readouterr().out
    assert told == (precision == "bfloat16" and limit < FAR)


def test_a_teacher_that_cannot_be_prepared_is_refused(make):
    """A network that answers otherwise than it was given, as after a faulty rewrite."""

    class Counts(Wide):
        def forward(self, x):
            return super().forward(x) + 5 * self.rewritten * torch.arange(10)

    @dataclass(frozen=True)
    class Rewrites(DFAD):
        def start(self, teacher, student, task, seed):
            s = super().start(teacher, student, task, seed)
            s.teacher.network.rewritten = 1
            return s

    teacher = Counts()
    teacher.rewritten = 0
    with pytest.raises(UserError, match="teacher: prepared for the run, its answers"):
        make(**COLOUR | {"teacher": teacher, "student": Own(), "method": Rewrites})


# --- what is no logit, no BatchNorm2d, no trust ---------------------------------------


@pytest.mark.parametrize(
    ("last", "method", "words"),
    [
        (nn.Sigmoid(), "mad", "from 0 to 1 sigmoids learns little"),
        (nn.Sigmoid(), "dfad", "from 0 to 1 MAE"),
        (nn.LogSoftmax(1), "mad", "log-probabilities same"),
        (nn.LogSoftmax(1), "dfad", "log-probabilities other numbers"),
        (Apply(lambda x: 0.001 * x), "mad", "nearly uniform"),
        (Apply(lambda x: 1000 * x), "mad", "nearly one-hot"),
        (Apply(lambda x: x), "mad", ""),
    ],
)
def test_numbers_that_may_be_no_logits_are_told(
    make, teacher, last, method, words, capsys
):
    network = nn.Sequential(teacher.network, last)
    said = make(teacher=network, method=method, stages=1).report["warnings"]
    printed = capsys.readouterr().out
    line = next((line for line in said if "the teacher's answers" in line), "")
    assert bool(line) == bool(words) and line in printed
    assert not [word for word in words.split() if word not in line]


def moments(network):
    for layer in network.modules():
        if hasattr(layer, "running_mean"):
            layer.running_mean.fill_(0.7), layer.running_var.fill_(3.0)
    return network.eval()


def test_batchnorm_is_what_has_running_moments():
    plain = moments(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten()))
    wanted = bn_moments(plain, NOISE)[1]
    assert wanted > 1
    sync = nn.SyncBatchNorm.convert_sync_batchnorm(copy.deepcopy(plain))
    frozen = copy.deepcopy(plain)
    frozen[1] = FrozenBatchNorm2d(4)
    frozen.load_state_dict(plain.state_dict(), strict=False)
    rows = nn.Sequential(plain[0], nn.Flatten(2), nn.BatchNorm1d(4), nn.Flatten())
    for other in (sync.eval(), frozen.eval(), moments(rows)):
        torch.testing.assert_close(bn_moments(other, NOISE)[1], wanted)
    instance = nn.InstanceNorm2d(4, track_running_stats=True)
    other = moments(nn.Sequential(plain[0], instance, nn.Flatten()))
    assert bn_moments(other, NOISE)[1] == 0


def test_layers_that_a_pass_does_not_use_are_left_out(make):
    one, other = moments(Wide()), moments(Wide())
    other.load_state_dict(one.state_dict())
    other.aux = None
    assert bn_moments(one, NOISE)[1] == bn_moments(other, NOISE)[1] > 0
    assert make(**COLOUR | {"teacher": one, "student": Own()}).report["stages"] == 2


def test_a_teacher_without_moments_is_told(make, teacher, colour, capsys):
    make(stages=1)
    assert "the term BNmm is zero" in capsys.readouterr().out
    make(stages=1, method="dfad")
    make(**COLOUR | {"teacher": colour, "student": Own(), "stages": 1})
    assert "BNmm" not in capsys.readouterr().out


def test_effective_classes_and_distrust():
    answers = torch.eye(10)
    assert effective_classes(answers) == pytest.approx(10)
    assert effective_classes(answers[:4].repeat(5, 1)) == pytest.approx(4)
    one_of_many = torch.cat([answers[:1].repeat(97, 1), answers[1:4]])
    assert effective_classes(one_of_many) < 1.3
    assert distrust(90, 6, 10) == [] and distrust(90, 130, 1000) == []
    assert distrust(100, 1.9, 2) == [] and len(distrust(100, 1.0, 2)) == 1
    (line,) = distrust(97.6, 2.5, 10)  # a student of 36.9 % on real images
    assert "do not trust" in line and "2.5 effective classes of 10" in line
    assert ["30.0 %" in line for line in distrust(30, 8, 10)] == [True]
    assert len(distrust(30, 60, 1000)) == 2


def test_distrust_by_real_images():
    """As with another order of classes, which no number without labels shows."""
    good = {"images": 60, "agreement": 90.0}
    assert distrust_on(good) == distrust_on(good | {"teacher_accuracy": 95.0}) == []
    (line,) = distrust_on(good | {"agreement": 10.0})
    assert "do not trust" in line and "10.0 % of 60 real images" in line
    (line,) = distrust_on(good | {"teacher_accuracy": 0.0})
    assert "do not trust" in line and "order of channels or classes" in line


@pytest.mark.parametrize(("agreement", "warned"), [(10.0, True), (90.0, False)])
def test_a_check_is_printed_and_warns(
    make, colour, tmp_path, capsys, monkeypatch, agreement, warned
):
    found = {"images": 5, "agreement": agreement}
    monkeypatch.setattr(distillation, "check_on", lambda *given: found)
    np.savez(tmp_path / "check.npz", x=np.zeros((5, 32, 32, 3), np.uint8))
    done = make(teacher=colour, student=Own(), check=tmp_path / "check.npz", **COLOUR)
    assert (
        f"agreement {agreement:.1f} % on the 5 images of check"
        in capsys.readouterr().out
    )
    told = [line for line in done.report["warnings"] if "real images" in line]
    assert bool(told) is warned and done.report["check"] == found


def test_nobodys_commit_is_taken(tmp_path, monkeypatch):
    """An archive of the source inside somebody's own repository."""
    theirs = ["git", "-C", tmp_path, "-c", "user.name=a", "-c", "user.email=a@b.c"]
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    subprocess.run([*theirs, "commit", "-q", "--allow-empty", "-m", "a"], check=True)
    (tmp_path / "here").mkdir()
    monkeypatch.setattr(machine, "project_folder", lambda: tmp_path / "here")
    assert (commit(), tree()) == ("unknown", "unknown")


# --- networks -----------------------------------------------------------------------


def test_a_module_is_copied_and_trained_from_its_weights(make, colour):
    own = Own()
    before = copy.deepcopy(own)
    done = make(teacher=colour, student=own, **COLOUR)
    assert same(before, own) and not same(done.student, own)
    assert type(done.student) is Own
    near = make(teacher=own, student=own, **COLOUR, student_lr=1e-9).student
    assert near(PIXELS).allclose(own(PIXELS), atol=1e-3)
    done = make(teacher=colour, student="torchvision:shufflenet_v2_x0_5", **COLOUR)
    assert done.student(PIXELS).shape == (4, 10)


def takes_bytes(network):
    """A teacher of pixels from 0 to 255, which normalises them itself."""
    return nn.Sequential(Apply(lambda x: (x / 255 - 0.5) / 0.25), network)


def test_a_student_takes_what_its_teacher_took(make, colour):
    torch.manual_seed(0)
    common = COLOUR | {"student": Own()}
    one = make(teacher=colour, **common | {"mean": (0.5,), "std": (0.25,)})
    byte = common | {"mean": (0.0,), "std": (1 / 255,)}
    two = make(teacher=takes_bytes(colour), **byte)
    assert two.report["weights_take"] == {"mean": [0.5] * 3, "std": [0.25] * 3}
    with torch.no_grad():
        wanted = one.student((PIXELS - 0.5) / 0.25)
        found = two.student(255 * PIXELS)
        torch.testing.assert_close(found, wanted, rtol=1e-2, atol=1e-2)
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
    done = make(teacher=takes_bytes(colour), student=Own(), **wrong)
    assert done.report["synthetic"]["classes"] == 1
    assert "do not trust this student" in capsys.readouterr().out


def test_fresh_images_leave_the_state_as_it_is(teacher):
    settings, task = MAD(generator_width=2, z_dim=6), Task(10, (1, 32, 32))
    state = settings.start(teacher.network, build("lenet5", 10), task, 0)
    before = copy.deepcopy(state.state_dict())
    scores = FreshImages(40, 16).scores(state)
    assert scores == FreshImages(40, 16).scores(state) and scores.accuracy is None
    assert str(before) == str(state.state_dict())
    state.student.load_state_dict(teacher.network.state_dict())
    assert FreshImages(40).scores(state).agreement == 100


# A 3-D convolution, whose weights cannot be channels-last
VOLUME = nn.Sequential(Apply(lambda x: x[:, None]), nn.Conv3d(1, 4, 3, 2, 1))
VOLUME.extend([Apply(lambda x: x.mean((2, 3, 4))), nn.Linear(4, 10)])
DROPPING = nn.Sequential(Own(), Apply(lambda x: F.dropout(x, 0.5)))


@pytest.mark.parametrize("role", ["teacher", "student"])
@pytest.mark.parametrize("network", [VOLUME, DROPPING])
def test_five_dimensions_and_dropout_that_stays_on(make, colour, role, network, capsys):
    make(**COLOUR | {"teacher": colour, "student": Own()} | {role: network})
    said = [
        line.partition(" to the same")[0]
        for line in capsys.readouterr().out.split("\n")
    ]
    assert (f"{role}: its answers" in said) == (network is DROPPING)


def test_what_is_frozen_stays_and_what_is_whole_numbers_is_no_fault(make, colour):
    own = Own()
    own.body.requires_grad_(False)
    own.index = nn.Parameter(torch.arange(3), requires_grad=False)
    pair = {"teacher": colour, "student": own}
    made = make(**COLOUR | pair, method="dfad").student
    assert torch.equal(made.body.weight, own.body.weight)
    assert not torch.equal(made.head.weight, own.head.weight)
    learns = [[p.requires_grad for p in n.parameters()] for n in (made, own)]
    assert learns[0] == learns[1]
    own.requires_grad_(False)
    with pytest.raises(UserError, match="student: all of it is frozen"):
        make(**COLOUR | pair)


def test_masks_of_minus_infinity(make, colour):
    own = Own()
    own.register_buffer("mask", torch.full((3, 3), -torch.inf).triu(1))
    made = make(**COLOUR | {"teacher": colour, "student": own}).student
    assert torch.equal(made.mask, own.mask)


def test_torchs_defaults_of_the_caller(teacher, make):
    before = make(stages=1).student
    torch.set_default_dtype(torch.float64)
    try:
        with torch.no_grad(), torch.device("meta"):
            made = make(stages=1).student
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
    assert same(made, before)


@pytest.mark.parametrize(
    ("mean", "std", "classes", "shape"),
    [
        (0.5, np.float32(0.25), np.int64(10), [1, 32, 32]),
        (np.array([0.5]), torch.tensor([0.25]), 10, np.array([1, 32, 32])),
        ([127.5], (63.75,), torch.tensor(10), torch.Size([1, 32, 32])),
    ],
)
def test_numbers_as_people_have_them(make, mean, std, classes, shape, capsys):
    numbers = {"mean": mean, "std": std, "num_classes": classes, "input_shape": shape}
    numbers |= {"stages": np.int32(1), "seed": torch.tensor(3)}
    made = make(**numbers, student_lr=np.float32(0.5)).report
    assert made["constants"] == [[0.5], [0.25]] and made["seed"] == 3
    assert ("0 to 255" in capsys.readouterr().out) == (np.max(mean) > 1)


@pytest.mark.parametrize(
    ("shape", "classes"),
    [
        *[((1, 28, 28), 10), ((3, 30, 30), 1000), ((3, 24, 18), 10), ((4, 20, 33), 10)],
        *[((16, 16, 12), 10), ((1, 12, 21), 300)],
    ],
)
def test_images_of_any_sides(make, tmp_path, shape, classes):
    torch.manual_seed(0)
    body = nn.Sequential(nn.Conv2d(shape[0], 6, 5, 3), nn.AdaptiveAvgPool2d(2))
    network = nn.Sequential(body, nn.Flatten(), nn.Linear(24, classes))
    given = {"teacher": network, "student": network, "input_shape": shape, "mean": 0.5}
    given |= {"num_classes": classes, "std": 0.25, "stages": 1}
    if shape[0] in (1, 3):
        (tmp_path / "some").mkdir()
        Image.new("RGB", (31, 40)).save(tmp_path / "some" / "a.png")
        given["check"] = tmp_path / "some"
    else:
        x = np.zeros((2, 40, 31, shape[0]), np.uint8)
        np.savez(tmp_path / "some.npz", x=x, y=np.array([0, 1]))
        given["check"] = tmp_path / "some.npz"
    sizes = []
    network.register_forward_pre_hook(lambda _, x: sizes.append(x[0].shape[1:]))
    done = make(**given)
    assert set(sizes) == {shape} and done.report["check"]["images"] in (1, 2)
    assert done.student(torch.zeros(2, *shape)).shape == (2, classes)
    assert make(**given, conditional=True)


def test_a_binary_teacher(make):
    torch.manual_seed(0)
    body = nn.Sequential(nn.Conv2d(3, 6, 5, 3), nn.AdaptiveAvgPool2d(2), nn.Flatten())
    teacher = nn.Sequential(body, nn.Linear(24, 1))
    student = nn.Sequential(copy.deepcopy(body), nn.Linear(24, 2))
    pair = {"teacher": teacher, "student": student, "num_classes": 1}
    done = make(**COLOUR | pair, task="binary", method=Looked)
    z = teacher(NOISE)
    wanted = torch.cat([torch.zeros_like(z), z], 1)
    torch.testing.assert_close(SEEN[-1](NOISE), wanted, rtol=1e-3, atol=1e-3)
    assert done.student(NOISE).shape == (8, 2)


def test_a_teacher_of_many_labels(make, tmp_path):
    """Its logits are absolute: a softmax would leave out what they share, here 3."""
    torch.manual_seed(0)
    layers = nn.AvgPool2d(16), nn.Flatten()
    teacher, student = (nn.Sequential(*layers, nn.Linear(12, 6)) for _ in "ts")
    teacher[2].weight.data *= 9
    teacher[2].bias.data += 3
    np.savez(tmp_path / "a.npz", x=np.zeros((5, 32, 32, 3), np.uint8))
    given = COLOUR | {"num_classes": 6, "teacher": teacher, "task": "multilabel"}
    given |= {"student": student, "stages": 60, "check": tmp_path / "a.npz"}
    given |= {"student_lr": 0.6, "batch": 32, "student_batch": 32}
    done = make(**given, exporting=True)
    with torch.no_grad():
        z, found = teacher(NOISE), done.student(NOISE)
        program = torch.export.load(done.files["torch.export"]).module()(NOISE)
    torch.testing.assert_close(program, found, rtol=1e-3, atol=1e-3)
    assert found.shape == z.shape and (found - z).mean().abs() < 1
    assert done.report["synthetic"]["agreement"] > 70
    assert done.report["check"].keys() == {"images", "agreement", "kl"}
    assert load_file(done.files["weights"]).keys() == student.state_dict().keys()
    assert same(make(**given, resume=True).student, done.student)
    for role, own in (("teacher", teacher), ("student", student)):
        with pytest.raises(UserError, match=f"{role}: its answers are from 0 to 1"):
            make(**given | {role: nn.Sequential(own, nn.Sigmoid())})
    answers = torch.tensor([[[0.0] * 3, [1.0, -1, 1]], [[0.0] * 3, [1.0, -1, -1]]])
    other = torch.tensor([[[0.0] * 3, [1.0, 1, -1]], [[0.0] * 3, [1.0, -1, -1]]])
    assert agreement(answers, other) == 50  # two of the four labels that either gives
    assert seen(answers) == (1, 1.0)  # only the last label is given once and once not


def test_a_quick_answer_says_how_long_it_takes(make, monkeypatch, capsys):
    monkeypatch.setattr(distillation, "QUICK", 1e-9)
    assert make(quick=True).report["stages"] == 1
    assert "at most 1 stages, about 0.0 minutes" in capsys.readouterr().out


# --- folders ------------------------------------------------------------------------


def test_a_finished_run_stays_as_it_is(make, tmp_path, capsys):
    first = make(exporting=True)
    files = {path: path.stat().st_mtime_ns for path in first.files.values()}
    again = make(resume=True)
    assert "this run is finished" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in again.files.values()} == files
    assert same(first.student, again.student) and again.report == first.report
    assert again.history == first.history


def test_another_run_goes_beside(make, tmp_path, capsys):
    first = make()
    other = make(seed=1)
    assert "holds another run's student" in capsys.readouterr().out
    assert other.files["report"].parent == tmp_path / "own-2"
    assert json.loads(first.files["report"].read_text())["seed"] == 0
    assert make(seed=1, resume=True).files == other.files


def test_files_obey_the_umask(tmp_path):
    before = os.umask(0o027)
    try:
        write_atomically(tmp_path / "file", b"content")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o640
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_user_without_a_home_uses_what_ships(monkeypatch):
    monkeypatch.delenv("DFKD_CACHE", raising=False)
    monkeypatch.delenv("DFKD_DATA", raising=False)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)  # nobody's home
    data = dfkd_lib.load_dataset("digits")
    assert dfkd_lib.load_teacher(data, "lenet5").accuracy > 90


# --- the command line ---------------------------------------------------------------

OWN = """from blocks import Linear, Sequential, Flatten
def make():
    return Sequential(Flatten(), Linear(3072, 10))
def stop():
    raise SystemExit(3)
"""


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """The command line's exit code, and what it prints on stderr."""
    (tmp_path / "teacher.py").write_text(OWN)
    (tmp_path / "blocks.py").write_text("from torch.nn import *")  # beside it
    network = nn.Sequential(nn.Flatten(), nn.Linear(3072, 10))
    torch.save(network.state_dict(), tmp_path / "w.pt")
    monkeypatch.setattr(distillation, "export", lambda *args, **options: {})
    monkeypatch.setattr(sys, "path", [*sys.path])
    usual = "teacher.py:make --student teacher.py:make --shape 3 32 32 --classes 10 "
    usual += "--mean 0.4 --std 0.2 --stages 1 --output-dir out --set z_dim=6 batch=8 "
    usual += "student_batch=8 generator_width=2 student_steps=1 "

    def made(more, of=lambda line: line):
        line = of(usual).replace("teacher.py", f"{tmp_path}/teacher.py") + more
        line = line.replace("w.pt", f"{tmp_path}/w.pt")
        words = line.replace("out ", f"{tmp_path}/out ").split()
        monkeypatch.setattr(sys, "argv", ["distill", *words])
        monkeypatch.delitem(sys.modules, "dfkd_lib.distill", raising=False)
        with pytest.raises(SystemExit) as ended:
            runpy.run_module("dfkd_lib.distill", run_name="__main__")
        return ended.value.code, capsys.readouterr().err, network

    return made


def test_the_command_line(run, tmp_path, monkeypatch):
    code, err, network = run("--weights w.pt --seed 3 --method mad --precision float32")
    assert code == 0, err
    report = json.loads((tmp_path / "out" / "student.json").read_text())
    assert report["seed"] == 3 and report["parameters"]["z_dim"] == 6
    assert report["teacher"] == digest(weights(network))
    importlib.import_module("dfkd_lib.distill")
    assert dfkd_lib.distill is distillation.distill


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("--set batch=-1", "batch -1"),
        ("--set rate=3", "setting: 'rate' is not known"),
        ("--weights gone.pt", "gone.pt cannot be read"),
        ("--shape 3 32", "--shape 3 arguments --help"),
        ("--classes 9", "(2, 9)"),
        ("--seed x", "--seed 'x'"),
        (("py:make --", "py:none --"), "teacher: none FILE.py:FUNCTION"),
        (("py:make --", "py:stop --"), "teacher: ends the program, exit 3"),
        (("--student ", "--student gone/"), "student: gone/ No such file"),
    ],
)
def test_one_line_of_the_command_line(run, tmp_path, more, words):
    swap = more if isinstance(more, tuple) else ("", "")
    code, err, _ = run(
        more if isinstance(more, str) else "", lambda x: x.replace(*swap, 1)
    )
    assert code == 2 and len(err.splitlines()) == 1 and err.startswith("error: ")
    assert not [word for word in words.split() if word not in err]
    assert not (tmp_path / "out").exists()


# --- refusals -----------------------------------------------------------------------


NORMALISED = nn.Sequential(nn.Flatten(), nn.Linear(1024, 4), nn.BatchNorm1d(4))
NORMALISED.append(nn.Linear(4, 10))  # BatchNorm of vectors: training needs two images


def told(answer):
    """A teacher of colour images that answers so."""
    return COLOUR | {"teacher": Apply(answer)}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"mean": None, "std": None}, "mean std normalised"),
        ({"mean": None}, "mean, std give both"),
        ({"mean": (0.5, 0.5)}, "mean 1 numbers"),
        ({"std": (0.0,)}, "std 1e-06"),
        ({"input_shape": (1, 32, 28)}, "student 1×32×28"),
        ({"input_shape": (3, 32, 32)}, "teacher 3×32×32"),
        ({"num_classes": 9}, "(2, 10) (2, 9)"),
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
        (told(lambda x: x.neg_().flatten(1)[:, :10]), "in place"),
        (told(lambda x: x.detach().flatten(1)[:, :10]), "gradient"),
        (told(lambda x: x.reshape(2, 3072)[:, :10]), "any size"),
        (told(lambda x: x.mean((2, 3)).squeeze().repeat(1, 4)), "teacher 1 images"),
        ({"student_batch": 1, "student": NORMALISED}, "student 1 training channel"),
    ],
)
def test_one_line_before_any_work(make, tmp_path, changes, words):
    student = Own() if changes.get("input_shape", "1")[0] == 3 else "lenet5_half"
    with pytest.raises(UserError) as refused:
        make(**{"student": student} | changes)
    line = str(refused.value)
    assert "\n" not in line and not [word for word in words.split() if word not in line]
    assert not (tmp_path / "own").exists()


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
    depends = Apply(lambda x: x.flatten(1)[:, :10] * (2 if x.sum() > 0 else 3))
    made = export(depends, PIXELS, tmp_path / "s", onnx=False)
    assert made["torch.export"]["not_made"] and not list(tmp_path.iterdir())
