"""Run chapters, store their outputs: writes a page's .ipynb from its .py.

    make execute                                    # every chapter
    .venv/bin/python tools/execute.py book/03_mad.py    # some of them

The same sources give the same bytes: no times, no random cell ids, one thread. Only a
notebook that ran to its end replaces another.
"""

import argparse
import hashlib
import os
import sys
import time
from collections import Counter
from pathlib import Path

import jupytext
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode

ROOT = Path(__file__).resolve().parents[1]


def set_stable_ids(notebook: NotebookNode) -> None:
    """Name each cell after its content: an edit changes one id only."""
    seen = Counter()
    for cell in notebook.cells:
        content = f"{cell.cell_type}\n{cell.source}"
        seen[content] += 1
        numbered = f"{seen[content]}\n{content}".encode()
        cell.id = hashlib.sha256(numbered).hexdigest()[:12]


def strip_run_metadata(notebook: NotebookNode) -> None:
    """Remove what differs between runs or machines without a meaning."""
    for holder in (notebook, *notebook.cells):
        for key in ("papermill", "execution", "widgets"):
            holder.metadata.pop(key, None)
    notebook.metadata.get("language_info", {}).pop("version", None)


def run(notebook: NotebookNode, folder: Path) -> None:
    """Execute in place, with one line per code cell on stderr."""
    code = [i for i, cell in enumerate(notebook.cells) if cell.cell_type == "code"]
    started = 0.0

    def start(cell: NotebookNode, cell_index: int) -> None:
        nonlocal started
        started = time.perf_counter()
        number = f"{code.index(cell_index) + 1:3d}/{len(code)}"
        title = f"{number}  {cell.source.splitlines()[0]}"
        print(f"  {title[:70]:70s}", end=" ", **to_stderr)

    def done(cell: NotebookNode, cell_index: int, **_) -> None:
        print(f"{time.perf_counter() - started:6.1f} s", **to_stderr)

    to_stderr = {"file": sys.stderr, "flush": True}
    NotebookClient(
        notebook,
        kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
        timeout=None,
        record_timing=False,
        coalesce_streams=True,
        on_cell_execute=start,
        on_cell_executed=done,
    ).execute()


def execute(source: Path) -> Path:
    """Run one chapter and replace its notebook; on an error the old one stays.

    Named by its .ipynb, its .py runs.
    """
    source = source.with_suffix(".py")
    notebook = jupytext.read(source)
    set_stable_ids(notebook)
    run(notebook, source.resolve().parent)
    strip_run_metadata(notebook)

    target = source.with_suffix(".ipynb")
    unfinished = target.with_name(f".{target.name}.unfinished")
    unfinished.write_text(
        jupytext.writes(notebook, fmt="ipynb") + "\n", encoding="utf-8"
    )
    os.replace(unfinished, target)
    return target


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    told = "book/NN_name.py, book/more/name.py; default: all"
    parser.add_argument("chapters", nargs="*", type=Path, help=told)
    every = sorted((ROOT / "book").rglob("*.py"))
    chapters = parser.parse_args().chapters or every

    os.environ["OMP_NUM_THREADS"] = "1"  # kernels inherit it: numbers repeat
    for chapter in chapters:
        print(chapter.name, file=sys.stderr)
        try:
            execute(chapter)
        except CellExecutionError as error:
            sys.exit(
                f"\n{error}\n{chapter.name} failed; its notebook was left as it was."
            )


if __name__ == "__main__":
    main()
