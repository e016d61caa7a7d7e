"""Chapter 3 on CIFAR-100 by its name alone, from nothing but the data: here a small file of CIFAR-100's shape."""

import json

import numpy as np
import pytest
from chapters import assert_ran_clean, fresh_checkout, shell


def coloured_patches(path, *, copies=2, seed=0):
    """100 classes, each a pattern of 4×4 coloured patches of its own: learnt in a few steps."""
    random = np.random.default_rng(seed)
    patterns = random.integers(0, 256, (100, 4, 4, 3))

    def images(n):
        y = np.repeat(np.arange(100), n)
        x = patterns[y].repeat(8, axis=1).repeat(8, axis=2) + random.normal(0, 8, (len(y), 32, 32, 3))
        return x.clip(0, 255).astype(np.uint8), y

    (x_train, y_train), (x_test, y_test) = images(copies), images(1)
    np.savez(path, x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test)


@pytest.mark.slow
def test_cifar100_by_name(tmp_path):
    root = fresh_checkout(tmp_path / "checkout")
    data, cache = tmp_path / "data", tmp_path / "cache"
    data.mkdir()
    coloured_patches(data / "cifar100.npz")
    where = f"export DFKD_DATA={data} DFKD_CACHE={cache}; "
    trained = shell(
        where + "python -m dfkd_lib.teachers --dataset cifar100 --teacher wrn40_2 --epochs 10 --lr 0.05",
        cwd=root,
        library=root,
    )
    assert trained.returncode == 0, trained.stdout
    result = shell(
        where + "papermill book/03_mad.ipynb out.ipynb -p dataset cifar100 -p budget short "
        '-p overrides "batch=16 student_batch=16"',
        cwd=root,
        library=root,
    )
    assert result.returncode == 0, result.stdout
    assert_ran_clean(root / "out.ipynb")
    assert "NOT THE FULL SCHEDULE" in (root / "out.ipynb").read_text()
    records = [json.loads(path.read_text()) for path in (root / "output").glob("*.json")]
    assert {r["method"] for r in records} == {"dfad", "abm", "mad"}
    for r in records:
        assert (r["dataset"], r["teacher"], r["student"]) == ("cifar100", "wrn40_2", "wrn16_2")
        assert r["parameters"]["batch"] == 16 and np.isfinite(r["kl_last"])
    assert not list((root / "output").glob("*.ckpt*"))
