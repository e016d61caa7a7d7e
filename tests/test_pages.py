"""The appendix's pages that are made from the library miss nothing of it."""

import re

import matplotlib.pyplot
from chapters import ROOT

import dfkd_lib
from dfkd_lib.methods import METHODS, readable
from dfkd_lib.recipes import METHOD_PAPERS, RECIPES, recipe_for
from tools import book_pages

PAGES = (ROOT / "book" / "api").glob("*.md")
AUTOMODULE = re.compile(r"^\.\. automodule:: (dfkd_lib\.\S+)$", re.M)
SHOWN = [name for path in PAGES for name in AUTOMODULE.findall(path.read_text())]


def modules():
    """Those with definitions of their own: not packages that only gather names.

    `distill.py` is a command line.
    """
    for path in (ROOT / "dfkd_lib").rglob("*.py"):
        parts = path.relative_to(ROOT).with_suffix("").parts
        package = path.name == "__init__.py"
        defines = re.search(r"^(def|class) [a-zA-Z]", path.read_text(), re.M)
        if len(parts) > 2 and path.name != "__main__.py" and (defines or not package):
            yield ".".join(parts[:-1] if package else parts)
        elif len(parts) == 2 and not package and path.name != "distill.py":
            yield ".".join(parts)


def test_the_reference_shows_every_module_once_and_what_is_public():
    assert sorted(SHOWN) == sorted(modules())
    assert {getattr(dfkd_lib, n).__module__ for n in dfkd_lib.__all__} <= {*SHOWN}


def test_every_module_of_the_reference_has_an_example_that_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for path in (ROOT / "book" / "api").glob("*.md"):
        text = path.read_text()
        examples = re.findall(r"^```python\n(.*?)^```", text, re.M | re.S)
        for module in AUTOMODULE.findall(text):
            package, _, name = module.rpartition(".")
            used = rf"\b({re.escape(module)}(?!\.)|{package} import .*\b{name})\b"
            assert re.search(used, "\n".join(examples)), module
        for example in examples:
            exec(compile(example, path.name, "exec"), {})
        matplotlib.pyplot.close("all")


def test_a_modules_summary_lists_what_it_defines():
    text = book_pages.summary("dfkd_lib.theory.averages")
    names = {row[0].split("`")[1].split(" ")[0] for row in rows(text)}
    assert {"ema", "ema_weights", "ema_gain"} <= names
    assert not any(name.startswith("_") for name in names)


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


def test_a_methods_settings_are_listed_with_defaults_and_comments():
    """A comment also where the setting is inherited. Only methods' signatures shrink."""
    for name, kind in METHODS.items():
        listed = {n.strip("`"): rest for n, *rest in rows(book_pages.settings(kind))}
        usual = {n: book_pages.shown(getattr(kind(), n)) for n in readable(kind)}
        assert {n: value for n, (value, _) in listed.items()} == usual
        if name in ("mad", "dfkd_mem"):
            assert listed["lambda0"][1] == "of G's images, MAD Eq. 4"
    for thing, made in (
        (METHODS["mad"], ("(**settings)", "")),
        (dfkd_lib.evaluate, None),
    ):
        assert book_pages.shorten(None, "class", "", thing, None, "(x)", "") == made


def test_a_recipe_can_be_read_off_its_table():
    """One screen, with the values and sources that a run of the paper's method has."""
    for entry in RECIPES:
        listed = rows(book_pages.one(entry.table))
        assert len(listed) <= 20
        method = entry.paper if entry.paper in METHOD_PAPERS else "mad"
        asked = entry.dataset, method, entry.teacher, entry.student, entry.paper
        made = recipe_for(*asked)
        told = {
            (text.split("`")[1], source): text
            for source, cell in listed
            for text in re.findall(r"`\w+` = `[^`]*`", cell)
        }
        told = {key: text for key, text in told.items() if key[0] in made.values()}
        assert told == {
            (name, source): f"`{name}` = {book_pages.shown(made.values()[name])}"
            for name, source in made.sources.items()
        }, asked


def test_the_glossary_is_in_the_order_of_the_alphabet():
    """Sphinx would sort Greek letters to its end."""
    text = (ROOT / "book" / "glossary.md").read_text()
    terms = re.findall(r"^(?!```)(\S.*)\n  \S", text, re.M)
    assert len(terms) > 35
    plain = [term.replace("ρ", "rho").casefold() for term in terms]
    assert plain == sorted(plain)
