"""tools/execute.py stores a chapter's outputs, the same bytes each time, and only good ones."""

import shutil

import nbformat
import pytest
from chapters import ROOT, shell

CHAPTER = """\
# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # A chapter

# %% tags=["parameters"]
seed: int = 0  # the seed

# %%
import os
import matplotlib.pyplot as plt

plt.plot([seed, 1])
plt.show()
print(os.environ["OMP_NUM_THREADS"], os.path.basename(os.getcwd()))

# %%
print("twice")

# %%
print("twice")
"""


@pytest.fixture
def chapter(tmp_path):
    path = tmp_path / "book" / "00_it.py"
    path.parent.mkdir()
    path.write_text(CHAPTER)
    return path


def execute(chapter):
    return shell(f"python {ROOT}/tools/execute.py {chapter}", cwd=chapter.parents[1])


def test_same_bytes_twice(chapter):
    first = chapter.with_suffix(".first")
    result = execute(chapter)
    assert result.returncode == 0, result.stdout
    assert "4/4" in result.stdout  # progress
    shutil.move(chapter.with_suffix(".ipynb"), first)
    assert execute(chapter).returncode == 0
    assert chapter.with_suffix(".ipynb").read_bytes() == first.read_bytes()

    notebook = nbformat.read(first, as_version=4)
    assert notebook.cells[2].outputs[-1].text == "1 book\n"
    assert len({cell.id for cell in notebook.cells}) == len(notebook.cells)


def test_an_edit_changes_no_other_cells_id(chapter):
    execute(chapter)
    before = nbformat.read(chapter.with_suffix(".ipynb"), as_version=4)
    chapter.write_text(
        CHAPTER.replace("# %% tags", "# %% [markdown]\n# New.\n\n# %% tags")
    )
    execute(chapter.with_suffix(".ipynb"))  # the notebook's name stands for its source
    after = nbformat.read(chapter.with_suffix(".ipynb"), as_version=4)
    assert {cell.id for cell in before.cells} < {cell.id for cell in after.cells}


def test_a_failing_chapter_leaves_its_notebook(chapter):
    execute(chapter)
    before = chapter.with_suffix(".ipynb").read_bytes()
    chapter.write_text(CHAPTER + "\n# %%\n1 / 0\n")
    result = execute(chapter)
    assert result.returncode == 1
    assert "ZeroDivisionError" in result.stdout
    assert chapter.with_suffix(".ipynb").read_bytes() == before
    assert sorted(path.name for path in chapter.parent.iterdir()) == [
        "00_it.ipynb",
        "00_it.py",
    ]
