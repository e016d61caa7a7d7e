"""On Colab a chapter's first cell installs this version; elsewhere it does nothing."""

import tomllib

import nbformat
from chapters import CHAPTERS, ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


class Shell:
    """What `get_ipython()` returns there; it remembers the magics it is asked for."""

    def __init__(self, name):
        self.name, self.asked = name, []

    def __repr__(self):
        return f"<{self.name} object at 0x7f0000000000>"

    def run_line_magic(self, *call):
        self.asked.append(call)


def test_only_colab_installs_and_it_installs_this_version():
    """No name is left, for the next cell checks all names; the page has no such cell."""
    install = "pip", f"install -q {PROJECT['name']}=={PROJECT['version']}"
    places = {
        "ipykernel.zmqshell.ZMQInteractiveShell": [],
        "google.colab._shell.Shell": [install],
    }
    for path in CHAPTERS:
        cells = nbformat.read(path.with_suffix(".ipynb"), as_version=4).cells
        cell = next(cell for cell in cells if cell.cell_type == "code")
        assert cell.metadata.tags == ["remove-cell"] and cell.outputs == [], path
        for name, asked in places.items():
            shell = Shell(name)
            namespace = {"get_ipython": lambda found=shell: found}
            exec(cell.source, namespace)
            assert set(namespace) == {"get_ipython", "__builtins__"}, path
            assert shell.asked == asked, path
