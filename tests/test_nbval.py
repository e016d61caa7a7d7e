"""nbval, run as `make test` runs it, refuses a stored output that is not what comes out."""

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
]


@pytest.fixture(scope="module")
def executed():
    notebook = new_notebook(cells=[new_code_cell(source) for source in SOURCES])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    NotebookClient(notebook, record_timing=False, coalesce_streams=True).execute()
    return notebook


def nbval(notebook, folder):
    nbformat.write(notebook, folder / "chapter.ipynb")
    options = f"-p no:cacheprovider --nbval --nbval-sanitize-with {ROOT}/tests/nbval_sanitize.cfg"
    return subprocess.run(
        [sys.executable, "-m", "pytest", "chapter.ipynb", *options.split()],
        cwd=folder,
        capture_output=True,
        text=True,
    )


def change_stream(cells):
    cells[0].outputs[0].text = cells[0].outputs[0].text.replace("96.44", "96.45")


def change_result(cells):
    cells[1].outputs[0].data["text/plain"] = "0.30000000000000005"


def change_table(cells):
    html = cells[2].outputs[0].data["text/html"]
    cells[2].outputs[0].data["text/html"] = html.replace("96.44", "96.45")


def drop_figure(cells):
    cells[3].outputs = []


def drop_count(cells):
    cells[1].execution_count = None


def test_what_comes_out_again_passes(executed, tmp_path):
    result = nbval(executed, tmp_path)
    assert result.returncode == 0, result.stdout


def test_the_clock_may_differ(executed, tmp_path):
    notebook = copy.deepcopy(executed)
    notebook.cells[0].outputs[0].text = "accuracy 96.44 in 7 s, 99 images/s\n"
    result = nbval(notebook, tmp_path)
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize("change", [change_stream, change_result, change_table, drop_figure, drop_count])
def test_a_changed_stored_output_fails(executed, tmp_path, change):
    notebook = copy.deepcopy(executed)
    change(notebook.cells)
    result = nbval(notebook, tmp_path)
    assert result.returncode == 1, result.stdout
    assert re.search(r"^=+ 1 failed, 3 passed", result.stdout, re.M), result.stdout


def test_make_runs_the_full_mode():
    makefile = (ROOT / "Makefile").read_text()
    assert re.search(r"--nbval --nbval-sanitize-with tests/nbval_sanitize\.cfg", makefile)
    assert "--nbval-lax" not in makefile
