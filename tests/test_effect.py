"""Every method works: its student ends far above RANDOM's, which had as many steps on as many images."""

import functools
import os
import statistics
from pathlib import Path

import pytest

from dfkd_lib.collected import collect
from dfkd_lib.data import Dataset, load_dataset
from dfkd_lib.evaluation import TestSet
from dfkd_lib.images import Images
from dfkd_lib.methods import METHODS
from dfkd_lib.methods.with_data import images_for
from dfkd_lib.recipes import Recipe, recipe_for
from dfkd_lib.teachers import Teacher, load_teacher
from dfkd_lib.training import train

REAL = Path(os.environ.get("DFKD_DATA") or "nowhere")  # read before the tests' surroundings hide it
RELATED = next((name for name in ("usps", "mnist") if (REAL / f"{name}.npz").is_file()), None)

BUDGET = Recipe(batch=64, student_batch=64, stages=40, stages_per_epoch=40, memory=512)
SETTINGS = {
    "deepinversion": {"inversion_steps": 10},
    # At these weights' defaults, 1000 and 1, some or all of LeNet-5's students break down: 12, 10 and 50.9 %.
    "at": {"lambda_attention": 100.0},
    "fitnet": {"lambda_hint": 0.1},
}
SEEDS = {"kd_unr": (0, 1, 2)}  # else 0 alone

# How many points above RANDOM at least. Measured with this budget, percent of the test images, mean and standard error
# over seeds 0, 1 and 2 (kd_unr: 0 to 3): random 11.6 ± 0.9; dfad 76.7 ± 2.2, arvi 83.0 ± 1.6, abm 83.0 ± 0.7, dfkd_mem
# 87.5 ± 0.7, mad 87.7 ± 1.5, dafl 84.6 ± 0.7, deepinversion 82.4 ± 2.6; kd_ori 96.6 ± 0.6, kd_rel 89.1 ± 0.6 (of USPS;
# of MNIST 74.8 ± 0.7), kd_unr 46.3 ± 6.3, fitnet 95.9 ± 0.2, at 96.1 ± 0.6, ft 96.0 ± 0.3.
# On digits_hybrid, seeds 0 and 1: hidfd 97.1 and 97.3, kd_collected 93.8 and 93.3, degan 75.3 and 66.6.
# The worst single seeds are 9 points or more above these bounds. The bounds are 18 standard errors and more above
# RANDOM; that of kd_unr, whose seeds differ most, two, and what was measured five.
LEAST = {
    **dict.fromkeys(("dfad", "arvi", "abm", "dfkd_mem", "mad", "dafl", "deepinversion"), 50),
    **dict.fromkeys(("kd_ori", "fitnet", "at", "ft"), 65),
    "kd_rel": 45,
    "hidfd": 65,
    "kd_collected": 65,
    "degan": 40,
    "kd_unr": 15,
}


@functools.cache
def teacher_and_test(dataset: str = "digits") -> tuple[Dataset, Teacher, TestSet]:
    digits = load_dataset(dataset)
    teacher = load_teacher(digits, "lenet5", train=False)
    return digits, teacher, TestSet.of(digits, teacher.network, "cpu")


@functools.cache
def accuracy(method: str) -> float:
    kind, images = METHODS[method], None
    digits, teacher, test = teacher_and_test("digits_hybrid" if kind.needs == "collected" else "digits")
    recipe = BUDGET
    if kind.needs == "collected":  # HiDFD's rates, and 400 steps of its GAN before 600 of the student
        recipe = recipe_for("digits_hybrid", method).replace(stages=40, stages_per_epoch=40)
        images = images_for("collected", digits, seed=0, device="cpu", **kind.choice(recipe, teacher.network, "cpu"))[0]
    elif kind.needs == "original":
        images = Images.of(digits, "cpu")
    elif kind.needs:
        source = {"related": RELATED, "unrelated": "photographs"}[kind.needs]
        images = Images.of_collected(collect(source, digits, ratio=1.0), digits, "cpu")
    recipe, scores = recipe.replace(**SETTINGS.get(method, {})), []
    for seed in SEEDS.get(method, (0,)):
        game = kind(teacher.network, recipe, 10, 1, seed=seed, images=images)
        scores.append(train(game, test, progress=False).accuracy[-1])
    return statistics.mean(scores)


@pytest.mark.parametrize("method", LEAST)
def test_a_method_is_far_above_random(method, monkeypatch):
    if method == "kd_rel":
        if not RELATED:
            pytest.skip("no related images are embedded: set DFKD_DATA to a folder with usps.npz or mnist.npz")
        monkeypatch.setenv("DFKD_DATA", str(REAL))
        monkeypatch.setenv("DFKD_OFFLINE", "1")
    assert accuracy("random") < 20
    assert accuracy(method) > accuracy("random") + LEAST[method]


def test_every_method_is_tried():
    assert set(LEAST) == set(METHODS) - {"random"}
