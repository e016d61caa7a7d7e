"""The README's commands are the Makefile's, and the one for chapter 3 works as it is written."""

import re
import shlex

import pytest
from chapters import ROOT, assert_ran_clean, assert_student_made, fresh_checkout, shell

README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```bash\n(.*?)^```", README, re.M | re.S)
RUN_CHAPTER = re.compile(r"^(?:\.venv/bin/)?papermill book/03_mad\.ipynb (\S+\.ipynb)(.*)$", re.M)


def words(command: str) -> tuple[str, ...]:
    """A command as its words: quotes, comments and the spacing between them do not count."""
    return tuple(shlex.split(command, comments=True))


def commands(text: str) -> list[tuple[str, ...]]:
    lines = text.replace("\\\n", " ").splitlines()
    return [words(part) for line in lines for part in line.split("&&") if words(part)]


README_COMMANDS = [command for block in BLOCKS for command in commands(block)]


def recipe(target: str) -> str:
    """What `make target` would do from scratch, without doing it."""
    # `make test` starts these tests and hands its own options down: they are not wanted here.
    clean = "env -u MAKEFLAGS -u MAKELEVEL -u MFLAGS"
    result = shell(f"{clean} make --dry-run --always-make PYTHON=python3 {target}", cwd=ROOT)
    assert result.returncode == 0, result.stdout
    return result.stdout


@pytest.fixture(scope="module")
def recipes():
    """Every command of the targets that the README spells out."""
    return {c for target in ("run", "test", "book", "execute") for c in commands(recipe(target))}


def test_targets_exist():
    targets = [c[1] for c in README_COMMANDS if c[0] == "make" and len(c) > 1]
    assert {"run", "test"} <= set(targets)
    for target in targets:
        assert recipe(target)


def test_lines_without_make_are_those_of_make(recipes):
    """Set-up, `make run` and `make test` in full; the variations (`-p …`, help) are not recipes."""
    spelt_out = [
        c
        for c in README_COMMANDS
        if c[:3] == ("python3", "-m", "venv")
        or c[0] in (".venv/bin/pip", ".venv/bin/ruff", ".venv/bin/pytest", ".venv/bin/jupyter-book")
        or (c[0] == ".venv/bin/papermill" and "-p" not in c and "--help-notebook" not in c)
    ]
    tools = {command[0] for command in spelt_out}
    assert {"python3", ".venv/bin/pip", ".venv/bin/papermill", ".venv/bin/pytest"} <= tools
    assert [command for command in spelt_out if command not in recipes] == []


@pytest.mark.slow
def test_chapter_3_as_written(tmp_path):
    # The block and not the line alone: it may make the folder that the line writes to.
    [block] = [b for b in BLOCKS if (m := RUN_CHAPTER.search(b)) and " -p " not in m[2]]
    root = fresh_checkout(tmp_path / "checkout")
    before = set(root.rglob("*"))
    result = shell(f"set -e\n{block}", cwd=root, library=root)
    assert result.returncode == 0, result.stdout
    assert_ran_clean(root / RUN_CHAPTER.search(block)[1])
    assert_student_made(set(root.rglob("*")) - before)
