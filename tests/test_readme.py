"""The README's commands are the Makefile's, and chapter 3's runs on other data.

nbval runs every chapter on its own data, inside book/.
"""

import json
import re
import shlex

import numpy as np
import pytest
from chapters import ROOT, assert_ran_clean, fresh_checkout, shell

README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```bash\n(.*?)^```", README, re.M | re.S)
TOOLS = [f".venv/bin/{name}" for name in ("pip", "ruff", "pytest", "jupyter-book")]


def commands(text: str) -> list[tuple[str, ...]]:
    """The commands, each as its words: quotes, comments and spacing do not count."""
    lines = text.replace("\\\n", " ").splitlines()
    parts = [part for line in lines for part in line.split("&&")]
    return [words for p in parts if (words := tuple(shlex.split(p, comments=True)))]


# Every run leaves a record with at least these.
RECORD_KEYS = set(
    "method dataset pair teacher student seed accuracy_last accuracy_best teacher_accuracy "
    "teacher_hash samples seconds device versions commit command".split()
)
README_COMMANDS = [command for block in BLOCKS for command in commands(block)]


def recipe(target: str) -> str:
    """What `make target` would do from scratch, without doing it."""
    # `make test` starts these tests and would hand its own options down.
    clean = "env -u MAKEFLAGS -u MAKELEVEL -u MFLAGS"
    options = "--dry-run --always-make PYTHON=python3"
    result = shell(f"{clean} make {options} {target}", cwd=ROOT)
    assert result.returncode == 0, result.stdout
    return result.stdout


def is_of_make(command):
    """The set-up, `make run` and `make test`; variations of a run are not recipes."""
    if command[0] == ".venv/bin/papermill":
        return "-p" not in command and "--help-notebook" not in command
    return command[0] in TOOLS or command[:3] == ("python3", "-m", "venv")


def test_targets_exist_and_lines_without_make_are_those_of_make():
    targets = {c[1] for c in README_COMMANDS if c[0] == "make" and len(c) > 1}
    recipes = {target: commands(recipe(target)) for target in targets}
    assert {"run", "test", "book"} <= targets and all(recipes.values())
    spelt_out = [command for command in README_COMMANDS if is_of_make(command)]
    assert {"python3", ".venv/bin/papermill", *TOOLS} <= {c[0] for c in spelt_out}
    made = {command for t in ("run", "test", "book") for command in recipes[t]}
    assert [command for command in spelt_out if command not in made] == []


def test_the_files_that_the_readme_links_are_there():
    for path in re.findall(r"\]\(([\w./]+)\)", README):
        assert (ROOT / path).exists(), path


def plain_colours(path):
    """100 classes, each a colour with noise: learnt in 10 steps (14 % of the tests)."""
    random = np.random.default_rng(0)
    levels = np.linspace(20, 235, 5), np.linspace(20, 235, 5), np.linspace(40, 220, 4)
    colours = np.stack(np.meshgrid(*levels), -1).reshape(100, 1, 1, 3)
    made = {}
    for part, n in (("train", 4), ("test", 1)):
        y = np.repeat(np.arange(100), n)
        x = colours[y] + random.normal(0, 8, (len(y), 32, 32, 3))
        made |= {f"x_{part}": x.clip(0, 255).astype(np.uint8), f"y_{part}": y}
    np.savez(path, **made)


@pytest.mark.slow
def test_chapter_3_runs_on_cifar100_by_its_name_alone(tmp_path):
    """The line as it is written, but for a small budget, after the folder's line."""
    [line] = [block for block in BLOCKS if block.endswith("-p dataset cifar100\n")]
    [folder] = {block.splitlines()[0] for block in BLOCKS if block.startswith("mkdir")}
    root, data = fresh_checkout(tmp_path / "checkout"), tmp_path / "data"
    data.mkdir()
    plain_colours(data / "cifar100.npz")
    where = f"set -e; export DFKD_DATA={data} DFKD_CACHE={tmp_path}/cache; "
    teach = "python -m dfkd_lib.teachers --dataset cifar100 --teacher wrn16_2 "
    run = f"{folder}; {line.strip()} -p budget 0.001PF"
    for command in (f"{teach} --epochs 10 --lr 0.1", run):
        result = shell(where + command, cwd=root, library=root)
        assert result.returncode == 0, result.stdout
    [page] = (root / "output").glob("*.ipynb")
    assert_ran_clean(page)
    told = page.read_text()
    assert "0.001 PFLOP: 3 stages" in told and "is wrn40_2-wrn16_2 and about" in told
    assert not list((root / "output").glob("*.ckpt*"))
    [student] = (root / "output").glob("*.safetensors")
    [record] = (root / "output").glob("*.json")
    made = json.loads(record.read_text())
    assert made.keys() >= RECORD_KEYS and student.stem == record.stem
    assert (made["method"], made["pair"]) == ("mad", "wrn16_2-wrn16_1")
    assert made["flop"] == pytest.approx(0.001e15, rel=0.1)
    assert np.isfinite(made["kl_last"]) and made["teacher_accuracy"] > 5
