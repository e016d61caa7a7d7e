"""Whatever a parameter is set to, it passes or is refused in one line that says what would do."""

import subprocess
import sys

import numpy as np
import pytest
from chapters import ROOT
from hypothesis import example, given
from hypothesis import strategies as st

from dfkd_lib.catalogue import DATASETS, NETWORKS
from dfkd_lib.errors import UserError
from dfkd_lib.parameters import CHECKS, Settings, check_parameters

# What papermill can inject, and what somebody may write into the parameters cell.
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.complex_numbers() | st.text() | st.binary()
anything = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner))

WORDS = {
    "dataset": tuple(DATASETS),
    "teacher": ("auto", *NETWORKS),
    "student": ("auto", *NETWORKS),
    "budget": ("auto", "full", "short"),
    "device": ("auto", "cpu"),
    "precision": ("auto", "bfloat16", "float32"),
}
NUMBERS = {"seed": (0, 1, 2**31 - 1), "seeds": (1, 100), "budget": (1, 10**6), "momentum": (0, 0.0, 0.95, 1, 1.0)}
LEGAL = [(name, value) for names in (WORDS, NUMBERS) for name, values in names.items() for value in values]

# What a refusal has to tell.
ALLOWED = {name: list(words) for name, words in WORDS.items()} | {
    "seed": ["0", str(2**31 - 1)],
    "seeds": ["1", "100"],
    "momentum": ["0", "1"],
    "overrides": ["text", "'batch=64 reuse=5'"],
    "output_dir": ["text"],
}


def refusal(**parameters) -> str:
    with pytest.raises(UserError) as caught:
        check_parameters(parameters)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    return message


def test_every_parameter_is_tested_here():
    assert set(CHECKS) == set(ALLOWED)


@pytest.mark.parametrize("name", CHECKS)
@given(value=anything)
def test_any_value_passes_or_is_a_user_error(name, value):
    try:
        check_parameters({name: value})
    except UserError as error:
        assert name in str(error)
        assert len(str(error).splitlines()) == 1


@pytest.mark.parametrize(
    ("name", "value"), [("momentum", 10**400), ("budget", np.arange(3)), ("dataset", np.zeros((2, 2)))]
)
def test_odd_values_are_user_errors(name, value):
    assert name in refusal(**{name: value})


@pytest.mark.parametrize(("name", "value"), [*LEGAL, ("output_dir", "output"), ("output_dir", "/some where")])
def test_legal_values_pass_unchanged(name, value):
    passed = getattr(check_parameters({name: value}), name)
    if name != "device":
        assert passed == value


def test_the_device_is_resolved():
    assert check_parameters({"device": "cpu"}).device == "cpu"
    assert check_parameters({"device": "auto"}).device in ("cpu", "cuda")


def test_all_at_once():
    given = {name: values[0] for name, values in (WORDS | NUMBERS).items()} | {"device": "cpu", "output_dir": "output"}
    assert vars(check_parameters(given)) == given


WRONG = [True, False, None, float("nan"), float("inf"), "", -1, 0.5j, [0]]


@pytest.mark.parametrize(
    ("name", "value"),
    [(name, value) for name in CHECKS for value in WRONG if (name, value) != ("overrides", "")],  # none is allowed
    ids=repr,
)
def test_wrong_values_are_refused_and_what_is_allowed_is_told(name, value):
    message = refusal(**{name: value})
    assert message.startswith(f"{name}: {value!r} ")
    assert [word for word in ALLOWED[name] if word not in message] == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("momentum", 1.0001),
        ("momentum", -1e-9),
        ("momentum", "0.9"),
        ("seed", "1"),
        ("seed", 2**31),
        ("seed", 1.0),
        ("seeds", 0),
        ("seeds", 101),
        ("budget", 0),
        ("budget", 2.0),
        ("output_dir", "  "),
        ("device", "gpu"),
    ],
)
def test_values_just_outside_are_refused(name, value):
    assert repr(value) in refusal(**{name: value})


def test_a_slip_gets_a_hint():
    assert "did you mean 'digits_half'" in refusal(dataset="digit_half")
    assert "did you mean 'momentum'" in refusal(momentun=0.5)


@given(st.text(min_size=1).filter(lambda name: name not in CHECKS and name[0] != "_" and name not in ("In", "Out")))
@example("datasets")
@example("Seed")
def test_unknown_names_are_refused_and_the_known_ones_listed(name):
    message = refusal(**{name: 1})
    assert all(known in message for known in CHECKS)


def test_a_fresh_kernel_holds_no_unknown_parameter():
    kernel = {"__name__": "__main__", "_ih": [""], "In": [""], "Out": {}, "exit": exit, "get_ipython": print}
    assert vars(check_parameters(kernel | {"check_parameters": check_parameters, "seed": 3})) == {"seed": 3}


def test_a_notebook_in_use_may_check_again():
    """Its other names are the chapter's own; the known ones have perhaps been changed, and are checked."""
    used = {"seed": 3, "momentum": 0.5, "histories": [1], "datasets": "mine"}
    with pytest.raises(UserError, match="histories"):
        check_parameters(used)
    used["settings"] = check_parameters({"seed": 1})
    assert check_parameters(used) == Settings(seed=3, momentum=0.5)
    for wrong in ({"momentum": 2}, {"seed": -1}):
        with pytest.raises(UserError, match=next(iter(wrong))):
            check_parameters(used | wrong)


def test_notebooks_show_one_line_in_place_of_a_traceback():
    try:
        check_parameters({"seed": "abc"})
    except UserError as error:
        [line] = error._render_traceback_()
        assert line == f"error: {error}" and "\n" not in line


# --- what is not on the lists ----------------------------------------------------------------------------------------


def test_overrides_are_settings_of_a_recipe():
    """As a list, for `settings.override`."""
    assert check_parameters({"overrides": "batch=64 momentum=0.5"}).overrides == ["batch=64", "momentum=0.5"]
    assert check_parameters({"overrides": "  milestones=(0.5,)\n reuse=5 "}).overrides == [
        "milestones=(0.5,)",
        "reuse=5",
    ]
    assert check_parameters({"overrides": ""}).overrides == []
    assert check_parameters({"overrides": "reuse=3"}).overrides == ["reuse=3"]  # of 60 student steps, perhaps


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("batch", ["'batch'", "NAME=VALUE"]),
        ("bach=64", ["'bach'", "did you mean 'batch'", "z_dim"]),
        ("batch=0", ["batch", "0", "from 1 to 65536"]),
        ("batch=1e999", ["batch", "inf"]),
        ("batch = 64", ["'batch'", "NAME=VALUE"]),
        ("batch=64,reuse=5", ["batch", "'64,reuse=5'"]),
        ("batch=64 batch=32", ["batch", "twice"]),
        ("schedule=linear", ["schedule", "cosine"]),
        ("dataset=digits", ["'dataset'"]),
        (["batch=64"], ["['batch=64']", "'batch=64 reuse=5'"]),
        ({"batch": 64}, ["{'batch': 64}"]),
        (64, ["64"]),
    ],
)
def test_overrides_that_are_none(value, words):
    message = refusal(overrides=value)
    assert message.startswith("overrides: ")
    assert [word for word in words if word not in message] == []


def test_a_data_set_of_ones_own(tmp_path, monkeypatch):
    assert "'mine'" in refusal(dataset="mine")
    monkeypatch.setenv("DFKD_DATA", str(tmp_path))
    assert "'mine'" in refusal(dataset="mine")
    (tmp_path / "mine.npz").touch()
    assert check_parameters({"dataset": "mine"}).dataset == "mine"


def test_a_teacher_of_ones_own(tmp_path):
    file = tmp_path / "weights.safetensors"
    assert "there is no file" in refusal(teacher=f"{file}:lenet5")
    file.touch()
    for teacher in (f"{file}:lenet5", "timm:resnet50.a1_in1k", "torchvision:resnet50"):
        assert check_parameters({"teacher": teacher}).teacher == teacher
    assert "allowed: alexnet" in refusal(teacher=f"{file}:lenet6")
    assert "nobody's folder" in refusal(teacher="~nobody.of.that.name/x.pt:lenet5")
    assert "there is no file 'xxx" in refusal(teacher="x" * 5000 + ".pt:lenet5")
    assert "there is no file 'a\\nb.pt'" in refusal(teacher="a\nb.pt:lenet5")
    assert "lenet5" in refusal(student=f"{file}:lenet5")  # a student has no weights yet


@pytest.mark.parametrize(
    "module",
    ["", ".errors", ".parameters", ".recipes", ".recipe", ".catalogue", ".files", ".sources", ".teacher_names"],
)
def test_checking_parameters_needs_no_torch(module):
    code = f"import sys, dfkd_lib{module}; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0
