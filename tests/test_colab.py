"""On Colab a chapter's first cell installs the library, at this version; anywhere else it does nothing."""

import tomllib

import nbformat
import pytest
from chapters import CHAPTERS, ROOT


class Shell:
    """What `get_ipython()` returns, by the name of its class: remembers the magics it is asked for."""

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


def asked_of(shell, cell):
    """Run the cell there; it may leave no name behind, for the next cells check the chapter's parameters by name."""
    namespace = {"get_ipython": lambda: shell}
    exec(cell.source, namespace)
    assert set(namespace) == {"get_ipython", "__builtins__"}
    return shell.asked


def test_it_is_one_line_that_the_rendered_book_leaves_out(cell):
    assert len(cell.source.splitlines()) == 1
    assert cell.metadata.tags == ["remove-cell"]
    assert cell.outputs == []


def test_elsewhere_it_does_nothing(cell):
    assert asked_of(Shell("ipykernel.zmqshell.ZMQInteractiveShell"), cell) == []


def test_on_colab_it_installs_this_version(cell):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = f"{project['name']}=={project['version'].removesuffix('.dev0')}"
    assert asked_of(Shell("google.colab._shell.Shell"), cell) == [("pip", f"install -q {wanted}")]
