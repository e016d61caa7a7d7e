"""Chapters run from start to end through papermill, from inside book/ and on other data.

nbval runs every chapter by a kernel alone; test_readme.py runs chapter 3 from the root.
"""

import json

import numpy as np
import pytest
from chapters import assert_ran_clean, fresh_checkout, shell

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", ["06_scoreboard", "08_performance"])
def test_a_chapter_runs_inside_book(name, tmp_path):
    root = fresh_checkout(tmp_path / "checkout")
    line = f"papermill {name}.ipynb ran.ipynb"
    result = shell(line, cwd=root / "book", library=root)
    assert result.returncode == 0, result.stdout
    assert_ran_clean(root / "book" / "ran.ipynb")


def coloured_patches(path):
    """100 classes, each a pattern of 4×4 coloured patches: learnt in a few steps."""
    random = np.random.default_rng(0)
    patterns = random.integers(0, 256, (100, 4, 4, 3))
    made = {}
    for part, n in (("train", 2), ("test", 1)):
        y = np.repeat(np.arange(100), n)
        x = patterns[y].repeat(8, axis=1).repeat(8, axis=2)
        x = (x + random.normal(0, 8, x.shape)).clip(0, 255).astype(np.uint8)
        made |= {f"x_{part}": x, f"y_{part}": y}
    np.savez(path, **made)


def test_chapter_3_runs_on_cifar100_by_its_name_alone(tmp_path):
    """From nothing but the data: here a small file of CIFAR-100's shape."""
    root, data = fresh_checkout(tmp_path / "checkout"), tmp_path / "data"
    data.mkdir()
    coloured_patches(data / "cifar100.npz")
    where = f"export DFKD_DATA={data} DFKD_CACHE={tmp_path}/cache; "
    teach = "python -m dfkd_lib.teachers --dataset cifar100 --teacher wrn40_2 "
    run = "papermill book/03_mad.ipynb out.ipynb -p dataset cifar100 -p budget short "
    run += '-p overrides "batch=16 student_batch=16"'
    for line in (f"{teach} --epochs 10 --lr 0.05", run):
        result = shell(where + line, cwd=root, library=root)
        assert result.returncode == 0, result.stdout
    assert_ran_clean(root / "out.ipynb")
    assert "NOT THE FULL SCHEDULE" in (root / "out.ipynb").read_text()
    made = [json.loads(path.read_text()) for path in (root / "output").glob("*.json")]
    assert {r["method"] for r in made} == {"dfad", "abm", "mad"}
    for r in made:
        assert (r["dataset"], r["pair"]) == ("cifar100", "wrn40_2-wrn16_2")
        assert r["parameters"]["batch"] == 16 and np.isfinite(r["kl_last"])
    assert not list((root / "output").glob("*.ckpt*"))
