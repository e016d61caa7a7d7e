"""nbval, as `make test` runs it, refuses a stored output that is not what comes out."""

import copy
import re
import subprocess
import sys

import nbformat
import pytest
from chapters import ROOT
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook

SOURCES = [
    "print('accuracy 96.44 in 12.3 s, 1,234 images/s')",
    "0.1 + 0.2",
    "import pandas; pandas.DataFrame({'accuracy': [96.44]})",
    "import matplotlib.pyplot as plt; plt.plot([1, 2]); plt.show()",
    "1 + 1",
]


@pytest.fixture(scope="module")
def executed():
    notebook = new_notebook(cells=[new_code_cell(source) for source in SOURCES])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    NotebookClient(notebook, record_timing=False, coalesce_streams=True).execute()
    return notebook


def nbval(notebook, folder):
    nbformat.write(notebook, folder / "chapter.ipynb")
    options = f"--nbval --nbval-sanitize-with {ROOT}/tests/nbval_sanitize.cfg"
    command = [
        sys.executable,
        "-m",
        "pytest",
        "chapter.ipynb",
        "-p",
        "no:cacheprovider",
    ]
    return subprocess.run(
        [*command, *options.split()], cwd=folder, capture_output=True, text=True
    )


def test_what_comes_out_again_passes_and_the_clock_may_differ(executed, tmp_path):
    notebook = copy.deepcopy(executed)
    notebook.cells[0].outputs[0].text = "accuracy 96.44 in 7 s, 99 images/s\n"
    result = nbval(notebook, tmp_path)
    assert result.returncode == 0, result.stdout


def test_a_changed_stored_output_fails(executed, tmp_path):
    """A stream, a result's last digit, a table, a figure, a cell that never ran."""
    notebook = copy.deepcopy(executed)
    stream, result, table, figure, counted = notebook.cells
    stream.outputs[0].text = stream.outputs[0].text.replace("96.44", "96.45")
    result.outputs[0].data["text/plain"] = "0.30000000000000005"
    html = table.outputs[0].data["text/html"]
    table.outputs[0].data["text/html"] = html.replace("96.44", "96.45")
    figure.outputs = []
    counted.execution_count = None
    done = nbval(notebook, tmp_path)
    assert done.returncode == 1
    assert re.search(r"^=+ 5 failed in", done.stdout, re.M), done.stdout


def test_make_runs_the_full_mode():
    makefile = (ROOT / "Makefile").read_text()
    assert "--nbval --nbval-sanitize-with tests/nbval_sanitize.cfg" in makefile
    assert "--nbval-lax" not in makefile
