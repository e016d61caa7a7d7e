"""The appendix's pages that are made from the library miss nothing of it."""

import re

import pytest
from chapters import ROOT

import dfkd_lib
from dfkd_lib.methods import METHODS, readable
from dfkd_lib.recipes import METHOD_PAPERS, RECIPES, recipe_for
from tools import book_pages

PAGES = sorted((ROOT / "book" / "api").glob("*.md"))
SHOWN = re.findall(
    r"^\.\. automodule:: (dfkd_lib\.\S+)$",
    "\n".join(path.read_text() for path in PAGES),
    re.M,
)


def modules():
    """Those with definitions of their own: not packages that only gather names."""
    for path in (ROOT / "dfkd_lib").rglob("*.py"):
        parts = path.relative_to(ROOT).with_suffix("").parts
        package = path.name == "__init__.py"
        defines = re.search(r"^(def|class) [a-zA-Z]", path.read_text(), re.M)
        if len(parts) > 2 and path.name != "__main__.py" and (defines or not package):
            yield ".".join(parts[:-1] if package else parts)
        elif len(parts) == 2 and not package:
            yield ".".join(parts)


def test_the_reference_shows_every_module_once():
    assert sorted(SHOWN) == sorted(modules())


def test_what_is_public_has_its_home_in_the_reference():
    for name in dfkd_lib.__all__:
        assert getattr(dfkd_lib, name).__module__ in SHOWN


def rows(markdown):
    lines = [line for line in markdown.splitlines() if line.startswith("| ")][2:]
    return [[c.strip() for c in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def test_the_mark_is_replaced_by_every_method_and_recipe():
    source = [(ROOT / "book" / "recipes.md").read_text()]
    assert source[0].count(book_pages.MARK) == 1
    book_pages.fill(None, "book/recipes", source)
    assert book_pages.MARK not in source[0]
    tables = {(entry.paper, id(entry.table)) for entry in RECIPES}
    assert source[0].count(":::{dropdown}") == len(METHODS) + len(tables)
    for entry in RECIPES:
        assert f"`{entry.dataset}`" in source[0]
        assert f"`{entry.teacher}` to `{entry.student}`" in source[0]


@pytest.mark.parametrize("kind", METHODS.values(), ids=METHODS)
def test_a_methods_settings_are_listed_with_defaults(kind):
    listed = {
        name.strip("`"): value for name, value, _ in rows(book_pages.settings(kind))
    }
    usual = {name: getattr(kind(), name) for name in readable(kind)}
    assert listed == {name: book_pages.shown(value) for name, value in usual.items()}


def test_a_settings_comment_is_shown_also_where_it_is_inherited():
    for name in ("mad", "dfkd_mem"):
        told = {
            n: comment for n, _, comment in rows(book_pages.settings(METHODS[name]))
        }
        assert told["`lambda0`"] == "of G's images, MAD Eq. 4"


@pytest.mark.parametrize(
    "entry", RECIPES, ids=lambda e: f"{e.paper}-{e.dataset}-{e.teacher}-{e.student}"
)
def test_a_recipe_can_be_read_off_its_table(entry):
    """One screen, with the values and sources that a run of the paper's method has."""
    listed = rows(book_pages.one(entry.table))
    assert len(listed) <= 20
    method = entry.paper if entry.paper in METHOD_PAPERS else "mad"
    asked = entry.dataset, method, entry.teacher, entry.student, entry.paper
    made = recipe_for(*asked)
    sources = {source: cell.split(", `") for source, cell in listed}
    assert {
        (name, source)
        for source, cells in sources.items()
        for name in (cell.strip("`").split("`")[0] for cell in cells)
        if name in made.values()
    } == set(made.sources.items())
    for name, source in made.sources.items():
        [cell] = [cell for s, cell in listed if s == source]
        assert f"`{name}` = {book_pages.shown(made.values()[name])}" in cell


def test_only_a_methods_signature_is_shortened():
    def short(thing):
        return book_pages.shorten(None, "class", "", thing, None, "(x)", "")

    assert short(METHODS["mad"]) == ("(**settings)", "")
    assert short(dfkd_lib.train) is None


def test_the_glossary_is_in_the_order_of_the_alphabet():
    """Sphinx would sort Greek letters to its end."""
    text = (ROOT / "book" / "glossary.md").read_text()
    terms = re.findall(r"^(?!```)(\S.*)\n  \S", text, re.M)
    assert len(terms) > 35
    plain = [term.replace("ρ", "rho").casefold() for term in terms]
    assert plain == sorted(plain)
