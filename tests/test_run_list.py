"""`python -m dfkd_lib.run list` and `--help`, and the recipe that a run's name tells."""

import re

import pytest

from dfkd_lib import run
from dfkd_lib.catalogue import DATASETS, NETWORKS
from dfkd_lib.methods import METHODS
from dfkd_lib.recipes import PAPERS, RECIPES, SETTINGS, recipe_for

# --- settings --------------------------------------------------------------------------------------------------------


def test_as_run_keeps_what_is_read_and_is_the_recipe_of_the_name():
    recipe = recipe_for("cifar100", "mad", paper="mad").replace(lambda1=0.5, discrepancy="kl", stages=7)
    kept = run.as_run("abm", recipe)
    assert (kept.lambda1, kept.discrepancy, kept.stages, kept.student_steps) == (1.0, "mae", 7, 60)
    assert run.as_run("abm", kept) == kept and run.as_run("mad", recipe).lambda1 == 0.5


# --- what there is ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", ["list", "--help"])
def test_everything_is_listed(capsys, arguments):
    try:
        status = run.main([arguments])
    except SystemExit as end:  # argparse's own
        status = end.code
    printed = capsys.readouterr()
    words = set(re.findall(r"[\w.-]+", printed.out))
    assert (status, printed.err) == (0, "")
    assert {*METHODS, *DATASETS, *NETWORKS, *PAPERS} <= words
    if arguments == "--help":
        assert words >= SETTINGS


def test_the_list_has_a_line_for_each_recipe_and_method(capsys):
    assert run.main(["list"]) == 0
    methods, *_, recipes = capsys.readouterr().out.split("\n\n")
    for recipe in RECIPES:
        [line] = [
            line
            for line in map(str.split, recipes.splitlines())
            if line[:3] == [recipe.paper, recipe.dataset, recipe.pair]
        ]
        assert {f"{recipe.stages:,}", str(recipe.generator_steps), str(recipe.student_steps)} <= set(line)
    for method in METHODS:
        [line] = [line for line in map(str.split, methods.splitlines()) if line[0] == method]
        assert len(line) > 4
