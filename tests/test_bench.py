"""What `make bench` measures and keeps."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from chapters import ROOT

from benchmarks import bench, cases, measure, same
from dfkd_lib import results

RECORDS = [json.loads(path.read_text()) for path in sorted((ROOT / "benchmarks" / "records").glob("*.json"))]


def test_all_are_run_in_turn_after_one_that_does_not_count():
    called = []
    seconds = measure.interleaved({name: lambda name=name: called.append(name) for name in "abc"}, rounds=4)
    assert "".join(called) == "abc" + "abc" + "bca" + "cab" + "abc"
    assert {name: len(times) for name, times in seconds.items()} == {"a": 4, "b": 4, "c": 4}
    assert all(time >= 0 for times in seconds.values() for time in times)


def test_spread_is_numpys():
    values = np.random.default_rng(0).exponential(size=11)
    low, median, high = np.percentile(values, [25, 50, 75])
    found = measure.spread(list(values))
    assert (found["low"], found["median"], found["high"]) == pytest.approx((low, median, high))


def test_the_gap_of_losses_is_a_share_of_the_players_own():
    plain = [{"generator": [10.0], "student": [1.0, 3.0]}, {"generator": [-1.0], "student": [1.0, 1.0]}]
    fast = [{"generator": [11.0], "student": [1.0, 2.0]}, {"generator": [-1.0], "student": [1.0, 1.0]}]
    assert same.gaps(plain, fast) == [0.5, 0.0]


def test_losses_are_those_of_the_steps_in_their_order():
    case = cases.Case("dfad", "dfad", "digits", settings={"student_batch": 4, "batch": 4})
    first, again = (same.losses(case.make(cases.PLAIN, "cpu")[0], 2) for _ in range(2))
    assert first == again and [len(stage["student"]) for stage in first] == [5, 5]
    assert all(loss < 0 for stage in first for loss in stage["generator"])  # a discrepancy, which it maximises


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_what_is_tried_has_few_images_on_a_cpu(device):
    tried = {case.name: case.recipe for case in same.tried(device)}
    assert len(tried) == 5 and not any("MNIST" in name for name in tried)
    assert (tried["dfad, ResNet-34 → ResNet-18"].batch == 8) == (device == "cpu")


def test_two_processes_take_turns():
    case = cases.Case("dfad", "dfad", "digits", settings={"student_batch": 4, "batch": 4}, rounds=2, stages=2)
    compiled, seconds, pages = measure.taking_turns(case, "cpu")
    assert compiled == dict.fromkeys(case.variants, "none")
    for found in (seconds, pages):
        assert {variant: len(values) for variant, values in found.items()} == dict.fromkeys(case.variants, 2)
    assert all(value > 0 for values in seconds.values() for value in values)


def test_operations_of_a_product():
    a, b = torch.randn(7, 5), torch.randn(5, 3)
    assert measure.operations(lambda: a @ b) == 2 * 7 * 5 * 3


def test_a_peak_is_a_rate_that_a_product_of_that_size_reaches():
    rate = measure.peak("cpu", torch.float32)
    assert 1e9 < rate < 1e14


def test_a_stage_is_the_loops(monkeypatch):
    method = cases.Case("dfad", "dfad", "digits", settings={"student_batch": 4, "batch": 4}).make(cases.FAST, "cpu")[0]
    called = []
    for name in ("generator_step", "end_generator_stage", "student_step"):
        monkeypatch.setattr(method, name, lambda *given, name=name: called.append((name, *given)))
    cases.run_stage(method)
    assert called == [("generator_step",), ("end_generator_stage",), *(("student_step", step) for step in range(5))]


def test_the_two_ways_of_a_case_are_two_ways():
    case = cases.Case("dfad", "dfad", "digits")
    slow, fast = (case.make(variant, "cpu")[0] for variant in case.variants)
    assert slow.plain and not fast.plain
    assert all(torch.equal(a, b) for a, b in zip(slow.student.parameters(), fast.student.parameters(), strict=True))


@pytest.mark.parametrize("case", cases.cases("cuda") + cases.cases("cpu") + cases.reuse_cases(), ids=lambda c: c.name)
def test_every_case_has_a_recipe(case):
    assert case.recipe.student_batch > 0 and case.recipe.dataset == case.dataset


def test_the_order_of_magnitude_of_memory():
    """Two batches of 128 images of 32 × 32 in float32, and no gigabyte."""
    assert 0.5 < measure.grown(cases.Case("dfad", "dfad", "digits"), cases.PLAIN, "cpu") < 1000


@pytest.mark.parametrize("arguments", [["ratios"], ["--device", "tpu"]])
def test_what_is_wrong_is_told_before_any_work(arguments, capsys):
    with pytest.raises(SystemExit) as stopped:
        bench.main(arguments)
    assert stopped.value.code == 2
    assert arguments[-1] in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.slow
def test_the_quick_way_shows_all_and_keeps_nothing():
    before = {path: path.read_bytes() for path in bench.RECORDS.glob("*")}
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.bench", "--quick", "--device", "cpu"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    for word in ("differences of losses", "dfad, digits", "mad, reuse 1", "images in a batch", "classes"):
        assert word in done.stdout
    assert {path: path.read_bytes() for path in bench.RECORDS.glob("*")} == before


# --- the committed records ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("made", RECORDS, ids=lambda made: made["hardware"])
def test_a_record_says_where_it_comes_from(made):
    assert made["hardware"] and made["device"] in ("cpu", "cuda") and made["threads"] >= 1
    assert made["versions"]["torch"] and made["command"].startswith("python -m benchmarks.bench")
    assert len(made["commit"]) == 40  # and no changes beside it


@pytest.mark.parametrize("made", RECORDS, ids=lambda made: made["hardware"])
def test_a_records_ratios_are_its_times(made):
    for case in made["ratios"]:
        plain, fast = (case["variants"][v]["seconds"] for v in (cases.PLAIN, cases.FAST))
        assert plain["low"] / fast["high"] <= case["ratio"]["median"] <= plain["high"] / fast["low"]
        assert all(0 < variant["utilisation"] < 1 for variant in case["variants"].values())
        assert all(variant["new_pages"] >= 0 for variant in case["variants"].values())


@pytest.mark.parametrize("made", RECORDS, ids=lambda made: made["hardware"])
def test_the_fast_path_begins_as_the_public_loop_does(made):
    """In float32 only sums differ; bfloat16 has three digits."""
    assert {found["case"] for found in made["first_steps"]} == {case.name for case in same.tried(made["device"])}
    for found in made["first_steps"]:
        assert found["gaps"][0] < (1e-3 if found["precision"] == "float32" else 0.05)


def test_there_is_a_record():
    assert RECORDS


@pytest.mark.parametrize(("method", "dataset"), [("dfad", "digits"), ("mad", "digits"), ("dfad", "mnist")])
def test_the_fast_path_does_not_cost_accuracy(method, dataset):
    """Five paired seeds: a loss of a point, or one that the seeds can tell from nothing, would show."""
    plain, fast = (
        results.load_records(ROOT / "results" / way, method=method, dataset=dataset) for way in ("plain", "fast")
    )
    assert len(plain) == len(fast) == 5
    assert {r["precision"] for r in plain} == {"plain"} and "plain" not in {r["precision"] for r in fast}
    gap, half = results.paired(fast, plain, "accuracy_last")
    assert gap > -1 and gap + half > 0
