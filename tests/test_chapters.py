"""Chapter 3 on other data, from nothing but the data.

nbval runs every chapter inside book/; test_readme.py runs chapter 3 from the root.
"""

import json

import numpy as np
import pytest
from chapters import assert_ran_clean, fresh_checkout, shell

pytestmark = pytest.mark.slow


def plain_colours(path):
    """100 classes, each a colour with noise: learnt in 30 steps (21 % of the tests)."""
    random = np.random.default_rng(0)
    levels = np.linspace(20, 235, 5), np.linspace(20, 235, 5), np.linspace(40, 220, 4)
    colours = np.stack(np.meshgrid(*levels), -1).reshape(100, 1, 1, 3)
    made = {}
    for part, n in (("train", 4), ("test", 1)):
        y = np.repeat(np.arange(100), n)
        x = colours[y] + random.normal(0, 8, (len(y), 32, 32, 3))
        made |= {f"x_{part}": x.clip(0, 255).astype(np.uint8), f"y_{part}": y}
    np.savez(path, **made)


def test_chapter_3_runs_on_cifar100_by_its_name_alone(tmp_path):
    root, data = fresh_checkout(tmp_path / "checkout"), tmp_path / "data"
    data.mkdir()
    plain_colours(data / "cifar100.npz")
    where = f"export DFKD_DATA={data} DFKD_CACHE={tmp_path}/cache; "
    teach = "python -m dfkd_lib.teachers --dataset cifar100 --teacher wrn16_2 "
    run = "papermill book/03_mad.ipynb out.ipynb -p dataset cifar100 -p budget 0.002PF"
    for line in (f"{teach} --epochs 30 --lr 0.1", run):
        result = shell(where + line, cwd=root, library=root)
        assert result.returncode == 0, result.stdout
    assert_ran_clean(root / "out.ipynb")
    told = (root / "out.ipynb").read_text()
    assert "0.002 PFLOP: 6 stages" in told and "is wrn40_2-wrn16_2 and about" in told
    [made] = [json.loads(path.read_text()) for path in (root / "output").glob("*.json")]
    assert (made["method"], made["pair"]) == ("mad", "wrn16_2-wrn16_1")
    assert made["flop"] == pytest.approx(0.002e15, rel=0.1)
    assert np.isfinite(made["kl_last"]) and made["teacher_accuracy"] > 5
    assert not list((root / "output").glob("*.ckpt*"))
