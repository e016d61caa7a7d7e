"""Every page of the rendered book opens quietly, is whole, and can be read by all."""

import re
from functools import cache
from html import unescape
from urllib.parse import unquote, urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from browser import DESKTOP, HTML, PAGES, PHONE, typeset, unfold
from chapters import ROOT

# What runs past the right edge, and neither it nor a box around it scrolls. A drawer
# that is shut is not visible; MathJax's text for screen readers is clipped to a point.
STICKS_OUT = """() => {
    const scrolls = e => /auto|scroll/.test(getComputedStyle(e).overflowX);
    const edge = document.documentElement.clientWidth + 1;
    const all = "body *:not(mjx-assistive-mml, mjx-assistive-mml *)";
    return [...document.querySelectorAll(all)]
        .filter(e => e.getBoundingClientRect().right > edge)
        .filter(e => e.checkVisibility({visibilityProperty: true}))
        .filter(e => { while (e && !scrolls(e)) e = e.parentElement; return !e; })
        .map(e => `<${e.localName}> ${e.textContent.trim().slice(0, 60)}`);
}"""

# TeX between dollars or \\( \\) in running text: a formula that MathJax has not seen.
RAW_TEX = r"""() => {
    const main = document.querySelector("main"), found = [];
    const walker = document.createTreeWalker(main, NodeFilter.SHOW_TEXT);
    const skipped = "pre, code, script, style, mjx-container";
    const tex = /\$[^$\n]+\$|\\[([]|\\begin\{/g;
    while (walker.nextNode()) {
        const text = walker.currentNode;
        if (text.parentElement.closest(skipped)) continue;
        found.push(...text.data.matchAll(tex).map(match => match.input.trim()));
    }
    return found;
}"""

UNSET = """() => [...document.querySelectorAll(".math")]
    .filter(formula => !formula.querySelector("mjx-container > svg"))
    .map(formula => formula.textContent)"""

IMAGES = """() => [...document.querySelectorAll("main img")].map(image =>
    ({source: image.getAttribute("src"), alt: image.alt, width: image.naturalWidth}))"""

# axe-core's rules for WCAG 2 A and AA. MathJax's drawings have the text's colour and
# MathML beside them; Sphinx sets a long signature's parameters as a list without terms.
CONTEXT = {"exclude": ["mjx-container", "dt.sig > dl"]}
RULES = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa"]}}
COLOURS = {"runOnly": {"type": "rule", "values": ["color-contrast"]}}

# One token of each kind and place and four rows of a table, since they share colours: all
# would take minutes.
THIN_OUT = """() => {
    for (const row of document.querySelectorAll("tr:nth-child(n + 5)")) row.remove();
    const seen = new Set(), places = "div.cell_input, div.cell_output, div.highlight";
    for (const token of document.querySelectorAll("div.highlight span[class]")) {
        const kind = `${token.className} in ${token.closest(places).className}`;
        if (seen.has(kind)) token.replaceWith(...token.childNodes);
        seen.add(kind);
    }
}"""


# For want of a text, Sphinx writes the image's path.
SILENT = re.compile(r"\s*|\S*\.(png|jpe?g|svg|gif)", re.IGNORECASE)
# WCAG 1.4.12: a reader may widen the letters so far.
WIDE = "* { letter-spacing: 0.12em !important; word-spacing: 0.16em !important; }"


def violations(page, rules):
    """One line for each element that breaks a rule of serious or critical impact."""
    options = rules | {"resultTypes": ["violations"]}
    found = Axe().run(page, context=CONTEXT, options=options).response["violations"]
    return [
        f"{rule['id']}: {node['target']} {node['failureSummary']}"
        for rule in found
        for node in rule["nodes"]
        if rule["impact"] in ("serious", "critical")
    ]


@pytest.mark.parametrize("name", [*PAGES, "search"])
def test_a_page_opens_quietly_is_whole_and_can_be_read_by_all(open_page, name):
    """Opened once for all of it; at the end its code and tables are thinned out."""
    tab = open_page(name)
    typeset(tab)
    # nothing is asked of the network; formulas are set; images say what they show
    assert tab.heard.nothing()
    assert tab.evaluate(UNSET) == []
    assert tab.locator("mjx-merror, [data-mjx-error]").all_text_contents() == []
    assert tab.evaluate(RAW_TEX) == []
    assert tab.locator(".proof.dropdown:not(.toggle-hidden)").count() == 0
    images = tab.evaluate(IMAGES)
    assert [i for i in images if i["width"] == 0 or SILENT.fullmatch(i["alt"])] == []

    tab.set_viewport_size(PHONE)
    unfold(tab)
    for letters in ("* {}", WIDE):
        style = tab.add_style_tag(content=letters)
        assert tab.evaluate(STICKS_OUT) == []
        assert tab.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        style.evaluate("element => element.remove()")

    tab.set_viewport_size(DESKTOP)
    tab.evaluate(THIN_OUT)
    for theme, rules in (("light", RULES), ("dark", COLOURS)):
        tab.evaluate(f"document.documentElement.dataset.theme = '{theme}'")
        assert violations(tab, rules) == [], theme


BITES = [
    ("<p style='color: #aaa; background: #fff'>pale</p>", "color-contrast"),
    ("<img src='data:image/gif;base64,R0lGODlhAQABAAAAACw='>", "image-alt"),
]


def test_axe_and_what_looks_for_formulas_and_for_wide_things_bite(browser):
    wide = "<div style='width: 5000px'>wide</div><p>a formula: $x$</p>"
    body = f"<main>{''.join(bad for bad, _ in BITES)}{wide}</main>"
    tab = browser.new_page(viewport=DESKTOP)
    tab.set_content(f"<html lang='en'><title>A page</title>{body}</html>")
    found = " ".join(violations(tab, RULES))
    assert all(f"{rule}: " in found for _, rule in BITES)
    assert tab.evaluate(STICKS_OUT) == ["<div> wide"]
    assert tab.evaluate(RAW_TEX) == ["a formula: $x$"]


@cache
def attributes(path, name):
    """Text between quotation marks is no markup: Sphinx writes &quot; in text."""
    found = re.findall(rf'\s{name}="([^"]*)"', path.read_text())
    return {unescape(value) for value in found}


def test_every_internal_link_leads_somewhere_also_to_the_notebooks():
    dead = []
    for name in [*PAGES, "search", "index"]:
        here = HTML / f"{name}.html"
        links = attributes(here, "href") | attributes(here, "src")
        assert len(links) > 10 or name == "index"
        for link in links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            path, part = unquote(parts.path), unquote(parts.fragment)
            target = (here.parent / path).resolve() if path else here
            if not target.is_file() or (part and part not in attributes(target, "id")):
                dead.append((name, link))
    assert dead == []
    for name in (page for page in PAGES if (ROOT / f"{page}.ipynb").exists()):
        page, link = HTML / f"{name}.html", f"_sources/{name}.ipynb"
        up = "../" * name.count("/")
        assert f"{up}{link}" in attributes(page, "href")
        assert (HTML / link).read_bytes() == (ROOT / f"{name}.ipynb").read_bytes()


@pytest.mark.parametrize(("name", "chapter"), [("03_mad", "3"), ("more/mad", "C3")])
def test_the_tables_of_a_page_have_captions_numbered_by_chapter(name, chapter):
    page = (HTML / "book" / f"{name}.html").read_text()
    parts = re.findall(r"<table\b|<p class=\"table-caption.*?</p>", page, re.S)
    captions, tables = parts[::2], parts[1::2]
    assert len(captions) == len(tables) > 2 and {*tables} == {"<table"}
    for number, caption in enumerate(captions, 1):
        text = re.sub(r"<.*?>", "", caption)
        assert text.startswith(f"Table {chapter}.{number} ") and len(text) > 30


def test_the_front_page_leads_to_the_book(open_page):
    tab = open_page("index")
    tab.wait_for_url("**/book/index.html")
    # no link is under another, such as a card's, which spans the whole card
    under = """links => links.filter(link => {
        link.scrollIntoView({block: "center", behavior: "instant"});
        const box = link.getClientRects()[0];
        const [x, y] = [box.x + box.width / 2, box.y + box.height / 2];
        return document.elementFromPoint(x, y).closest("a") !== link;
    }).map(link => link.href)"""
    links = tab.locator("article p a:not(.sd-stretched-link):visible")
    assert links.count() > 10 and links.evaluate_all(under) == []
