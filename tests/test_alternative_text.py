"""Every picture of the book says in words what it shows, for whoever does not see it.

MyST-NB takes the text from the cell: `# %% mystnb={"image": {"alt": "…"}}`, for all pictures of that cell.
"""

import re
from collections import Counter

import nbformat
import pytest
from chapters import CHAPTERS
from nbformat.v4 import new_code_cell, new_output


def code_cells(chapter):
    notebook = nbformat.read(chapter.with_suffix(".ipynb"), as_version=4)
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def alternative(cell):
    return cell.metadata.get("mystnb", {}).get("image", {}).get("alt")


def complaint(cell):
    """What is wrong with the cell's alternative text, if anything is; LaTeX is not read aloud."""
    pictures = [o for o in cell.outputs if any(kind.startswith("image/") for kind in o.get("data", {}))]
    text = alternative(cell)
    if not pictures:
        return None if text is None else "a text without a picture"
    if text is None:
        return "a picture without a text"
    if len(text) < 40:
        return f"too short to say what is drawn and what one sees: {text}"
    if re.search(r"[\"\n\\$]", text):
        return f"a quotation mark, a line break or LaTeX in: {text}"
    return None


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda path: path.stem)
def test_every_picture_has_one(chapter):
    found = [(cell.source.splitlines()[:2], complaint(cell)) for cell in code_cells(chapter)]
    assert [(source, wrong) for source, wrong in found if wrong] == []


def test_none_is_said_twice():
    texts = Counter(text for chapter in CHAPTERS for cell in code_cells(chapter) if (text := alternative(cell)))
    assert texts and [text for text, times in texts.items() if times > 1] == []


GOOD = "Accuracy over stages, in per cent: a curve that rises and then stays."


@pytest.mark.parametrize(
    ("text", "wrong"),
    [(GOOD, None), (None, "without a text"), ("A curve.", "too short"), *((GOOD + c, "LaTeX in") for c in '"\n\\$')],
)
def test_the_check_bites(text, wrong):
    picture = new_output("display_data", data={"image/png": "", "text/plain": "Figure"})
    cell = new_code_cell("plot()", outputs=[picture])
    if text is not None:
        cell.metadata["mystnb"] = {"image": {"alt": text}}
    assert wrong in complaint(cell) if wrong else complaint(cell) is None
    cell.outputs = []
    assert complaint(cell) == (None if text is None else "a text without a picture")
