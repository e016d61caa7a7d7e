"""On Colab a chapter's first cell installs this version; elsewhere it does nothing."""

import tomllib

import nbformat
import pytest
from chapters import CHAPTERS, ROOT


class Shell:
    """What `get_ipython()` returns there; it remembers the magics it is asked for."""

    def __init__(self, name):
        self.name, self.asked = name, []

    def __repr__(self):
        return f"<{self.name} object at 0x7f0000000000>"

    def run_line_magic(self, *call):
        self.asked.append(call)


@pytest.fixture(params=CHAPTERS, ids=lambda path: path.stem)
def cell(request):
    notebook = nbformat.read(request.param.with_suffix(".ipynb"), as_version=4)
    return next(cell for cell in notebook.cells if cell.cell_type == "code")


def asked_of(name, cell):
    """Run the cell there; it may leave no name: the next cell checks all names."""
    shell = Shell(name)
    namespace = {"get_ipython": lambda: shell}
    exec(cell.source, namespace)
    assert set(namespace) == {"get_ipython", "__builtins__"}
    return shell.asked


def test_only_colab_installs_and_it_installs_this_version(cell):
    assert asked_of("ipykernel.zmqshell.ZMQInteractiveShell", cell) == []
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = f"{project['name']}=={project['version']}"
    found = asked_of("google.colab._shell.Shell", cell)
    assert found == [("pip", f"install -q {wanted}")]


def test_the_rendered_book_leaves_the_cell_out(cell):
    assert cell.metadata.tags == ["remove-cell"] and cell.outputs == []
