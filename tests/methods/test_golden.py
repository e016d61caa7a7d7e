"""Every method computes what the first edition computed: the losses of two stages.

`tests/golden/<paper>.json` was written by 0.1.0 (its README says how). The first stage
is compared to 1e-4, the second to 1e-3: sums in another order grow apart.
"""

import json
from pathlib import Path

import pytest
import torch

from dfkd_lib.data import images_for, load_dataset
from dfkd_lib.methods import METHODS, Task, readable
from dfkd_lib.models import build
from dfkd_lib.recipes import Recipe
from dfkd_lib.run import begin
from dfkd_lib.teachers import load_teacher
from dfkd_lib.train import TestSet

GOLDEN = Path(__file__).parent.parent / "golden"
CASES = [
    pytest.param(case, id=f"{case['method']}-{number}")
    for paper in ("dfad", "arvi", "mad", "hidfd", "baselines")
    for number, case in enumerate(json.loads((GOLDEN / f"{paper}.json").read_text()))
]


def settings_of(case):
    """The case's settings that the method reads; others are at their only value."""
    kind = METHODS[case["method"]]
    given = {n: v for n, v in case["settings"].items() if n in readable(kind)}
    given["milestones"] = tuple(given["milestones"])
    return kind(**given)


def terms_of(updates, player):
    return [list(terms.items()) for who, terms in updates if who == player and terms]


def stages(settings, state, count):
    updates = []
    for state.stage in range(1, count + 1):
        updates += settings.stage(state).updates
        for part in vars(state).values():
            if isinstance(part, torch.optim.lr_scheduler.LRScheduler):
                part.step()
    return updates


def colour(case, settings):
    """An untrained teacher with BatchNorm, on 3×32×32 images."""
    with torch.random.fork_rng():
        torch.manual_seed(123)
        teacher = build(case["teacher"], 10)
        teacher(1 + 2 * torch.randn(16, 3, 32, 32))  # moves BatchNorm's statistics
        teacher.eval()
        torch.manual_seed(case["seed"])
        task = Task(10, (3, 32, 32))
        return settings.start(teacher, build(case["student"], 10), task, case["seed"])


def real(case, settings):
    data = load_dataset(case["dataset"])
    teacher = load_teacher(data, case["teacher"], device="cpu")
    m, images = settings, None
    if m.data:
        choice = {"share": m.data_share} if m.data != "collected" else {
            "source": m.collected_from, "ratio": m.collected_ratio,
            "by": m.collected_by, "imbalance": m.collected_imbalance or None,
        }  # fmt: skip
        if m.data == "related":
            choice["source"] = "digits_rest"
        choice |= {"seed": case["seed"], "device": "cpu"}
        images, known = images_for(m.data, data, **choice)
        assert known.get("sha256") == (case.get("images") or {}).get("sha256")
    pair = case["teacher"], case["student"]
    recipe = Recipe(case["method"], "ours", data.name, *pair, m)
    state = begin(recipe, teacher.network, data, seed=case["seed"], images=images)
    return state, TestSet.of(data, state.teacher, "cpu")


@pytest.mark.parametrize("case", CASES)
@pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler")
def test_the_losses_are_those_of_the_first_edition(case):
    settings, test = settings_of(case), None
    if case["dataset"] == "colour":
        state = colour(case, settings)
    else:
        state, test = real(case, settings)
    with torch.random.fork_rng():
        torch.manual_seed(case["seed"])
        updates = stages(settings, state, case["stages_run"])
    for player, expected in case["terms"].items():
        found = terms_of(updates, player)
        assert len(found) == len(expected), player
        for number, (mine, theirs) in enumerate(zip(found, expected, strict=True)):
            rel = 1e-4 if number < len(found) / case["stages_run"] else 1e-3
            assert [n for n, _ in mine] == [n for n, _ in theirs]
            for (name, value), (_, wanted) in zip(mine, theirs, strict=True):
                assert float(value) == pytest.approx(wanted, rel=rel, abs=1e-6), name
    assert state.samples == case["samples"]
    if test:
        scores = test.scores(state)
        wanted = case["scores"]
        assert scores.accuracy == pytest.approx(wanted["accuracy"], abs=1)
        assert scores.kl == pytest.approx(wanted["kl"], rel=1e-3, abs=1e-5)
