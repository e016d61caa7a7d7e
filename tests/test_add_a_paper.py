"""The page *How to add a paper* shows code that runs, in the places that it names."""

import json
import re
import shutil

import pytest
from chapters import ROOT, shell

PAGE = (ROOT / "book" / "add_a_paper.md").read_text()
BLOCKS = re.findall(r"^```python\n# ([^\n]+)\n(.*?)^```", PAGE, re.M | re.S)


def put(root, place, code):
    """A block goes into a new file, or behind or before a line that is in its file once."""
    if place.startswith("new: "):
        (root / place.removeprefix("new: ")).write_text(code)
        return
    file, where, line = re.fullmatch(r"(\S+), (behind|before): (.+)", place).groups()
    text = (root / file).read_text()
    assert text.count(f"\n{line}\n") == 1, place
    parts = [f"{line}\n", code] if where == "behind" else [code, f"{line}\n"]
    (root / file).write_text(text.replace(f"{line}\n", "".join(parts)))


@pytest.fixture
def added(tmp_path):
    """A copy of the library in which the page's steps were taken, from top to bottom."""
    for folder in ("dfkd_lib", "tools"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy2(ROOT / "pyproject.toml", tmp_path)
    for place, code in BLOCKS:
        put(tmp_path, place, code)
    return tmp_path


def test_every_block_has_a_place():
    assert len(BLOCKS) == PAGE.count("```python")


def test_the_example_is_in_style(added):
    result = shell("ruff check --no-cache . && ruff format --no-cache --check .", cwd=added, library=added)
    assert result.returncode == 0, result.stdout


def test_the_example_distils(added):
    """Two stages by its own recipe, whose record has the sources; and its experiment is planned."""
    line = "python -m dfkd_lib.run --method hellinger --dataset digits --device cpu --set stages=2 --output-dir out"
    result = shell(line, cwd=added, library=added)
    assert result.returncode == 0, result.stdout
    [record] = (added / "out").glob("hellinger-digits-*.json")
    made = json.loads(record.read_text())
    assert (made["parameters"]["paper"], made["parameters"]["student_lr"]) == ("example", 0.01)
    assert made["sources"]["lambda_l"] == "Example Table 1"
    assert set(made["sources"]) >= set(made["parameters"]) - {"paper"}, "a value without a source"
    plan = "from tools import nightly; print(len(nightly.missing(['hellinger'])))"
    assert shell(f'python -c "{plan}"', cwd=added, library=added).stdout.strip() == "5"


@pytest.mark.parametrize("path", sorted(set(re.findall(r"`((?:dfkd_lib|book|tests|tools)/[\w./]+\.\w+)`", PAGE))))
def test_a_file_that_the_page_names_is_there(path):
    made = {place.removeprefix("new: ") for place, _ in BLOCKS} | {"tests/test_losses_hellinger.py"}
    assert path in made or (ROOT / path.replace("NN_name", "03_mad")).is_file()


@pytest.mark.parametrize(("file", "name"), re.findall(r"`(test_\w+\.py)`, `(\w+)`", PAGE))
def test_a_test_that_the_page_names_is_there(file, name):
    assert f"def {name}(" in (ROOT / "tests" / file).read_text()
