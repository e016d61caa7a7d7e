"""The appendix's pages that are made from the library miss nothing of it."""

import re

import pytest
from chapters import ROOT

import dfkd_lib
from dfkd_lib.recipe import Recipe
from dfkd_lib.recipes import RECIPES
from tools import book_pages

API = "\n".join(path.read_text() for path in sorted((ROOT / "book" / "api").glob("*.md")))
SHOWN = re.findall(r"^\.\. automodule:: (dfkd_lib\.\S+)$", API, re.M)
PACKAGES = ("losses", "methods", "models", "theory")
# Nobody calls these; the page on performance shows what they do.
INNER = {"models.fast_layers", "models.layout", "models.phases", "models.precision"}
MODULES = {
    f"{path.parent.name}.{path.stem}"
    for package in PACKAGES
    for path in (ROOT / "dfkd_lib" / package).glob("*.py")
    if path.stem != "__init__"
}


@pytest.mark.parametrize("module", sorted(MODULES - INNER))
def test_the_reference_shows_the_module(module):
    """A new paper's losses and its method are listed under book/api/, once."""
    assert SHOWN.count(f"dfkd_lib.{module}") == 1


@pytest.mark.parametrize("name", dfkd_lib.__all__)
def test_what_is_public_has_its_home_in_the_reference(name):
    assert getattr(dfkd_lib, name).__module__ in SHOWN
    assert name in dir(dfkd_lib)  # by which the reference's first page finds it


def rows(markdown):
    lines = [line for line in markdown.splitlines() if line.startswith("| `")]
    return [[cell.strip(" `") for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def test_the_mark_is_replaced():
    source = [(ROOT / "book" / "recipes.md").read_text()]
    assert source[0].count(book_pages.MARK) == 1
    book_pages.fill(None, "book/recipes", source)
    assert book_pages.MARK not in source[0] and source[0].count(":::{dropdown}") == len(RECIPES)


def test_every_setting_is_listed_with_its_default_and_its_comment():
    listed = {name: (value, told) for name, value, told in rows(book_pages.settings())}
    assert {name: value for name, (value, _) in listed.items()} == {k: str(v) for k, v in Recipe().values().items()}
    assert listed["student_steps"][1] == "n_S"
    assert listed["schedule"][1].startswith("cosine \\| step")


@pytest.mark.parametrize("made", RECIPES, ids=lambda made: f"{made.paper}-{made.dataset}-{made.pair}")
def test_a_recipe_can_be_read_off_its_table(made):
    """The defaults, and what is listed: together the recipe, with its sources."""
    listed = rows(book_pages.one(made))
    assert {k: str(v) for k, v in Recipe().values().items()} | {name: value for name, value, _ in listed} == {
        k: str(v) for k, v in made.values().items()
    }
    assert {name: source for name, _, source in listed if name in made.sources} == made.sources
    assert book_pages.one(made) in book_pages.recipes()


def test_a_recipes_signature_is_short():
    assert book_pages.shorten(None, "class", "dfkd_lib.Recipe", Recipe, None, "(paper)", "") == ("(**settings)", "")
    assert book_pages.shorten(None, "function", "dfkd_lib.train", dfkd_lib.train, None, "(method)", "") is None


def test_the_glossary_is_in_order():
    """Of the alphabet, by which a reader looks; Sphinx would sort Greek letters to its end."""
    text = (ROOT / "book" / "glossary.md").read_text()
    terms = re.findall(r"^(?!```)(\S.*)\n  \S", text, re.M)
    assert len(terms) > 35
    plain = [term.replace("ρ", "rho").casefold() for term in terms]
    assert plain == sorted(plain)
