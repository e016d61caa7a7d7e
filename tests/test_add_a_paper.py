"""The page *How to add a paper* shows code that runs, in the places that it names."""

import json
import re
import shutil

import pytest
from chapters import ROOT, shell

PAGE = (ROOT / "book" / "add_a_paper.md").read_text()
BLOCKS = re.findall(r"^```python\n# ([^\n]+)\n(.*?)^```", PAGE, re.M | re.S)


def put(root, place, code):
    """A block goes into a new file, or next to a line that is in its file once."""
    if place.startswith("new: "):
        path = root / place.removeprefix("new: ")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(code)
        return
    file, where, line = re.fullmatch(r"(\S+), (after|before): (.+)", place).groups()
    text = (root / file).read_text()
    assert text.count(f"\n{line}\n") == 1, place
    parts = [f"{line}\n", code] if where == "after" else [code, f"{line}\n"]
    (root / file).write_text(text.replace(f"{line}\n", "".join(parts)))


@pytest.fixture(scope="module")
def added(tmp_path_factory):
    """A copy of the library in which the page's steps were taken, top to bottom."""
    root = tmp_path_factory.mktemp("added")
    skipped = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "dfkd_lib", root / "dfkd_lib", ignore=skipped)
    shutil.copy2(ROOT / "pyproject.toml", root)
    for place, code in BLOCKS:
        put(root, place, code)
    return root


def ran(line, root):
    result = shell(line, cwd=root, library=root)
    assert result.returncode == 0, result.stdout
    return result.stdout


def test_every_block_has_a_place():
    assert len(BLOCKS) == PAGE.count("```python")


def test_the_example_is_in_style(added):
    files = " ".join({place.removeprefix("new: ").split(",")[0] for place, _ in BLOCKS})
    ran(f"ruff check --no-cache {files} && ruff format --check {files}", added)


def test_the_examples_own_test_passes(added):
    assert "1 passed" in ran("pytest -q -p no:cacheprovider tests", added)


def test_the_example_distils_by_its_recipe(added):
    assert "hellinger" in ran("python -m dfkd_lib.run list", added)
    ran(
        "python -m dfkd_lib.run --method hellinger --dataset digits --device cpu "
        "--set stages=2 --output-dir out",
        added,
    )
    [record] = (added / "out").glob("hellinger-digits-*.json")
    made = json.loads(record.read_text())
    assert made["parameters"]["paper"] == "hellinger"
    assert made["parameters"]["student_lr"] == 0.01
    assert made["sources"]["lambda_l"] == "Example Table 1"
    assert made["changes"] == {"stages": 2}


NAMED = r"`((?:dfkd_lib|book|tests|tools|workflow)/[\w./]+\.\w+)`"


@pytest.mark.parametrize("path", sorted(set(re.findall(NAMED, PAGE))))
def test_a_file_that_the_page_names_is_there(path):
    path = path.replace("NN_name", "03_mad").replace("NAME", "mad")
    assert (ROOT / path).is_file()
