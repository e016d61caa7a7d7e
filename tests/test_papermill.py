"""Chapters run from start to end through papermill, from inside book/.

nbval runs every chapter from there, by a kernel alone; papermill runs here those that take seconds.
test_readme.py runs chapter 3 from the root: together they show that no path depends on the folder.
"""

import pytest
from chapters import assert_ran_clean, fresh_checkout, shell


@pytest.mark.slow
@pytest.mark.parametrize("name", ["06_scoreboard", "08_performance"])
def test_chapter_runs_inside_book(name, tmp_path):
    root = fresh_checkout(tmp_path / "checkout")
    result = shell(f"papermill {name}.ipynb ran.ipynb", cwd=root / "book", library=root)
    assert result.returncode == 0, result.stdout
    assert_ran_clean(root / "book" / "ran.ipynb")
