"""What of a recipe a budget lets through, and what is said of it."""

import pytest
import torch

from dfkd_lib.budget import apply_budget, resolve_precision
from dfkd_lib.recipes import Recipe, recipe_for


@pytest.mark.parametrize(("budget", "device"), [("auto", "cpu"), ("auto", "cuda"), ("full", "cpu"), (160, "cpu")])
def test_the_full_schedule(budget, device):
    """Digits are small enough for a processor."""
    assert apply_budget(budget, Recipe(), device) == (Recipe(), "the full schedule: 160 stages, 800 student steps")


def test_a_number_is_so_many_stages():
    recipe, sentence = apply_budget(8, Recipe(), "cpu")
    assert recipe == Recipe(stages=8)
    assert "NOT THE FULL SCHEDULE: 40 student steps on batches of 128, of 800 on 128" in sentence
    assert "20 times the work" in sentence


@pytest.mark.parametrize("budget", ["auto", "short"])
def test_a_papers_schedule_is_cut_short_on_a_processor_which_says_so(budget):
    paper = recipe_for("cifar100")
    short, sentence = apply_budget(budget, paper, "cpu")
    assert short.stages * short.student_steps <= 20 and short.student_batch <= 64
    assert (
        short.replace(
            **{
                name: getattr(paper, name)
                for name in (
                    *("stages", "stages_per_epoch", "student_steps", "generator_steps", "inversion_steps", "synthetic"),
                    *("batch", "student_batch"),
                )
            }
        )
        == paper
    )
    assert "NOT THE FULL SCHEDULE: 20 student steps on batches of 64, of 900,000 on 256" in sentence
    assert "180,000 times the work" in sentence


def test_a_papers_schedule_runs_whole_on_a_gpu():
    assert apply_budget("auto", recipe_for("cifar100"), "cuda")[0] == recipe_for("cifar100")


def test_a_gans_stages_have_no_student_steps():
    recipe = recipe_for("digits_hybrid", "hidfd")
    assert apply_budget("full", recipe, "cpu", gan=True)[1] == "the full schedule: 100 stages, 1,500 student steps"
    shown, sentence = apply_budget(1, recipe, "cpu", gan=True)
    assert (shown.stages, shown.gan_stages) == (1, 0) and "30 student steps on batches of 64, of 1,500" in sentence


def test_more_than_the_full_schedule_is_not_called_less():
    sentence = apply_budget(200, Recipe(), "cpu")[1]
    assert sentence == "more than the full schedule of 160 stages: 200, 1,000 student steps"


def test_precision():
    assert resolve_precision("float32", "cpu") == "float32"
    assert resolve_precision("bfloat16", "cpu") == "bfloat16"
    fast = torch.ops.mkldnn._is_mkldnn_bf16_supported()
    assert resolve_precision("auto", "cpu") == ("bfloat16" if fast else "float32")
