"""Tables and source code as a notebook's output."""

import inspect
import textwrap
from collections.abc import Sequence
from typing import Any


class Markdown:
    """Text that a notebook renders and a terminal shows unchanged."""

    def __init__(self, text: str):
        self.text = text

    def __repr__(self) -> str:
        return self.text

    _repr_markdown_ = __repr__


def table(head: Sequence, rows: Sequence[Sequence], *, texts: int = 1) -> Markdown:
    """A table: the first `texts` columns left-aligned, the others right-aligned."""
    align = ["---"] * texts + ["---:"] * (len(head) - texts)
    lines = ["| " + " | ".join(map(str, row)) + " |" for row in (head, align, *rows)]
    return Markdown("\n".join(lines))


def source(*objects: Any) -> Markdown:
    """The source code of functions, methods and classes."""
    code = [textwrap.dedent(inspect.getsource(one)).rstrip() for one in objects]
    return Markdown("```python\n" + "\n\n\n".join(code) + "\n```")
