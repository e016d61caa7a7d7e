"""Records: what is in one, how they are written and read, and the committed ones."""

import collections
import errno
import functools
import itertools
import json
import os
import shlex
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfkd_lib import records, theory
from dfkd_lib.errors import UserError
from dfkd_lib.methods import METHODS, readable
from dfkd_lib.models import build
from dfkd_lib.recipes import RECIPES, Recipe, override, recipe_for
from dfkd_lib.teachers import machine
from dfkd_lib.train import History

ROOT = Path(__file__).resolve().parent.parent
COMMITTED = [
    made | {"experiment": path.stem}
    for path in sorted((ROOT / "results").glob("*.jsonl"))
    for made in records.load_records(path.stem, ROOT / "results")
]
SHA = "0123456789abcdef0123456789abcdef01234567"

# Records that the book compares with each other: data set, experiments.
COMPARED = (
    ("digits", "main losses batch arvi untrained"),
    ("digits", "foundations"),
    ("digits", "plain fast"),
    ("digits_half", "controls momentum statistics conditional stress memory"),
    ("digits_half", "reuse"),
    ("digits_half", "parts few_images"),
    ("digits_half", "banks banks_tuning teachers baselines teachers_parts"),
    ("digits_half", "banks teachers teachers_long composed composed_tuning"),
    ("usps", "composed"),
    ("digits_hybrid", "hidfd_digits hidfd_gan hidfd_students hidfd_sweeps"),
    ("digits_hybrid", "baselines baselines_tuning"),
    ("digits_hybrid", "hidfd_digits composed"),
    ("mnist", "mnist paper foundations hidfd hidfd_parts"),
    ("mnist", "plain fast"),
    ("moons", "moons moons_parts"),
    ("cifar10", "tuning"),
    ("cifar10", "cifar10 cifar10_banks"),
    ("cifar100", "laptop"),
    ("scenes", "scenes"),
    ("scenes", "scenes_tuning"),
    ("camvid", "segmentation"),
)
# Queued to be made again: those of their records that 0.1.0 made on an Intel Xeon, with
# the hours of one thread. Git does not know the commits of arvi, mnist and paper.
QUEUED = {"arvi": 0.6, "mnist": 1.4, "paper": 2.5}


def queued(made: dict) -> bool:
    return made["experiment"] in QUEUED and "Intel" in made["hardware"]


# --- one record -----------------------------------------------------------------------


def history() -> History:
    made = History(flop=7, processors=["Another CPU", "This CPU"])
    for stage, accuracy in ((1, 40.0), (2, 60.0), (3, 50.0)):
        row = {"generator_loss": -1.0, "student_loss": 1.0, "agreement": 2.0 * stage}
        row |= {"kl": 1 / stage, "accuracy": accuracy, "samples": 10 * stage}
        made.append(stage=stage, seconds=float(stage), **row)
    return made


@pytest.fixture
def made(teacher) -> dict:
    ran = {"device": "cpu", "precision": "float32", "commit": SHA}
    return records.record(recipe_for("digits"), 3, teacher, history(), **ran)


def test_a_record_holds_what_is_needed_to_judge_a_run(made, teacher):
    assert set(records.REQUIRED) <= set(made) and records.lacking(made) == []
    assert (made["accuracy_last"], made["accuracy_best"]) == (50, 60)
    assert (made["agreement_last"], made["kl_last"]) == (6, 1 / 3)
    assert (made["samples"], made["seconds"], made["flop"]) == (30, 3, 7)
    assert made["teacher_hash"] == teacher.hash and made["changes"] == {}
    assert made["processors"] == history().processors  # where it was resumed, too
    assert made["key"] == "mad-digits-lenet5-lenet5_half-s3-float32"
    assert json.loads(json.dumps(made)) == made


def test_a_commit_with_changes_is_no_commit(made):
    again = made | {"commit": SHA + "+changes"}
    assert records.lacking(again) == ["a commit without changes"]
    assert records.lacking(made | {"commit": "unknown"}) == ["commit"]


def test_lists_of_images_become_hashes_where_they_can_be_drawn_again():
    images = {"indices": [3, 5], "sha256": "ab"}
    hashed = records.hashed(images)
    assert hashed["sha256"] == "ab" and hashed["indices"].startswith("sha256:")
    assert records.hashed(images | {"indices": [3, 6]}) != hashed
    for kept in ({"kept": [1, 2]}, {"indices": "all", "sha256": "ab"}):
        assert records.hashed(kept) == kept


# --- keys and commands ----------------------------------------------------------------

changed = st.fixed_dictionaries({}, optional={
    "stages": st.integers(1, 10**6), "batch": st.integers(1, 512),
    "momentum": st.floats(0, 1), "lambda1": st.floats(0, 1e6),
    "conditional": st.booleans(),
    "schedule": st.sampled_from(["constant", "cosine", "step"]),
    "milestones": st.tuples(st.floats(0, 0.5), st.floats(0.5, 1)),
})  # fmt: skip


@given(changed, changed)
def test_equal_settings_have_equal_keys(one, other):
    one, other = (recipe_for("digits").replace(**changes) for changes in (one, other))
    keys = [records.key(recipe, 0, "float32") for recipe in (one, other)]
    assert (keys[0] == keys[1]) == (one.settings == other.settings)
    assert not set("/ ") & set(keys[0])
    assert one.replace(**records.changes(one)) == one


def test_a_key_does_not_depend_on_the_paper_that_named_the_settings():
    ours, dfad = (recipe_for("mnist", "dfad", paper=p) for p in ("ours", "dfad"))
    same = dfad.replace(**ours.values())
    assert records.key(same, 0, "float32") == records.key(ours, 0, "float32")
    assert records.key(dfad, 0, "float32") != records.key(ours, 0, "float32")
    assert records.changes(ours) == {} != records.changes(same)


def test_a_key_fits_into_a_file_name():
    weights = [name for name in readable(METHODS["mad"]) if name.startswith("lambda")]
    base = recipe_for("digits", teacher="/some where/resnet:34.pt:resnet34_8x")
    base = base.replace(**dict.fromkeys(weights, 1 / 3))
    ways = itertools.product((0.1, 0.2), (1, 2), ("float32", "bfloat16"))
    keys = {records.key(base.replace(student_lr=lr), *rest) for lr, *rest in ways}
    assert len(keys) == 8
    assert all(len(f".{key}.safetensors.a1b2c3d4".encode()) < 255 for key in keys)
    assert all(key.startswith("mad-digits-_some_where_resnet_34.pt_re") for key in keys)


def understood(command: str) -> tuple[Recipe, dict]:
    """The recipe and the other options of a command line."""
    words = shlex.split(command)
    assert words[:3] == ["python", "-m", "dfkd_lib.run"]
    settings = words[words.index("--set") + 1 :] if "--set" in words else []
    told = words[3 : words.index("--set")] if settings else words[3:]
    told = {name[2:]: value for name, value in zip(told[::2], told[1::2], strict=True)}
    pair = told.pop("pair", "auto-auto").rpartition("-")[::2]
    paper = told.pop("recipe", "auto")
    recipe = recipe_for(told.pop("dataset"), told.pop("method"), *pair, paper)
    return override(recipe, settings), told


@pytest.mark.parametrize("method", ["dfad", "arvi", "mad", "hidfd", "degan", "kd_ori"])
def test_the_command_repeats_every_recipe(method):
    """Of any paper, and of a pair that no recipe has."""
    asked = {(e.dataset, e.teacher, e.student, e.paper) for e in RECIPES}
    asked |= {("cifar100", "vgg13_bn", "vgg11_bn", "auto"), ("svhn", *3 * ["auto"])}
    for dataset, *rest in sorted(asked):
        recipe = recipe_for(dataset, method, *rest)
        recipe = recipe.replace(stages=77, milestones=(0.5, 0.75))
        found, told = understood(records.command(recipe, 7, "cpu", "float32"))
        assert found == recipe
        ran = {"seed": "7", "budget": "full", "device": "cpu", "precision": "float32"}
        assert told == ran


# --- writing --------------------------------------------------------------------------


def test_a_full_disk_leaves_no_half_file_and_the_checkpoint(
    made, tmp_path, monkeypatch
):
    (tmp_path / "name.json").write_text("earlier")
    (tmp_path / "name.ckpt").touch()
    full = OSError(errno.ENOSPC, "No space left on device")
    monkeypatch.setattr(os, "replace", lambda *paths: (_ for _ in ()).throw(full))
    with pytest.raises(UserError, match="No space left.*--resume"):
        records.save_run(tmp_path, "name", made, build("lenet5_half", 10))
    assert {p.name for p in tmp_path.iterdir()} == {"name.json", "name.ckpt"}
    assert (tmp_path / "name.json").read_text() == "earlier"


def test_records_are_appended_once(made, tmp_path):
    for seed in (0, 1):
        one = made | {"seed": seed, "key": f"k{seed}"}
        path = records.append("new", one, tmp_path)
    assert path.read_text().count("\n") == 2
    assert [r["seed"] for r in records.load_records("new", tmp_path)] == [0, 1]
    with pytest.raises(UserError, match="k1 is in .*new.jsonl; delete its line"):
        records.append("new", one, tmp_path)


# --- reading --------------------------------------------------------------------------


@pytest.fixture
def folder(made, tmp_path, monkeypatch) -> Path:
    for name, seed in itertools.product(("mad", "abm"), (1, 0)):
        records.append(name, made | {"method": name, "seed": seed, "key": f"{seed}"})
    changes = {"seed": 2, "changes": {"batch": 64}, "key": "2"}
    changes["parameters"] = made["parameters"] | {"batch": 64}
    records.append("mad", made | changes)
    return tmp_path


@pytest.fixture(autouse=True)
def own_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("DFKD_RESULTS", str(tmp_path))


def test_records_are_found_by_what_they_hold(folder):
    assert len(records.load_records()) == 5
    assert [r["seed"] for r in records.load_records("mad", seed=1)] == [1]
    assert [r["seed"] for r in records.load_records(method="mad", changes={})] == [0, 1]
    assert [r["seed"] for r in records.arm("mad", "mad", "digits")] == [0, 1]
    # Settings that equal the recipe's may be named or not.
    [one] = records.arm("mad", "mad", "digits", batch=64, student_steps=5)
    assert one["seed"] == 2
    for asked in ({"batch": 32}, {"momentum": 0.5}, {"batch": 64, "momentum": 0.5}):
        with pytest.raises(UserError, match="mad has no mad on digits with"):
            records.arm("mad", "mad", "digits", **asked)
    with pytest.raises(UserError, match="no weekly in .*give one of: abm, mad"):
        records.arm("weekly", "mad", "digits")
    with pytest.raises(UserError, match="DFKD_RESULTS"):
        records.load_records(folder=folder / "nowhere")


@pytest.mark.parametrize("text", ["", "{", '{"method": "mad"}', "[]", "3"])
def test_a_line_that_is_no_record_is_named(folder, text):
    with (folder / "mad.jsonl").open("a") as file:
        file.write(f"{text}\n")
    with pytest.raises(UserError, match="^.*mad.jsonl, line 4 .*delete the line.*$"):
        records.load_records()


def test_a_folder_of_records(monkeypatch, tmp_path):
    monkeypatch.delenv("DFKD_RESULTS")
    assert records.records_folder() == ROOT / "results"
    for module in (records, machine):
        monkeypatch.setattr(module, "project_folder", lambda: None)
    assert records.records_folder() == ROOT / "dfkd_lib" / "results"
    assert (records.commit(), records.tree()) == ("unknown", "unknown")


# --- comparisons ----------------------------------------------------------------------


def runs(**values: float) -> list[dict]:
    return [{"seed": int(seed[1:]), "kl": value} for seed, value in values.items()]


def test_intervals():
    a = runs(s2=90.0, s0=70.0, s1=85.0, s5=1.0)
    b = runs(s7=99.0, s0=60.0, s1=84.0, s2=86.0)
    alone, both = map(theory.mean_interval, ([90.0, 70, 85, 1], [10.0, 1, 4]))
    assert records.mean_interval(a, "kl") == alone
    assert records.paired(a, b, "kl") == pytest.approx((*both, 3))
    # Of one comparison, zero is outside; of nine, it is inside.
    higher = runs(s0=3.0, s1=3.4, s2=2.0, s3=4.4)
    ones = runs(s0=1.0, s1=1.0, s2=1.0, s3=1.0, s4=9.0)
    one, nine = (records.difference(higher, ones, n, "kl") for n in (1, 9))
    assert one.resolved and not nine.resolved and one[:3] == nine[:3]
    line = "Δ = +2.20 points (95 % CI +0.62 to +3.78, n = 4, 1 of 9 comparisons): not "
    assert str(nine) == f"{line}resolved"
    # Equal variances and sizes: Welch's degrees of freedom are 2 (n − 1).
    low, high = runs(s0=1.0, s1=2.0, s2=3.0), runs(s0=5.0, s1=6.0, s2=7.0)
    wanted = pytest.approx((-4, 2.7764451 * (2 / 3) ** 0.5))
    assert records.welch(low, high, "kl") == wanted
    assert str(records.welch(a, runs(s0=1.0), "kl")[1]) == "nan"


# --- the committed records ------------------------------------------------------------


@functools.cache
def recipe_of(method: str, parameters: str) -> Recipe:
    """The recipe that a record's parameters describe."""
    parts = json.loads(parameters).items()
    p = {n: tuple(v) if isinstance(v, list) else v for n, v in parts}
    recipe = recipe_for(p["dataset"], method, p["teacher"], p["student"], p["paper"])
    own = {n: p.get(n, value) for n, value in recipe.values().items()}
    return recipe.replace(**own)


def test_committed_records_are_named_after_what_they_hold():
    keys = collections.Counter((made["experiment"], made["key"]) for made in COMMITTED)
    assert set(keys.values()) == {1}
    told = functools.cache(lambda r: json.loads(json.dumps(records.changes(r))))
    name = functools.cache(lambda recipe: records.key(recipe, 0, ""))
    for made in COMMITTED:
        recipe = recipe_of(made["method"], json.dumps(made["parameters"]))
        end = f"{made['seed']}-{made['precision']}"
        assert made["key"] == name(recipe).removesuffix("0-") + end
        assert made["changes"] == told(recipe)
        assert records.lacking(made) == []
        assert 0 <= made["accuracy_last"] <= made["accuracy_best"] <= 100


def git(*words: str) -> str:
    command = ["git", "-C", ROOT, *words]
    return subprocess.run(command, capture_output=True, text=True).stdout.strip()


def test_git_knows_the_commit_of_every_record():
    """A shallow clone cannot tell: fetch the whole history first."""
    if git("rev-parse", "--is-shallow-repository") != "false":
        pytest.skip("no full history here: git fetch --unshallow")
    made = {r["commit"] for r in COMMITTED if not queued(r)}
    assert {sha for sha in made if git("cat-file", "-t", sha) != "commit"} == set()


@pytest.mark.parametrize(("dataset", "experiments"), COMPARED)
def test_a_comparison_has_one_processor(dataset, experiments):
    processors = {
        name
        for made in COMMITTED
        if made["dataset"] == dataset and made["experiment"] in experiments.split()
        for name in made["processors"]
        if not queued(made)
    }
    assert len(processors) == 1


def test_the_lists_of_comparisons_and_of_queued_records_are_complete():
    named = {(data, name) for data, names in COMPARED for name in names.split()}
    assert {(made["dataset"], made["experiment"]) for made in COMMITTED} == named
    assert {made["experiment"] for made in COMMITTED if queued(made)} == set(QUEUED)
