"""What `make bench` measures and keeps."""

import json

import pytest

from benchmarks import bench

SMALL = bench.Case("dfad", "dfad", "digits", rounds=2)


def losses(without):
    updates = SMALL.stage(without, "cpu")().updates
    return [sum(terms.values()).item() for _, terms in updates]


@pytest.fixture(scope="module")
def ours():
    return losses(bench.LIBRARY)


def test_the_library_computes_what_the_public_code_computes(ours):
    """The first stage from one seed; bfloat16 has three digits."""
    public, exact = losses(bench.PUBLIC), losses(frozenset(["bfloat16"]))
    assert len(ours) == 6 and ours[0] < 0 < min(ours[1:])
    assert exact == pytest.approx(public, rel=1e-3, abs=1e-4) and exact != public
    assert ours == pytest.approx(public, rel=0.05, abs=0.005) and ours != public


def test_each_part_of_the_fast_path_can_be_left_out(ours):
    for part in bench.PARTS:
        without = losses(frozenset([part]))
        assert without == pytest.approx(ours, rel=0.05), part
        assert (without == ours) == (part in ("graphs", "memory")), part


def test_every_case_has_a_recipe_and_a_wrong_argument_is_told(capsys):
    for device in ("cpu", "cuda"):
        for case in [*bench.cases(device), *bench.reuse_cases().values()]:
            assert case.recipe.dataset == case.dataset
    with pytest.raises(SystemExit):
        bench.main(["--device", "tpu"])
    assert "tpu" in capsys.readouterr().err.splitlines()[-1]


def test_the_quick_way_takes_turns_and_keeps_nothing(capsys):
    before = {path: path.read_bytes() for path in bench.RECORDS.glob("*")}
    assert bench.main(["--quick", "--device", "cpu"]) == 0
    rows = [line.split()[:2] for line in capsys.readouterr().out.splitlines()]
    assert rows == [["digits", "public"], ["digits", "library"]]
    assert {path: path.read_bytes() for path in bench.RECORDS.glob("*")} == before


def test_a_record_says_where_it_comes_from_and_is_as_fast_as_promised():
    records = [json.loads(path.read_text()) for path in bench.RECORDS.glob("*.json")]
    assert any(made["device"] == "cpu" for made in records)
    for made in records:
        assert made["threads"] == 1 and made["versions"]["torch"] and made["commit"]
        ratios = {
            row["case"]: row["ways"]["library"]["processor_ratio"]["median"]
            for row in made["ratios"]
        }
        if made["device"] == "cpu":
            assert ratios["MNIST"] >= 5 and ratios["digits"] >= 2.3
            assert ratios["WRN-40-2 → WRN-16-2"] >= 2.1
            assert ratios["ResNet-34 → ResNet-18"] >= 2
