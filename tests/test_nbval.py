"""nbval, as `make test` runs it, refuses a stored output that is not what comes out."""

import copy
import re
import subprocess
import sys

import nbformat
from chapters import ROOT
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook

SOURCES = [
    "print('accuracy 96.44 in 12.3 s, 1,234 images/s')",
    "0.1 + 0.2",
    "from IPython.display import HTML; HTML('<td>96.44</td>')",
    "import matplotlib.pyplot as plt; plt.plot([1, 2]); plt.show()",
    "1 + 1",
]
OPTIONS = "--nbval --nbval-sanitize-with tests/nbval_sanitize.cfg"


def test_a_changed_stored_output_fails_and_the_clock_may_differ(tmp_path):
    """A stream, a result's last digit, a table, a figure, a cell that never ran."""
    good = new_notebook(cells=[new_code_cell(source) for source in SOURCES])
    good.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    NotebookClient(good, record_timing=False, coalesce_streams=True).execute()
    bad = copy.deepcopy(good)
    good.cells[0].outputs[0].text = "accuracy 96.44 in 7 s, 99 images/s\n"
    nbformat.write(good, tmp_path / "good.ipynb")

    stream, result, table, figure, counted = bad.cells
    stream.outputs[0].text = stream.outputs[0].text.replace("96.44", "96.45")
    result.outputs[0].data["text/plain"] = "0.30000000000000005"
    table.outputs[0].data["text/html"] = "<td>96.45</td>"
    figure.outputs = []
    counted.execution_count = None
    nbformat.write(bad, tmp_path / "bad.ipynb")

    command = [sys.executable, "-m", "pytest", "-rA", "-p", "no:cacheprovider"]
    command += OPTIONS.replace("tests/", f"{ROOT}/tests/").split()
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    told = re.findall(r"^(PASSED|FAILED) \S*?(\w+)\.ipynb", done.stdout, re.M)
    assert sorted(told) == [("FAILED", "bad")] * 5 + [("PASSED", "good")] * 5
    makefile = (ROOT / "Makefile").read_text()
    assert OPTIONS in makefile and "--nbval-lax" not in makefile
