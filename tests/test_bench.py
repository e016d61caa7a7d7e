"""What `make bench` measures and keeps."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import bench

ROOT = Path(__file__).parent.parent
RECORDS = [json.loads(path.read_text()) for path in bench.RECORDS.glob("*.json")]
SMALL = bench.Case("dfad", "dfad", "digits", rounds=2)


def losses(without, precision="bfloat16"):
    left_out = without | (frozenset(["bfloat16"]) if precision == "float32" else set())
    updates = SMALL.stage(left_out, "cpu")().updates
    return [sum(terms.values()).item() for _, terms in updates]


@pytest.mark.parametrize(("precision", "rel"), [("float32", 1e-3), ("bfloat16", 0.05)])
def test_the_library_computes_what_the_public_code_computes(precision, rel):
    """The first stage from one seed; bfloat16 has three digits."""
    ours, public = losses(bench.LIBRARY, precision), losses(bench.PUBLIC)
    assert ours == pytest.approx(public, rel=rel, abs=rel / 10) and ours != public
    assert len(ours) == 6 and ours[0] < 0 < min(ours[1:])


@pytest.mark.parametrize("part", bench.PARTS)
def test_a_part_of_the_fast_path_can_be_left_out(part):
    without = losses(frozenset([part]))
    assert without == pytest.approx(losses(bench.LIBRARY), rel=0.05)
    assert (without == losses(bench.LIBRARY)) == (part in ("graphs", "memory"))


def test_variants_take_turns():
    tried = {"public": (SMALL, bench.PUBLIC), "library": (SMALL, bench.LIBRARY)}
    taken = bench.taking_turns(tried, "cpu")
    assert {name: len(rounds) for name, rounds in taken.items()} == dict.fromkeys(
        tried, 2
    )
    assert all(value > 0 for rounds in taken.values() for r in rounds for value in r)


def test_spread_is_numpys():
    values = np.random.default_rng(0).exponential(size=11)
    low, median, high = np.percentile(values, [25, 50, 75])
    found = bench.spread(list(values))
    assert list(found.values()) == pytest.approx([median, low, high])


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_every_case_has_a_recipe(device):
    for case in [*bench.cases(device), *bench.reuse_cases().values()]:
        assert case.recipe.dataset == case.dataset


def test_a_wrong_argument_is_told_before_any_work(capsys):
    with pytest.raises(SystemExit):
        bench.main(["--device", "tpu"])
    assert "tpu" in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.slow
def test_the_quick_way_keeps_nothing():
    before = {path: path.read_bytes() for path in bench.RECORDS.glob("*")}
    command = [sys.executable, "-m", "benchmarks.bench", "--quick", "--device", "cpu"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "public" in done.stdout and "library" in done.stdout
    assert {path: path.read_bytes() for path in bench.RECORDS.glob("*")} == before


@pytest.mark.parametrize("made", RECORDS, ids=lambda made: made["hardware"])
def test_a_record_says_where_it_comes_from_and_is_as_fast_as_promised(made):
    assert made["threads"] == 1 and made["versions"]["torch"] and made["commit"]
    ratios = {
        row["case"]: row["ways"]["library"]["processor_ratio"]["median"]
        for row in made["ratios"]
    }
    if made["device"] == "cpu":
        assert ratios["MNIST"] >= 5 and ratios["digits"] >= 2.3
        assert ratios["WRN-40-2 → WRN-16-2"] >= 2.1
        assert ratios["ResNet-34 → ResNet-18"] >= 2


def test_there_is_a_record():
    assert RECORDS
