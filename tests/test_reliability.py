"""The sweep of bad inputs, in short; what it takes for right and wrong; and the records of the long ones."""

import json
import os
import subprocess
import sys
import time

import pytest
from chapters import ROOT

from dfkd_lib.errors import UserError
from reliability import sweep, trial
from reliability.trial import PROOF, Case, command, tried

# Python 3.12 and later warn of forks beside threads, of which pytest-xdist has one.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")


def refuses(*lines: str):
    def call(folder):
        raise UserError("\n".join(lines))

    return call


def tells(status: int, *lines: str):
    return lambda folder: command(lambda argv: [print(line, file=sys.stderr) for line in lines] and status)


def fails(folder):
    raise KeyError("x")


def then_refuses(action):
    return lambda folder: (action(folder), refuses("x is not allowed")(folder))


PLANTED = {
    "refused": [
        (refuses("x is not allowed"), {}),
        (tells(2, "error: x is not allowed"), {}),
        (refuses("x is not allowed"), {"good": None}),
        (then_refuses(lambda folder: (folder / ".x.lock").touch()), {}),
    ],
    "right": [
        (lambda folder: 3, {"good": True, "right": lambda value, folder: value == 3}),
        (tells(0, "a warning"), {"good": True}),
        (lambda folder: 3, {"good": None}),
    ],
    "traceback": [(fails, {}), (fails, {"good": True}), (tells(2, "Traceback (most", "KeyError: 'x'"), {})],
    "unclear": [
        (refuses("x is not allowed", "nor y"), {}),
        (refuses(" "), {}),
        (refuses("no"), {}),
        (tells(2, "x is not allowed"), {}),
        (tells(1, "error: x is not allowed"), {}),
        (tells(2, "a warning", "error: x is not allowed"), {}),
    ],
    "accepted": [(lambda folder: 3, {}), (tells(0, "x is odd"), {})],
    "mistaken": [
        (refuses("x is not allowed"), {"good": True}),
        (lambda folder: 4, {"good": True, "right": lambda value, folder: value == 3}),
        (lambda folder: 4, {"good": None, "right": lambda value, folder: value == 3}),
    ],
    "lost": [
        (then_refuses(lambda folder: (folder / "old").unlink()), {}),
        (then_refuses(lambda folder: (folder / "old").write_text("new")), {}),
        (then_refuses(lambda folder: (folder / "half").write_text("half")), {}),
        (lambda folder: (folder / "old").unlink(), {"good": True}),
    ],
    "executed": [(then_refuses(lambda folder: (folder / PROOF).touch()), {})],
    "hung": [(lambda folder: time.sleep(60), {})],
    "died": [(lambda folder: os.abort(), {})],
}


@pytest.mark.parametrize(
    ("kind", "call", "options"), [(kind, *case) for kind, cases in PLANTED.items() for case in cases]
)
def test_a_planted_outcome_is_seen(kind, call, options, monkeypatch):
    monkeypatch.setattr(trial, "SECONDS", 0.3 if kind == "hung" else 60)
    case = Case("planted", kind, call, lambda folder: (folder / "old").write_text("old"), names=("x",), **options)
    outcome = tried(case)
    assert outcome.kind == kind and outcome.well == (kind in ("refused", "right")), outcome.told


def test_every_outcome_is_planted():
    assert set(PLANTED) == {trial.REFUSED, trial.RIGHT, *trial.WRONG}


def test_what_is_tried_leaves_nothing_here(monkeypatch, tmp_path):
    monkeypatch.setattr(trial.tempfile, "tempdir", str(tmp_path))
    tried(Case("planted", "", lambda folder: os.environ.update(PLANTED="1") or os.chdir("/")))
    assert "PLANTED" not in os.environ and list(tmp_path.iterdir()) == []


def test_a_seed_decides_the_inputs():
    def drawn(seed):
        return [[draw(sweep.Random(f"{seed} {n}")).what for n in range(20)] for draw in (sweep.parameters, sweep.npz)]

    assert drawn(0) == drawn(0) != drawn(1)


def test_a_short_sweep():
    """In a process of its own: there the library is as users have it, without the tests' checks of types."""
    done = subprocess.run(
        [sys.executable, "-m", "reliability.sweep", "--count", "120"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert all(name in done.stdout for name in sweep.ENTRIES) and " 0 not as they should be" in done.stdout


def test_some_runs_that_end_early():
    words = ["-m", "reliability.ended", "--kills", "3", "--levels", "2"]
    done = subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def kept(name: str) -> dict:
    return json.loads((ROOT / "reliability" / "records" / f"{name}.json").read_text())


def test_the_committed_sweep():
    made = kept("sweep")
    assert made["inputs"] >= 1000 and set(made["outcomes"]) == set(sweep.ENTRIES)
    assert {kind for counts in made["outcomes"].values() for kind in counts} == {"refused", "right"}


def test_the_committed_kills():
    made = kept("ended")
    assert made["killed"]["kills"] >= 100 and made["killed"]["moments"]["behind one"] >= 30
    assert [made[part]["lost"] for part in ("killed", "full disk", "two at once")] == [[], [], []]
