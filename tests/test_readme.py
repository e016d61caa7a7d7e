"""The README's commands are the Makefile's, and chapter 3's runs as it is written."""

import json
import re
import shlex

import pytest
from chapters import ROOT, assert_ran_clean, fresh_checkout, shell

README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```bash\n(.*?)^```", README, re.M | re.S)
RUN_CHAPTER = r"^(?:\.venv/bin/)?papermill book/03_mad\.ipynb (\S+\.ipynb)(.*)$"
RUN_CHAPTER = re.compile(RUN_CHAPTER, re.M)
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


@pytest.mark.slow
def test_chapter_3_runs_from_the_root(tmp_path):
    """The block as it is written, but for two stages: nbval runs the whole chapter."""
    # The block and not the line alone: it may make the folder that the line writes to.
    [block] = [b for b in BLOCKS if (m := RUN_CHAPTER.search(b)) and " -p " not in m[2]]
    root = fresh_checkout(tmp_path / "checkout")
    before = set(root.rglob("*"))
    short = RUN_CHAPTER.sub(r"\g<0> -p budget 2", block)
    result = shell(f"set -e\n{short}", cwd=root, library=root)
    assert result.returncode == 0, result.stdout
    assert_ran_clean(root / RUN_CHAPTER.search(block)[1])
    new = set(root.rglob("*")) - before
    assert [path for path in new if path.suffix == ".safetensors"], sorted(new)
    records = [json.loads(path.read_text()) for path in new if path.suffix == ".json"]
    assert [r for r in records if isinstance(r, dict) and RECORD_KEYS <= set(r)]
