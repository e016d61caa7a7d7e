"""The stored notebooks are the sources, run once from top to bottom, and nothing else.

Each check returns its complaints, and each is shown to bite.
"""

import ast
import re
from collections import Counter
from pathlib import Path

import jupytext
import nbformat
import pytest
from chapters import CHAPTERS, ROOT
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from papermill.translators import PythonTranslator


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def outputs(notebook):
    return [output for cell in code_cells(notebook) for output in cell.outputs]


def in_step(notebook, source):
    """Cell by cell the same type, source and metadata; outputs are not compared."""
    cells = notebook.cells, source.cells
    ours, theirs = ([(c.cell_type, c.source, c.metadata) for c in n] for n in cells)
    if len(ours) != len(theirs):
        return [f"{len(ours)} cells in the .ipynb, {len(theirs)} in the .py"]
    return [f"{a!r} and {b!r}" for a, b in zip(ours, theirs, strict=True) if a != b]


def in_order(notebook):
    counts = [cell.execution_count for cell in code_cells(notebook)]
    whole = list(range(1, len(counts) + 1))
    return [] if counts == whole else [f"executed in order {counts}"]


def no_errors(notebook):
    """Nor anything on stderr."""
    wrong = [out for out in outputs(notebook) if out.output_type == "error"]
    return wrong + [out for out in outputs(notebook) if out.get("name") == "stderr"]


def no_traces_of_a_run(notebook):
    """Neither cells that papermill injected nor what runs leave in metadata."""
    unwanted = {"papermill", "execution", "ExecuteTime", "widgets"}
    tags = [tag for cell in notebook.cells for tag in cell.metadata.get("tags", [])]
    found = [key for h in (notebook, *notebook.cells) for key in h.metadata]
    return sorted(unwanted & {*found}) + [t for t in tags if t == "injected-parameters"]


def only_text_and_pictures(notebook):
    """Scripts are dead in a page without network."""
    allowed = {"text/plain", "text/html", "text/markdown", "text/latex"}
    allowed |= {"image/png", "image/svg+xml"}
    data = [out.data for out in outputs(notebook) if "data" in out]
    kinds = [key for d in data for key in sorted(set(d) - allowed)]
    return kinds + [d for d in data if "<script" in d.get("text/html", "")]


def no_machine_paths(notebook):
    texts = [out.text for out in outputs(notebook) if out.output_type == "stream"]
    for out in outputs(notebook):
        data = out.get("data", {}).items()
        texts += [text for kind, text in data if kind.startswith("text/")]
    roots = "home|root|Users|tmp|var|private|mnt|media|opt|usr|srv|content"
    absolute = re.compile(rf"(?<![\w.~-])/(?:{roots})/\S*|\b[A-Z]:\\\S*")
    here = [str(place) for place in (ROOT, Path.home()) if place != Path("/")]
    found = [match.group() for text in texts for match in absolute.finditer(text)]
    return found + [text for text in texts if any(place in text for place in here)]


def tables_are_shown(notebook):
    """A table that is made above a cell's last line is thrown away."""
    shown, complaints = ("pictures.table", "pictures.source", "pictures.Markdown"), []
    for cell in code_cells(notebook):
        tree = ast.parse(cell.source)
        for node in ast.walk(tree):
            if isinstance(node, ast.Expr) and node is not tree.body[-1]:
                called = node.value.func if isinstance(node.value, ast.Call) else None
                if called and ast.unparse(called) in shown:
                    complaints.append(f"not shown: {ast.unparse(node)[:60]}")
    return complaints


def explained_parameters(notebook):
    """One tagged cell, the first but for Colab's, of `name: type = literal  # help`.

    As papermill reads it; a value derived from another goes stale when that one is set.
    """
    code = code_cells(notebook)
    if code and "google.colab" in code[0].source:
        code = code[1:]
    tagged = [c for c in notebook.cells if "parameters" in c.metadata.get("tags", [])]
    if not code or tagged != code[:1]:
        return ["the first code cell, and it alone, must carry the tag 'parameters'"]
    found = PythonTranslator.inspect(code[0])
    good = {p.name for p in found if p.help and p.inferred_type_name != "None"}
    good -= {p.name for p in found if not is_literal(p.default)}
    lines = ast.parse(code[0].source).body
    return [ast.unparse(x) for x in lines if ast.unparse(x).split(":")[0] not in good]


def is_literal(text):
    try:
        ast.literal_eval(text)
    except (ValueError, TypeError, SyntaxError):
        return False
    return True


def said_of_pictures(notebook):
    """A picture says in words what it shows; LaTeX is not read aloud."""
    complaints = []
    for cell in code_cells(notebook):
        kinds = " ".join(kind for out in cell.outputs for kind in out.get("data", {}))
        text = cell.metadata.get("mystnb", {}).get("image", {}).get("alt")
        if ("image/" in kinds) != (text is not None):
            complaints.append(f"a picture or its text alone: {cell.source[:60]}")
        elif text is not None and (len(text) < 40 or re.search(r"[\"\n\\$]", text)):
            complaints.append(f"short, or with quotation marks or LaTeX: {text}")
    return complaints


CHECKS = [
    in_order, no_errors, no_traces_of_a_run, only_text_and_pictures, no_machine_paths,
    tables_are_shown, explained_parameters, said_of_pictures,
]  # fmt: skip


def stored(chapter):
    return nbformat.read(chapter.with_suffix(".ipynb"), as_version=4)


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda path: path.stem)
def test_a_stored_notebook_is_in_step_with_its_source_and_passes(chapter):
    assert in_step(stored(chapter), jupytext.read(chapter)) == []
    assert [c for check in CHECKS for c in check(stored(chapter))] == []


def test_no_picture_is_described_twice():
    cells = [cell for chapter in CHAPTERS for cell in code_cells(stored(chapter))]
    texts = [c.metadata.get("mystnb", {}).get("image", {}).get("alt") for c in cells]
    assert [t for t, times in Counter(filter(None, texts)).items() if times > 1] == []


# --- broken in the one way that a check looks for, a good notebook is refused ---------

ALT = "Accuracy over stages, in per cent: a curve that rises and then stays."


def good():
    parameters = new_code_cell(
        'name: str = "digits"  # what\nshare: float = -0.5  # how much',
        execution_count=1,
        metadata={"tags": ["parameters"]},
    )
    picture = {"image/png": "/tmp/+/home/", "text/plain": "Figure"}
    work = new_code_cell(
        "print(share)",
        execution_count=2,
        metadata={"mystnb": {"image": {"alt": ALT}}},
        outputs=[
            new_output("stream", text="../output/a.json or https://a.org/b"),
            new_output("display_data", data=picture),
        ],
    )
    return new_notebook(cells=[new_markdown_cell("# Title"), parameters, work])


def printed(text, name="stdout"):
    out = new_output("stream", name=name, text=text)
    return lambda n: n.cells[2].outputs.append(out)


def displayed(kind, text):
    out = new_output("display_data", data={kind: text})
    return lambda n: n.cells[2].outputs.append(out)


def written(cell, source):
    return lambda n: n.cells[cell].update(source=source)


def noted(cell, **metadata):
    return lambda n: n.cells[cell].metadata.update(metadata)


BREAKAGES = [
    (in_order, lambda n: n.cells[1].update(execution_count=None)),
    (in_order, lambda n: n.cells[2].update(execution_count=3)),
    (no_errors, lambda n: n.cells[2].outputs.append(new_output("error", ename="E"))),
    (no_errors, printed("UserWarning", "stderr")),
    (no_traces_of_a_run, noted(2, tags=["injected-parameters"])),
    (no_traces_of_a_run, noted(0, papermill={"duration": 1})),
    (no_traces_of_a_run, lambda n: n.metadata.update(widgets={})),
    (only_text_and_pictures, displayed("image/jpeg", "/9j/")),
    (only_text_and_pictures, displayed("text/html", "<script>1</script>")),
    (no_machine_paths, printed("saved /home/me/a.json")),
    (no_machine_paths, printed(f"saved {ROOT / 'output'}")),
    (no_machine_paths, displayed("text/html", "<b>file:///tmp/a</b>")),
    (no_machine_paths, printed(r"saved C:\Users\me")),
    (tables_are_shown, written(2, "pictures.table(head, rows)\nprint(1)")),
    (tables_are_shown, written(2, "if rows:\n    pictures.Markdown(text)")),
    (explained_parameters, noted(1, tags=[])),
    (explained_parameters, noted(2, tags=["parameters"])),
    (explained_parameters, lambda n: n.cells.insert(0, new_code_cell("import torch"))),
    (explained_parameters, written(1, "seed = 0  # no annotation")),
    (explained_parameters, written(1, "seed: int = 0")),
    (explained_parameters, written(1, "seed: int = 2 * 3  # derived")),
    (explained_parameters, written(1, "seed: int  # no value")),
    (said_of_pictures, lambda n: n.cells[2].metadata.clear()),
    (said_of_pictures, lambda n: n.cells[2].update(outputs=[])),
    (said_of_pictures, noted(2, mystnb={"image": {"alt": "A curve."}})),
    (said_of_pictures, noted(2, mystnb={"image": {"alt": f"{ALT} $x$"}})),
]


@pytest.mark.parametrize("check", CHECKS)
def test_a_check_bites(check):
    for break_it in [break_it for found, break_it in BREAKAGES if found == check]:
        notebook = good()
        assert check(notebook) == []
        break_it(notebook)
        assert check(notebook)


def test_in_step_bites():
    for break_it in (
        lambda n: n.cells.append(new_markdown_cell("more")),
        written(2, "print(2)"),
        noted(2, tags=["hide-input"]),
        noted(2, mystnb={"image": {"alt": "a curve"}}),
    ):
        notebook = good()
        assert in_step(notebook, good()) == []
        break_it(notebook)
        assert in_step(notebook, good())
