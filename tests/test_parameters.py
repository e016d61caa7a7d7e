"""A chapter's parameters: each value passes or is refused in one line that helps."""

import os

import numpy as np
import pytest
from chapters import ROOT, shell
from hypothesis import example, given
from hypothesis import strategies as st
from refused import refused

from dfkd_lib.data import DATASETS, NETWORKS
from dfkd_lib.errors import UserError
from dfkd_lib.recipes import recipe_for
from dfkd_lib.run import CHECKS, Settings, check_parameters, prepare

# What papermill can inject, and what somebody may write into the parameters cell.
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
scalars |= st.complex_numbers() | st.binary()
anything = st.recursive(
    scalars, lambda part: st.lists(part) | st.dictionaries(st.text(), part)
)
NUMBERS = ["0", str(2**31 - 1)]
ALLOWED = {  # what a refusal has to tell
    "dataset": [*DATASETS],
    "teacher": [*NETWORKS],
    "student": ["auto", *NETWORKS],
    "budget": ["auto", "full", "short"],
    "device": ["auto", "cpu"],
    "precision": ["auto", "bfloat16", "float32"],
    "seed": NUMBERS,
    "seeds": ["1", "100"],
    "momentum": ["0", "1"],
    "overrides": ["text", "'batch=64 reuse=5'"],
    "output_dir": ["text"],
}
LEGAL = {n: ALLOWED[n] for n in ("dataset", "student", "precision", "teacher")}
LEGAL |= {"seed": [0, 2**31 - 1], "seeds": [1, 100], "momentum": [0, 0.95, 1]}
LEGAL |= {"output_dir": ["output", "/some where"]}
LEGAL |= {"budget": [*ALLOWED["budget"], 1, 10**6]}
OUTSIDE = {
    "momentum": [1.0001, "0.9"],
    "seed": ["1", 2**31, 1.0],
    "seeds": [0, 101],
    "budget": [0, 2.0],
    "output_dir": ["  "],
    "device": ["gpu"],
    "teacher": ["none.pt:lenet5", "timm:"],
}


def refusal(**parameters):
    return refused(check_parameters, parameters)


@pytest.mark.parametrize("name", CHECKS)
@given(value=anything)
@example(10**400)
@example(np.zeros((2, 2)))
@example("x" * 5000)
@example("~nobody.of.that.name/x.pt:lenet5")
@example("a\nb.pt:lenet5")
def test_any_value_passes_or_is_refused_in_one_line(name, value):
    try:
        check_parameters({name: value})
    except UserError as error:
        assert name in str(error) and len(str(error).splitlines()) == 1
        assert len(str(error)) < 1000


def test_legal_values_pass_unchanged_and_those_just_outside_are_refused():
    for name, values in LEGAL.items():
        for value in values:
            assert getattr(check_parameters({name: value}), name) == value
    for name, values in OUTSIDE.items():
        for value in values:
            assert str(value).split(":")[0] in refusal(**{name: value})


def test_wrong_values_are_refused_and_what_is_allowed_is_told():
    assert set(CHECKS) == set(ALLOWED)
    for name, words in ALLOWED.items():
        for value in (True, None, float("nan"), float("inf"), "", -1, 0.5j, [0]):
            if (name, value) != ("overrides", ""):  # none is allowed
                line = refusal(**{name: value})
                assert line.startswith(f"{name}: {value!r} ")
                assert [word for word in words if word not in line] == []
    assert "did you mean 'digits_half'" in refusal(dataset="digit_half")
    assert "did you mean 'momentum'" in refusal(momentun=0.5)


known = {*CHECKS, "In", "Out"}


@given(st.text(min_size=1).filter(lambda name: name not in known and name[0] != "_"))
@example("datasets")
@example("Seed")
def test_unknown_names_are_refused_and_the_known_ones_listed(name):
    line = refusal(**{name: 1})
    assert all(known in line for known in CHECKS)


def test_a_fresh_kernel_holds_no_unknown_parameter():
    kernel = {"__name__": "__main__", "_ih": [""], "In": [""], "Out": {}, "exit": exit}
    given = check_parameters(kernel | {"check_parameters": check_parameters, "seed": 3})
    assert vars(given) == {"seed": 3}


def test_a_notebook_in_use_may_check_again():
    """Its other names are the chapter's own; those known may have been changed."""
    used = {"seed": 3, "momentum": 0.5, "histories": [1]}
    assert "histories" in refusal(**used)
    used["settings"] = check_parameters({"seed": 1})
    assert check_parameters(used) == Settings(seed=3, momentum=0.5)
    assert "momentum" in refusal(**used | {"momentum": 2})


def test_prepare_makes_a_chapters_set_up(tmp_path, capsys):
    """Checked settings, data, teacher, and the recipe to run."""
    given = {"dataset": "digits", "seed": 2, "device": "cpu"}
    given["output_dir"] = str(tmp_path)
    s, data, teacher, recipe = prepare(given, "mad")
    assert (s.seed, s.folder) == (2, tmp_path)
    assert (data.name, teacher.name) == ("digits", "lenet5")
    assert recipe == s.full == recipe_for("digits", "mad") and s.recorded
    given |= {"momentum": 0.5, "overrides": "batch=16 student_batch=8", "budget": 3}
    s, *_, recipe = prepare(given, "mad")
    m = recipe.settings
    assert (m.momentum, m.batch, m.student_batch, m.stages) == (0.5, 16, 8, 3)
    assert s.full.settings.stages == 160 and not s.recorded
    assert "trust the numbers" in capsys.readouterr().out


def test_prepare_refuses_in_one_line(tmp_path):
    given = {"dataset": "digits", "device": "cpu", "output_dir": str(tmp_path / "out")}
    for changes, words in (
        ({"overrides": "batch=64,reuse=5"}, "'64,reuse=5'"),
        ({"overrides": "batch=1 batch=2"}, "given twice"),
        ({"dataset": "cifar100"}, "cifar100.npz"),
    ):
        assert words in refused(prepare, given | changes, "mad")
    assert not (tmp_path / "out").exists()


def test_data_and_a_teacher_of_ones_own(root, tmp_path):
    assert "'mine'" in refusal(dataset="mine")
    (root / "mine.npz").touch()
    assert check_parameters({"dataset": "mine"}).dataset == "mine"
    file = tmp_path / "weights.safetensors"
    assert "there is no file" in refusal(teacher=f"{file}:lenet5")
    file.touch()
    for teacher in (f"{file}:lenet5", "timm:resnet50.a1_in1k", "torchvision:resnet50"):
        assert check_parameters({"teacher": teacher}).teacher == teacher
    assert "did you mean 'lenet5'" in refusal(teacher=f"{file}:lenet6")


def test_a_chapter_ends_with_one_clear_line(tmp_path):
    """Through papermill, which shows where it stopped; what it then quotes is short."""
    line = f"papermill {ROOT}/book/03_mad.ipynb ran.ipynb -p momentum 1.5"
    result = shell(f"{line} -p output_dir {tmp_path}/out", cwd=tmp_path, timeout=300)
    assert result.returncode == 1, result.stdout
    _, quoted = result.stdout.split("Exception encountered at", 1)
    [line] = [line for line in quoted.splitlines()[1:] if line.strip()]
    assert [word for word in ("momentum", "1.5", "0", "1") if word not in line] == []
    assert os.listdir(tmp_path) == ["ran.ipynb"], "something was written"
