"""Sphinx extension: what the rendered book needs besides _config.yml.

    BOOK_REPOSITORY=https://github.com/OWNER/NAME make book

adds buttons to the pages of notebooks that open them on Binder and on Colab, from the
branch main. Without the variable there are none, because a copy of the book does not
know where it was published.
"""

import itertools
import json
import os
import re
import shutil
import sys
from html import escape
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.environment.collectors.toctree import TocTreeCollector

# How the pages show matplotlib's colours (dfkd_lib.lab.pictures.style): by the theme.
THEME = {"#2b2b2b": "currentColor", "#000000": "currentColor"}
THEME |= {"#ffffff": "var(--pst-color-background)"}
THEME |= {
    colour: f"var(--figure-{name})"
    for colour, name in {
        "#0072b2": "blue", "#d55e00": "orange", "#009e73": "green",
        "#cc79a7": "pink", "#e69f00": "yellow", "#56b4e9": "sky",
    }.items()
}  # fmt: skip
PICTURE = re.compile(r'<img[^>]*?src="[^"]*?(_images/[^"/]+\.svg)"[^>]*>')
PROOF = re.compile(r'(<div class="proof dropdown admonition")[^>]*>\s*<p>Proof. ')
GLOSSARY = "book/glossary"
TERM = re.compile(r'href="[^"#]*glossary\.html#(term-[^"]+)"')
VARIABLE = "BOOK_REPOSITORY"
REPOSITORY = re.compile(r"https://github\.com/[\w.-]+/[\w.-]+")


def launch_options(repository: str) -> dict[str, Any]:
    """The theme's options for launch buttons; none for an empty address.

    A ValueError for an address that is not on GitHub.
    """
    if not repository:
        return {}
    if not REPOSITORY.fullmatch(repository):
        raise ValueError(
            f"{VARIABLE} is {repository!r}; it has to look like "
            "https://github.com/OWNER/NAME. Unset it to render the book without "
            "launch buttons."
        )
    return {
        "repository_url": repository,
        "repository_branch": "main",
        "launch_buttons": {
            "notebook_interface": "jupyterlab",
            "binderhub_url": "https://mybinder.org",
            "colab_url": "https://colab.research.google.com",
        },
    }


def add_launch_options(app: Sphinx, config: Config) -> None:
    try:
        config.html_theme_options |= launch_options(os.environ.get(VARIABLE, ""))
    except ValueError as error:
        sys.exit(str(error))  # other exceptions are shown with the whole stack


def dress(
    app: Sphinx,
    pagename: str,
    templatename: str,
    context: dict[str, Any],
    doctree: object,
) -> None:
    """What a page needs besides what Sphinx makes of it."""
    if pagename == "search":  # all pages' texts, which no other page loads
        app.add_js_file("texts.js")
        app.add_js_file("quotes.js")
    if "body" in context:
        body = inline_pictures(app, mend_markup(context["body"]))
        context["body"] = explain_terms(app, body)


def mend_markup(body: str) -> str:
    """What docutils and sphinx-proof leave out.

    docutils gives the items of its list of references a role that ARIA has withdrawn,
    so no item is announced. sphinx-togglebutton folds what has a title and an id of its
    own; a proof has no title, and all proofs of a page have one id.
    """
    body = body.replace('role="doc-biblioentry"', 'role="listitem"')
    return PROOF.sub(r'\1><p class="admonition-title">Proof</p><p>', body)


def inline_pictures(app: Sphinx, body: str) -> str:
    """Put figures into the page, where they take the theme's colours."""
    files = {f"_images/{name}": path for path, name in app.builder.images.items()}
    count = itertools.count()

    def inline(found: re.Match) -> str:
        alt = re.search(r'alt="([^"]*)"', found.group()).group(1)
        text = Path(app.srcdir, files[found.group(1)]).read_text(encoding="utf-8")
        return picture(text, alt, f"picture{next(count)}-")

    return PICTURE.sub(inline, body)


def picture(text: str, alt: str, prefix: str) -> str:
    """An SVG file of matplotlib as an element: its names unique, its colours named."""
    text = re.sub(
        r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.S
    )
    text = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{prefix}", text)
    text = re.sub(r"#[0-9a-f]{6}\b", lambda c: THEME.get(c.group(), c.group()), text)
    return text.replace(
        "<svg", f'<svg class="picture" role="img" aria-label="{alt}"', 1
    )


def number_chapters(app: Sphinx, env: Any) -> list[str]:
    """Number what a chapter holds by the number before its title in _toc.yml.

    Figure 3.1 is in chapter 3, Figure C3.1 in its companion. Sphinx counts chapters
    from 1 and lets none start at 0.
    """
    contents = Path(app.srcdir, "_toc.yml").read_text(encoding="utf-8")
    titles = re.findall(r"- file: book/(\d+_(\S+))\n +title: (\d+)\. ", contents)
    for page, name, number in titles:
        for prefix, file in (
            (number, f"book/{page}"),
            (f"C{number}", f"book/more/{name}"),
        ):
            if file in env.all_docs:  # no number before the titles of its sections
                parts = env.get_doctree(file).findall(nodes.section)
                own = {f"#{part['ids'][0]}": () for part in [*parts][1:]}
                env.toc_secnumbers[file] = {"": (prefix,), **own}
    return TocTreeCollector().assign_figure_numbers(env)


def name_tables(app: Sphinx, document: nodes.document) -> None:
    """Make a line in italics above a table its title: Sphinx numbers such tables."""
    for count, table in enumerate([*document.findall(nodes.table)]):
        place = table.parent.index(table)
        match [*table.parent.children[max(place - 1, 0) : place]]:
            case [nodes.paragraph(children=[nodes.emphasis() as line])]:
                table["ids"].append(f"table-{count}")
                table.insert(0, nodes.title("", "", *line.children))
                del table.parent[place - 1]


def caption_tables(app: Sphinx, document: nodes.document, page: str) -> None:
    """Put the titles of tables, with their numbers, above them: in them they scroll."""
    numbers = app.env.toc_fignumbers.get(page, {}).get("table", {})
    for table in [*document.findall(nodes.table)]:
        if isinstance(table[0], nodes.title):
            number = ".".join(map(str, numbers[table["ids"][0]]))
            said = nodes.inline(text=f"Table {number} ", classes=["caption-number"])
            line = nodes.paragraph("", "", said, *table.pop(0).children)
            line["classes"].append("table-caption")
            table.parent.insert(table.parent.index(table), line)


def explain_terms(app: Sphinx, body: str) -> str:
    """Give links into the glossary what it says there, as citations have already."""
    said = {}
    if GLOSSARY in app.env.all_docs:
        for item in app.env.get_doctree(GLOSSARY).findall(nodes.definition_list_item):
            definition = item.children[-1].deepcopy()
            for link in [*definition.findall(addnodes.pending_xref)]:
                if link["reftype"] != "term":  # to a chapter: its label is no word
                    link.parent.remove(link)
            for name in item.children[0]["ids"]:
                said[name] = " ".join(definition.astext().split())
    return TERM.sub(lambda link: f'{link[0]} title="{escape(said[link[1]])}"', body)


def collect_texts(app: Sphinx, error: Exception | None) -> None:
    """One file with every page's text by section, for the search page to quote."""
    texts = {}
    for name in app.env.found_docs if error is None else ():
        page = Path(app.outdir, f"{name}.html").read_text(encoding="utf-8")
        article = page[page.index("<article") : page.index("</article>")]
        article = re.sub(
            r"<(script|style|svg|pre)\b.*?</\1>|<button.*?>", "", article, flags=re.S
        )
        article = re.sub(r'<a class="headerlink".*?</a>', "", article)
        words = re.sub(r"<(?!/?section\b)[^>]*>", "", article)
        texts[name] = re.sub(r"\s+", " ", words)
    script = f"window.BOOK_TEXTS = {json.dumps(texts, ensure_ascii=False)};\n"
    Path(app.outdir, "_static", "texts.js").write_text(script, encoding="utf-8")


def copy_records(app: Sphinx, error: Exception | None) -> None:
    """Put the records beside the pages: the scoreboard links to their files."""
    records = Path(app.srcdir, "results")
    if error is None and records.is_dir():
        shutil.copytree(records, Path(app.outdir, "results"), dirs_exist_ok=True)


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("config-inited", add_launch_options)
    app.connect("html-page-context", dress)
    app.connect("doctree-read", name_tables)
    app.connect("doctree-resolved", caption_tables)
    app.connect("env-get-updated", number_chapters, priority=900)
    app.connect("build-finished", copy_records)
    app.connect("build-finished", collect_texts)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
