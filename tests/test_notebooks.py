"""The stored notebooks are the sources, run once from top to bottom, and nothing else.

Each check returns its complaints. nbval cannot do this: it passes a notebook that never ran.
"""

import ast
import copy
import io
import re
import tokenize
from pathlib import Path

import jupytext
import nbformat
import papermill
import pytest
from chapters import CHAPTERS, ROOT
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

MARKDOWN = ("figures.table", "figures.source", "figures.Markdown")  # what returns Markdown to be shown


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def outputs(notebook):
    return [output for cell in code_cells(notebook) for output in cell.outputs]


def in_step(notebook, source):
    """Cell by cell the same type, source, tags and other metadata; outputs are not compared."""

    def shape(cell):
        return cell.cell_type, cell.source, cell.metadata

    ours, theirs = [shape(c) for c in notebook.cells], [shape(c) for c in source.cells]
    if len(ours) != len(theirs):
        return [f"{len(ours)} cells in the .ipynb, {len(theirs)} in the .py"]
    pairs = enumerate(zip(ours, theirs, strict=True))
    return [f"cell {i} differs: {a!r} and {b!r}" for i, (a, b) in pairs if a != b]


def in_order(notebook):
    counts = [cell.execution_count for cell in code_cells(notebook)]
    return [] if counts == list(range(1, len(counts) + 1)) else [f"executed in order {counts}"]


def nothing_injected(notebook):
    cells = [c for c in notebook.cells if "injected-parameters" in c.metadata.get("tags", [])]
    return [f"injected by papermill: {cell.source}" for cell in cells]


def no_errors(notebook):
    return [f"{out.ename}: {out.evalue}" for out in outputs(notebook) if out.output_type == "error"]


def no_stderr(notebook):
    streams = [out for out in outputs(notebook) if out.output_type == "stream"]
    return [f"on stderr: {out.text}" for out in streams if out.name == "stderr"]


def no_run_metadata(notebook):
    holders = [notebook, *notebook.cells]
    unwanted = {"papermill", "execution", "ExecuteTime", "widgets"}
    return [f"metadata {key!r}" for h in holders for key in sorted(unwanted & set(h.metadata))]


def only_text_and_bitmaps(notebook):
    """SVG differs from machine to machine, and scripts are dead in a page read without network."""
    allowed = {"text/plain", "text/html", "text/markdown", "text/latex", "image/png", "image/jpeg"}
    data = [out.data for out in outputs(notebook) if "data" in out]
    complaints = [f"an output of type {key}" for d in data for key in sorted(set(d) - allowed)]
    scripts = [d for d in data if "<script" in d.get("text/html", "")]
    return complaints + ["a script in an output"] * len(scripts)


def no_machine_paths(notebook):
    texts = [out.text for out in outputs(notebook) if out.output_type == "stream"]
    for out in outputs(notebook):
        texts += [text for kind, text in out.get("data", {}).items() if kind.startswith("text/")]
    roots = "home|root|Users|tmp|var|private|mnt|media|opt|usr|srv|content"
    absolute = re.compile(rf"(?<![\w.~-])/(?:{roots})/\S*|\b[A-Z]:\\\S*")
    found = [match.group() for text in texts for match in absolute.finditer(text)]
    here = [str(place) for place in (ROOT, Path.home()) if place != Path("/")]
    return found + [text for text in texts if any(place in text for place in here)]


def tables_are_shown(notebook):
    """Jupyter shows what the last line of a cell is; a table that is made above it is thrown away."""
    complaints = []
    for cell in code_cells(notebook):
        tree = ast.parse(cell.source)
        for node in ast.walk(tree):
            lost = isinstance(node, ast.Expr) and node is not tree.body[-1]
            if lost and isinstance(node.value, ast.Call) and ast.unparse(node.value.func) in MARKDOWN:
                complaints.append(f"made and not shown: {ast.unparse(node)[:60]}")
    return complaints


def explained_parameters(notebook):
    """One tagged cell, the first but for Colab's, of lines `name: type = value  # help`.

    Literals only: a value derived from another parameter goes stale when papermill sets that one.
    """
    code = code_cells(notebook)
    if code and "google.colab" in code[0].source:
        code = code[1:]
    tagged = [c for c in notebook.cells if "parameters" in c.metadata.get("tags", [])]
    if not code or tagged != code[:1]:
        return ["the first code cell, and it alone, must carry the tag 'parameters'"]

    source = code[0].source
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    commented = {token.start[0] for token in tokens if token.type == tokenize.COMMENT}
    complaints = []
    for statement in ast.parse(source).body:
        line = ast.get_source_segment(source, statement)
        if not (isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name)):
            complaints.append(f"not `name: type = value`: {line}")
        elif not is_literal(statement.value):
            complaints.append(f"not a literal: {line}")
        elif statement.lineno != statement.end_lineno or statement.lineno not in commented:
            complaints.append(f"no comment on the same line: {line}")
    return complaints


def is_literal(node):
    try:
        ast.literal_eval(node)
    except (ValueError, TypeError):
        return False
    return True


CHECKS = [
    in_order,
    nothing_injected,
    no_errors,
    no_stderr,
    no_run_metadata,
    only_text_and_bitmaps,
    no_machine_paths,
    tables_are_shown,
    explained_parameters,
]


@pytest.fixture(params=CHAPTERS, ids=lambda path: path.stem)
def chapter(request):
    return request.param


def test_there_are_chapters():
    assert CHAPTERS


def test_source_and_notebook_are_in_step(chapter):
    notebook = nbformat.read(chapter.with_suffix(".ipynb"), as_version=4)
    assert in_step(notebook, jupytext.read(chapter)) == []


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_stored_notebook(chapter, check):
    assert check(nbformat.read(chapter.with_suffix(".ipynb"), as_version=4)) == []


def test_papermill_explains_every_parameter(chapter):
    parameters = papermill.inspect_notebook(str(chapter.with_suffix(".ipynb")))
    [cell] = [
        c for c in nbformat.read(chapter.with_suffix(".ipynb"), 4).cells if "parameters" in c.metadata.get("tags", [])
    ]
    assert set(parameters) == {statement.target.id for statement in ast.parse(cell.source).body} != set()
    for parameter in parameters.values():
        assert parameter["inferred_type_name"] and parameter["help"], parameter


# Each check has to bite: broken in the one way it looks for, a good notebook is refused.


def good_notebook():
    parameters = new_code_cell(
        'name: str = "digits"  # what\nshare: float = -0.5  # how much',
        execution_count=1,
        metadata={"tags": ["parameters"]},
    )
    work = new_code_cell(
        "print(share)",
        execution_count=2,
        outputs=[
            new_output("stream", name="stdout", text="see ../output/a.json or https://a.org/home/b"),
            new_output("display_data", data={"image/png": "/tmp/+/home/", "text/plain": "Figure"}),
        ],
    )
    return new_notebook(cells=[new_markdown_cell("# Title"), parameters, work])


def set_source(cell, source):
    def break_it(notebook):
        notebook.cells[cell].source = source

    return break_it


def set_metadata(cell, **metadata):
    def break_it(notebook):
        notebook.cells[cell].metadata.update(metadata)

    return break_it


def set_count(cell, count):
    def break_it(notebook):
        notebook.cells[cell].execution_count = count

    return break_it


def add_output(kind, **content):
    def break_it(notebook):
        notebook.cells[2].outputs.append(new_output(kind, **content))

    return break_it


def set_widgets(notebook):
    notebook.metadata["widgets"] = {}


def add_markdown(notebook):
    notebook.cells.append(new_markdown_cell("more"))


def add_code_in_front(notebook):
    notebook.cells.insert(0, new_code_cell("import torch", execution_count=1))


BREAKAGES = [
    (in_order, set_count(1, None)),
    (in_order, set_count(2, 3)),
    (nothing_injected, set_metadata(2, tags=["injected-parameters"])),
    (no_errors, add_output("error", ename="E", evalue="e", traceback=[])),
    (no_stderr, add_output("stream", name="stderr", text="UserWarning")),
    (no_run_metadata, set_metadata(0, papermill={"duration": 1})),
    (no_run_metadata, set_metadata(1, execution={"iopub.status.busy": "2020-01-01T00:00:00Z"})),
    (no_run_metadata, set_widgets),
    (only_text_and_bitmaps, add_output("display_data", data={"image/svg+xml": "<svg/>"})),
    (only_text_and_bitmaps, add_output("display_data", data={"text/html": "<script>1</script>"})),
    (no_machine_paths, add_output("stream", name="stdout", text="saved /home/me/a.json")),
    (no_machine_paths, add_output("stream", name="stdout", text=f"saved {ROOT / 'output'}")),
    (no_machine_paths, add_output("display_data", data={"text/html": "<b>file:///tmp/a</b>"})),
    (no_machine_paths, add_output("stream", name="stdout", text=r"saved C:\Users\me")),
    (tables_are_shown, set_source(2, "figures.table(head, rows)\nprint(1)")),
    (tables_are_shown, set_source(2, "if rows:\n    figures.Markdown(text)")),
    (explained_parameters, set_metadata(1, tags=[])),
    (explained_parameters, set_metadata(2, tags=["parameters"])),
    (explained_parameters, add_code_in_front),
    (explained_parameters, set_source(1, "seed = 0  # no annotation")),
    (explained_parameters, set_source(1, "seed: int = 0")),
    (explained_parameters, set_source(1, "seed: int = 2 * 3  # derived")),
    (explained_parameters, set_source(1, "seed: int  # no value")),
    (explained_parameters, set_source(1, "import os  # not a parameter")),
]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_check_passes_a_good_notebook(check):
    assert check(good_notebook()) == []


@pytest.mark.parametrize(("check", "break_it"), BREAKAGES, ids=lambda part: part.__name__)
def test_check_bites(check, break_it):
    notebook = good_notebook()
    break_it(notebook)
    assert check(notebook)


def test_colab_cell_may_come_first():
    notebook = good_notebook()
    notebook.cells.insert(0, new_code_cell('"google.colab" in str(get_ipython())'))
    assert explained_parameters(notebook) == []


@pytest.mark.parametrize(
    "break_it",
    [
        add_markdown,
        set_source(2, "print(2)"),
        set_metadata(2, tags=["hide-input"]),
        set_metadata(2, mystnb={"image": {"alt": "a curve"}}),
    ],
    ids=["another cell", "another source", "another tag", "another text for a picture"],
)
def test_in_step_bites(break_it):
    source = good_notebook()
    notebook = copy.deepcopy(source)
    assert in_step(notebook, source) == []
    break_it(notebook)
    assert in_step(notebook, source)
