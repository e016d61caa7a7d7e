"""The page *How to add a paper* shows code that runs, in the places that it names."""

import json
import re
import shutil

from chapters import ROOT, shell

PAGE = (ROOT / "book" / "add_a_paper.md").read_text()
BLOCKS = re.findall(r"^```python\n# ([^\n]+)\n(.*?)^```", PAGE, re.M | re.S)
NAMED = r"`((?:dfkd_lib|book|tests|tools|workflow)/[\w./]+\.\w+)`"


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


def test_the_pages_steps_in_a_copy_of_the_library(tmp_path):
    """In style, with a test that passes, and it distils by its recipe."""

    def run(line):
        result = shell(line, cwd=tmp_path, library=tmp_path)
        assert result.returncode == 0, result.stdout
        return result.stdout

    skipped = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "dfkd_lib", tmp_path / "dfkd_lib", ignore=skipped)
    shutil.copy2(ROOT / "pyproject.toml", tmp_path)
    for place, code in BLOCKS:
        put(tmp_path, place, code)
    files = " ".join({place.removeprefix("new: ").split(",")[0] for place, _ in BLOCKS})
    run(f"ruff check --no-cache {files} && ruff format --check {files}")
    assert "1 passed" in run("pytest -q -p no:cacheprovider tests")
    run(
        "python -m dfkd_lib.run --method hellinger --dataset digits --device cpu "
        "--set stages=2 --output-dir out"
    )
    [record] = (tmp_path / "out").glob("hellinger-digits-*.json")
    made = json.loads(record.read_text())
    assert made["parameters"]["paper"] == "hellinger"
    assert made["parameters"]["student_lr"] == 0.01
    assert made["sources"]["lambda_l"] == "Example Table 1"
    assert made["changes"] == {"stages": 2}


def test_every_block_has_a_place_and_every_file_that_is_named_is_there():
    assert len(BLOCKS) == PAGE.count("```python")
    for path in re.findall(NAMED, PAGE):
        path = path.replace("NN_name", "03_mad").replace("NAME", "mad")
        assert (ROOT / path).is_file(), path
