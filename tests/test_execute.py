"""tools/execute.py stores a chapter's outputs, the same bytes each time, and only good ones."""

import nbformat
import pytest

from tools import execute

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
print(os.environ["OMP_NUM_THREADS"], os.path.basename(os.getcwd()))

# %%
print("twice")

# %%
print("twice")
"""


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Executes a source; returns its notebook's bytes and its cells' ids."""
    path = tmp_path / "book" / "00_it.py"
    path.parent.mkdir()
    stored = path.with_suffix(".ipynb")

    def run(source, named=path):
        path.write_text(source)
        monkeypatch.setattr("sys.argv", ["execute.py", str(named)])
        execute.main()
        cells = nbformat.read(stored, as_version=4).cells
        return stored.read_bytes(), [cell.id for cell in cells]

    run.stored = stored
    return run


def test_outputs_are_stored_and_a_failing_chapter_leaves_them(run, capsys):
    """Run again, the bytes are the same; an edit changes no other cell's id."""
    first, ids = run(CHAPTER)
    assert "4/4" in capsys.readouterr().err  # progress
    cells = nbformat.read(run.stored, as_version=4).cells
    assert cells[2].outputs[-1].text == "1 book\n"
    assert len({*ids}) == len(ids) == 5

    with pytest.raises(SystemExit, match="ZeroDivisionError"):
        run(CHAPTER + "\n# %%\n1 / 0\n")
    assert run.stored.read_bytes() == first
    names = sorted(path.name for path in run.stored.parent.iterdir())
    assert names == ["00_it.ipynb", "00_it.py"]

    # the notebook's name stands for its source
    edited = CHAPTER.replace("# %% tags", "# %% [markdown]\n# New.\n\n# %% tags")
    _, more = run(edited, run.stored)
    assert {*ids} < {*more}
    assert run(CHAPTER)[0] == first
