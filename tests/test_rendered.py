"""Every page of the rendered book opens quietly, is whole, and can be read by all."""

import re
from functools import cache
from urllib.parse import unquote, urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from browser import DESKTOP, HTML, PAGES, PHONE, Heard, chromium, unfold, visit
from bs4 import BeautifulSoup

pytestmark = pytest.mark.browser

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

# One token of each kind and place, since they share a colour: all would take minutes.
THIN_OUT = """() => {
    const seen = new Set(), places = "div.cell_input, div.cell_output, div.highlight";
    for (const token of document.querySelectorAll("div.highlight span[class]")) {
        const kind = `${token.className} in ${token.closest(places).className}`;
        if (seen.has(kind)) token.replaceWith(...token.childNodes);
        seen.add(kind);
    }
}"""


@pytest.fixture(scope="module")
def tab():
    """One tab for all pages, without motion; and what it heard of the page open."""
    with chromium() as browser:
        options = {"reduced_motion": "reduce", "color_scheme": "light"}
        context = browser.new_context(viewport=DESKTOP, **options)
        tab = context.new_page()
        tab.heard = Heard(context)
        yield tab


@pytest.fixture(scope="module", params=[*PAGES, "search"])
def page(request, tab):
    """Opened once for all tests; one that changes anything puts it back."""
    tab.heard.clear()
    visit(tab, request.param)
    return tab


def test_opens_quietly_and_is_whole(page):
    """Nothing is asked of the network; formulas are set; images say what they show."""
    assert (page.heard.complaints, page.heard.requests) == ([], [])
    assert page.evaluate(UNSET) == []
    assert page.locator("mjx-merror, [data-mjx-error]").all_text_contents() == []
    assert page.evaluate(RAW_TEX) == []
    # for want of a text, Sphinx writes the image's path
    silent = re.compile(r"\s*|\S*\.(png|jpe?g|svg|gif)", re.IGNORECASE)
    images = page.evaluate(IMAGES)
    assert [i for i in images if i["width"] == 0 or silent.fullmatch(i["alt"])] == []


# WCAG 1.4.12: a reader may widen the letters so far.
WIDE = "* { letter-spacing: 0.12em !important; word-spacing: 0.16em !important; }"


def test_nothing_sticks_out_of_a_phone(page):
    page.set_viewport_size(PHONE)
    unfold(page)
    try:
        for letters in ("* {}", WIDE):
            style = page.add_style_tag(content=letters)
            assert page.evaluate(STICKS_OUT) == []
            width = page.evaluate("document.documentElement.scrollWidth")
            assert width <= PHONE["width"]
            style.evaluate("element => element.remove()")
    finally:
        page.set_viewport_size(DESKTOP)


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


def test_it_is_accessible_in_both_themes(page):
    """The last test of a page: it is unfolded and its code thinned out."""
    unfold(page)
    page.evaluate(THIN_OUT)
    for theme, rules in (("light", RULES), ("dark", COLOURS)):
        page.evaluate(f"document.documentElement.dataset.theme = '{theme}'")
        assert violations(page, rules) == [], theme


@pytest.mark.parametrize(
    ("body", "rule"),
    [
        ("<p style='color: #aaa; background: #fff'>pale</p>", "color-contrast"),
        ("<img src='data:image/gif;base64,R0lGODlhAQABAAAAACw='>", "image-alt"),
    ],
)
def test_axe_bites(tab, body, rule):
    tab.goto("about:blank")
    tab.set_content(f"<html lang='en'><title>A page</title><main>{body}</main></html>")
    assert [line for line in violations(tab, RULES) if line.startswith(rule)]


@cache
def soup(path):
    return BeautifulSoup(path.read_text(), "html.parser")


@cache
def anchors(path):
    return {element["id"] for element in soup(path).find_all(id=True)}


@pytest.mark.parametrize("name", [*PAGES, "search", "index"])
def test_every_internal_link_leads_somewhere(name):
    here, dead = HTML / f"{name}.html", []
    links = [e["href"] for e in soup(here).find_all(["a", "link"], href=True)]
    links += [element["src"] for element in soup(here).find_all(src=True)]
    for link in links:
        parts = urlsplit(link)
        if parts.scheme or parts.netloc:
            continue
        path, part = unquote(parts.path), unquote(parts.fragment)
        target = (here.parent / path).resolve() if path else here
        if not target.is_file() or (part and part not in anchors(target)):
            dead.append(link)
    assert dead == []


def test_the_front_page_leads_to_the_book(tab):
    tab.goto((HTML / "index.html").as_uri())
    tab.wait_for_url("**/book/index.html")
