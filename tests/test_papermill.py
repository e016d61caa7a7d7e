"""Every chapter runs from start to end through papermill, from inside book/.

test_readme.py runs chapter 3 from the root: together they show that no path depends on the folder.
"""

import pytest
from chapters import CHAPTERS, assert_ran_clean, assert_student_made, fresh_checkout, shell


@pytest.mark.slow
@pytest.mark.parametrize("name", [path.stem for path in CHAPTERS])
def test_chapter_runs_inside_book(name, tmp_path):
    root = fresh_checkout(tmp_path / "checkout")
    before = set(root.rglob("*"))
    result = shell(f"papermill {name}.ipynb ran.ipynb", cwd=root / "book", library=root)
    assert result.returncode == 0, result.stdout
    assert_ran_clean(root / "book" / "ran.ipynb")
    if name == "03_mad":
        assert_student_made(set(root.rglob("*")) - before)
