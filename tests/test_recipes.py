"""Recipes: the papers' numbers with their sources; whose is taken; what is refused."""

import builtins
import os
import re
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from refused import refused

from dfkd_lib.data import DATASETS, NETWORKS
from dfkd_lib.errors import UserError
from dfkd_lib.methods import METHODS, readable
from dfkd_lib.recipes import METHOD_PAPERS, PAPERS, RECIPES, override, recipe_for
from dfkd_lib.run import apply_budget

SOURCE = (
    r"{} (Section|Tables?|Appendix|Eq\.) [\w.-]+( \(inferred\))?|ours|code|inferred"
)
WRITTEN = {"dfad": "DFAD", "arvi": r"AR\+VI", "mad": "MAD", "hidfd": "HiDFD"}


@pytest.mark.parametrize(
    "entry", RECIPES, ids=lambda e: f"{e.paper}-{e.dataset}-{e.teacher}"
)
def test_a_recipe_names_its_sources_and_fits_its_networks(entry):
    images = DATASETS[entry.dataset]
    for network in (NETWORKS[entry.teacher], NETWORKS[entry.student]):
        assert network.channels == images.channels
        assert network.size in (None, images.size)
    for method, paper in METHOD_PAPERS.items():
        if paper == entry.paper:
            pair = entry.teacher, entry.student
            recipe = recipe_for(entry.dataset, method, *pair, entry.paper)
            pattern = SOURCE.format(WRITTEN[paper])
            assert all(re.fullmatch(pattern, s) for _, _, s in recipe.rows())
            again = override(recipe, [f"{n}={v}" for n, v, _ in recipe.rows()])
            assert again == recipe and again.sources == recipe.sources


def test_what_is_replaced_says_given():
    usual = recipe_for("mnist", "dfad")
    recipe = usual.replace(batch=3, student_lr=0.01)
    sources = [r.sources["batch"] for r in (recipe, usual)]
    assert sources == ["given", "DFAD Table 7"]
    assert recipe.sources["student_lr"] == "DFAD Table 7"  # it holds anyway
    rows = {name: (value, source) for name, value, source in recipe.rows()}
    assert rows["batch"] == ("3", "given") and set(rows) == set(recipe.values())
    assert usual.replace(batch=512) == usual and recipe != usual


def test_the_settings_of_one_method_go_to_another():
    mine = recipe_for("digits", "mad").replace(batch=16, momentum=0.5)
    assert mine.of("dfad").settings.batch == 16
    assert mine.of("abm").settings.momentum == 0.0


# --- whose is taken -------------------------------------------------------------------


def test_whose_recipe_and_pair_is_taken():
    for asked, paper, pair in (
        ("cifar100 mad auto resnet18_8x", "mad", "resnet34_8x-resnet18_8x"),
        ("cifar100 mad vgg13_bn", "mad", "vgg13_bn-wrn16_2"),
        ("cifar100 kd_ori", "dfad", "resnet34_8x-resnet18_8x"),
        ("cifar100 mad wrn16_2 wrn16_1", "ladder", "wrn16_2-wrn16_1"),
    ):
        recipe = recipe_for(*asked.split())
        assert (recipe.paper, recipe.pair) == (paper, pair)


def test_a_data_set_of_ones_own_runs_like_cifar10(root):
    (root / "mine.npz").touch()
    assert recipe_for("mine").values() == recipe_for("svhn").values()


def test_a_lookup_touches_no_disk(monkeypatch):
    """And importing recipes or checking a chapter's parameters loads no data."""

    def refused(*arguments, **options):
        raise AssertionError(f"the disk was touched: {arguments}")

    for module, name in ((builtins, "open"), (os, "stat"), (os, "scandir")):
        monkeypatch.setattr(module, name, refused)
    made = [recipe_for(d, m) for d in DATASETS for m in METHODS]
    monkeypatch.undo()
    assert len(made) == len(DATASETS) * len(METHODS)


def test_list_imports_little_but_torch():
    """Nothing heavy besides: no matplotlib, scikit-learn or torchvision."""
    code = "import sys, dfkd_lib.run; dfkd_lib.run.listing(); heavy = {'matplotlib', "
    code += (
        "'sklearn', 'torchvision', 'onnx'} & {*sys.modules}; assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_an_unknown_name_lists_the_known_ones():
    here = "allowed with cifar100: arvi, dfad, hidfd, ladder, mad"
    for asked, words in (
        ("cifar1000", ["did you mean 'cifar100'", *DATASETS]),
        ("digits madd", ["method: 'madd' is not known (did you mean 'mad'", *METHODS]),
        ("mnist mad auto auto mad", ["mad has none for mnist; allowed with mnist: ar"]),
        ("cifar100 mad auto auto ours", [here]),
        ("digits mad auto auto hidfdd", ["recipe: 'hidfdd' is not known", *PAPERS]),
    ):
        line = refused(recipe_for, *asked.split())
        assert [word for word in words if word not in line] == []


names = st.sampled_from(
    sorted({n for kind in METHODS.values() for n in readable(kind)})
)
texts = st.text() | st.integers().map(str) | st.floats().map(str)
odd = ["(0.1,)", "True", "9" * 5000, "1e400", "a\nb", "((((", "0x1"]


@given(name=names, value=texts | st.sampled_from(odd))
def test_any_text_is_a_value_of_its_kind_or_is_refused(name, value):
    method = next(m for m, kind in METHODS.items() if name in readable(kind))
    usual = recipe_for("digits", method)
    try:
        recipe = override(usual, [f"{name}={value}"])
    except UserError as error:
        assert name in str(error) and len(str(error).splitlines()) == 1
        assert len(str(error)) < 500
    else:
        mine, theirs = recipe.values()[name], usual.values()[name]
        assert type(mine) is type(theirs)


# --- budgets --------------------------------------------------------------------------


FULL = "the full schedule: 160 stages, 800 student"


@pytest.mark.parametrize(
    ("asked", "budget", "device", "stages", "words"),
    [
        ("digits mad", "auto", "cpu", 160, FULL),
        ("digits mad", 160, "cpu", 160, FULL),
        ("digits mad", 200, "cpu", 200, "more than the full schedule: 200 stages, 1,0"),
        ("digits mad", 8, "cpu", 8, "NOT THE FULL SCHEDULE: 40 student steps on batch"),
        ("digits mad", 8, "cpu", 8, "is 20 times the work"),
        ("cifar100 mad", "auto", "cuda", 15_000, "the full schedule"),
        ("cifar100 mad", "auto", "cpu", 4, "20 student steps on batches of 64 instead"),
        ("cifar100 mad", "short", "cuda", 4, "180,000 times the work"),
        ("digits_hybrid hidfd", "full", "cpu", 100, "100 stages, 1,500 student steps"),
        ("digits_hybrid hidfd", 1, "cpu", 1, "30 student steps on batches of 64"),
        ("digits mad", "0.001PF", "cpu", 115, "0.001 PFLOP: 115 stages, 575 student"),
    ],
)
def test_a_budget_says_what_will_run(asked, budget, device, stages, words):
    recipe, sentence = apply_budget(budget, recipe_for(*asked.split()), device)
    assert recipe.settings.stages == stages and words in sentence
    assert "\n" not in sentence
