"""What of the book's pages is made from the library while the book is built; a Sphinx extension."""

import inspect
import re
from typing import Any

from dfkd_lib.recipes import RECIPES, Recipe

MARK = "<!-- recipes -->"
DEFAULTS = Recipe()
_EXPLAINED = re.compile(r"^    (\w+): [^#\n]+ = [^#\n]+?  # (.+)$", re.M)


def table(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table; a cell may hold any text."""
    lines = [head, ["---"] * len(head), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def settings() -> str:
    """Every setting, its default, and the comment behind it."""
    told = dict(_EXPLAINED.findall(inspect.getsource(Recipe)))
    rows = [[f"`{name}`", f"`{value}`", told.get(name, "")] for name, value in DEFAULTS.values().items()]
    return table(["setting", "default", "meaning"], rows)


def one(made: Recipe) -> str:
    """A recipe: what it says of itself, or has unlike the defaults."""
    own = DEFAULTS.values()
    rows = [row for row in made.rows() if row[0] in made.sources or getattr(made, row[0]) != own[row[0]]]
    cells = [[f"`{name}`", f"`{value}`", source] for name, value, source in rows]
    return table(["setting", "value", "source"], cells)


def recipes() -> str:
    """The page's generated part, as Markdown."""
    parts = ["## Every setting", settings()]
    for paper in dict.fromkeys(made.paper for made in RECIPES):
        parts.append(f"## Recipes: `{paper}`")
        for made in (made for made in RECIPES if made.paper == paper):
            title = f"`{made.dataset}`, `{made.teacher}` to `{made.student}`"
            parts.append(f":::{{dropdown}} {title}\n{one(made)}\n:::")
    return "\n\n".join(parts) + "\n"


def fill(app: Any, name: str, source: list[str]) -> None:
    if MARK in source[0]:
        source[0] = source[0].replace(MARK, recipes())


def shorten(app: Any, what: str, name: str, thing: Any, *rest: Any) -> tuple[str, str] | None:
    """A recipe has more parameters than anybody reads in a signature; the page of recipes explains them."""
    return ("(**settings)", "") if thing is Recipe else None


def setup(app: Any) -> dict[str, bool]:
    app.connect("source-read", fill)
    app.connect("autodoc-process-signature", shorten)
    return {"parallel_read_safe": True}
