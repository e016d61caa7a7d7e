"""Sphinx extension: the recipes page, made from the library while the book is built."""

import ast
import importlib
import inspect
import re
from typing import Any

from dfkd_lib.methods import METHODS, readable
from dfkd_lib.recipes import RECIPES, Entry, Table

MARK = "<!-- recipes -->"
MODULE = re.compile(r"^```{eval-rst}\n\.\. automodule:: (\S+)", re.M)


def table(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table; a cell may hold any text."""
    rows = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def dropdown(title: str, content: str) -> str:
    return f":::{{dropdown}} {title}\n{content}\n:::"


def shown(value: Any) -> str:
    """A value as code; fractions with three digits."""
    if isinstance(value, tuple):
        return f"`({', '.join(f'{part:.3g}' for part in value)})`"
    return f"`{value}`"


def comments(kind: type) -> dict[str, str]:
    """The comment at each field of a method, also of one that it inherits."""
    found = {}
    for owner in reversed(kind.__mro__[:-1]):
        source = inspect.getsource(owner)
        lines = source.splitlines()
        for node in ast.parse(source).body[0].body:
            if isinstance(node, ast.AnnAssign):
                own = lines[node.lineno - 1 : node.end_lineno]
                told = [line.partition("  # ")[2] for line in own]
                found[node.target.id] = next(filter(None, told), "")
    return found


def settings(kind: type) -> str:
    """The settings that a method reads: default and comment."""
    told, usual = comments(kind), kind()
    names = readable(kind)
    rows = [[f"`{n}`", shown(getattr(usual, n)), told.get(n, "")] for n in names]
    return table(["setting", "default", "meaning, source"], rows)


def values(entries: Table) -> dict[str, dict[str, Any]]:
    """A recipe table by source, in the order of the sources; a later value prevails."""
    last = {name: source for source, part in entries for name in part}
    by_source: dict[str, dict[str, Any]] = {}
    for source, part in entries:
        own = {name: value for name, value in part.items() if last[name] == source}
        by_source.setdefault(source, {}).update(own)
    return {source: part for source, part in by_source.items() if part}


def one(entries: Table) -> str:
    """A recipe table, a row per source."""
    rows = [
        [source, ", ".join(f"`{n}` = {shown(value)}" for n, value in part.items())]
        for source, part in values(entries).items()
    ]
    return table(["source", "settings"], rows)


def titles(paper: str) -> dict[str, Entry]:
    """A paper's recipes by title; data sets and pairs that share a table share one."""
    shared: dict[int, list[Entry]] = {}
    for entry in RECIPES:
        if entry.paper == paper:
            shared.setdefault(id(entry.table), []).append(entry)
    made = {}
    for entries in shared.values():
        datasets = dict.fromkeys(f"`{e.dataset}`" for e in entries)
        pairs = dict.fromkeys(f"`{e.teacher}` to `{e.student}`" for e in entries)
        made[f"{', '.join(datasets)}: {'; '.join(pairs)}"] = entries[0]
    return made


def recipes() -> str:
    """The page's generated part, as Markdown."""
    parts = ["## Settings of each method"]
    parts += [dropdown(f"`{name}`", settings(kind)) for name, kind in METHODS.items()]
    for paper in dict.fromkeys(entry.paper for entry in RECIPES):
        parts.append(f"## Recipes: `{paper}`")
        for title, entry in titles(paper).items():
            text = one(entry.table) if entry.table else "The defaults of each method."
            parts.append(dropdown(title, text))
    return "\n\n".join(parts) + "\n"


def summary(module: str) -> str:
    """What a module defines for others, and the first line said of each."""
    rows = [
        [f"{{py:obj}}`{name} <{module}.{name}>`", inspect.getdoc(thing).splitlines()[0]]
        for name, thing in vars(importlib.import_module(module)).items()
        if getattr(thing, "__module__", "") == module
        if not name.startswith("_") and inspect.getdoc(thing)
        if inspect.isclass(thing) or inspect.isfunction(thing)
    ]
    return table(["name", "what it is"], rows) + "\n\n" if len(rows) > 1 else ""


def fill(app: Any, name: str, source: list[str]) -> None:
    if MARK in source[0]:
        source[0] = source[0].replace(MARK, recipes())
    if name.startswith("book/api/"):
        source[0] = MODULE.sub(lambda m: summary(m[1]) + m[0], source[0])


def shorten(
    app: Any, what: str, name: str, thing: Any, *rest: Any
) -> tuple[str, str] | None:
    """The signature of a method: the recipes page lists its settings."""
    return ("(**settings)", "") if thing in METHODS.values() else None


def setup(app: Any) -> dict[str, bool]:
    app.connect("source-read", fill)
    app.connect("autodoc-process-signature", shorten)
    return {"parallel_read_safe": True}
