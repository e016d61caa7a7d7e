"""Every page of the rendered book: it opens quietly, asks the network for nothing, and is whole."""

import re
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from browser import DESKTOP, HTML, PAGES, PHONE, Heard, chromium, unfold, visit
from bs4 import BeautifulSoup

pytestmark = pytest.mark.browser

# What runs past the right edge, and neither it nor a box around it scrolls. A drawer that is shut is not visible,
# and MathJax's text for screen readers is clipped to one point.
STICKS_OUT = """() => {
    const scrolls = element => /auto|scroll/.test(getComputedStyle(element).overflowX);
    const edge = document.documentElement.clientWidth + 1;
    return [...document.querySelectorAll("body *:not(mjx-assistive-mml, mjx-assistive-mml *)")]
        .filter(e => e.getBoundingClientRect().right > edge && e.checkVisibility({visibilityProperty: true}))
        .filter(e => { while (e && !scrolls(e)) e = e.parentElement; return !e; })
        .map(e => `<${e.localName} class="${e.getAttribute("class") ?? ""}"> ${e.textContent.trim().slice(0, 60)}`);
}"""

# TeX between dollars or \\( \\) in running text: a formula that MathJax has not seen.
RAW_TEX = r"""() => {
    const walker = document.createTreeWalker(document.querySelector("main"), NodeFilter.SHOW_TEXT);
    const found = [];
    while (walker.nextNode()) {
        const text = walker.currentNode;
        if (text.parentElement.closest("pre, code, script, style, mjx-container")) continue;
        found.push(...text.data.matchAll(/\$[^$\n]+\$|\\[([]|\\begin\{/g).map(match => match.input.trim()));
    }
    return found;
}"""

UNSET = """() => [...document.querySelectorAll(".math")]
    .filter(formula => !formula.querySelector("mjx-container > svg")).map(formula => formula.textContent)"""

IMAGES = """() => [...document.querySelectorAll("main img")]
    .map(image => ({source: image.getAttribute("src"), alt: image.alt, width: image.naturalWidth}))"""


@pytest.fixture(scope="module")
def context():
    with chromium() as browser:
        yield browser.new_context(viewport=DESKTOP, reduced_motion="reduce")


@pytest.fixture(scope="module")
def tab(context):
    """One tab for all pages, and what it heard of the page that is open."""
    tab = context.new_page()
    tab.heard = Heard(context)
    return tab


@pytest.fixture(scope="module", params=[*PAGES, "search"])
def page(request, tab):
    """Opened once for all the tests below; a test that changes anything puts it back."""
    tab.heard.clear()
    visit(tab, request.param)
    return tab


@cache
def soup(path: Path) -> BeautifulSoup:
    return BeautifulSoup(path.read_text(), "html.parser")


@cache
def anchors(path: Path) -> set[str]:
    return {element["id"] for element in soup(path).find_all(id=True)}


def test_opens_quietly_and_asks_nothing_of_the_network(page):
    assert page.heard.complaints == []
    assert page.heard.requests == []


def test_every_formula_is_set(page):
    assert page.evaluate(UNSET) == []
    assert page.locator("mjx-merror, [data-mjx-error]").all_text_contents() == []
    assert page.evaluate(RAW_TEX) == []


def test_every_image_is_there(page):
    assert [image["source"] for image in page.evaluate(IMAGES) if image["width"] == 0] == []


def test_every_image_says_what_it_shows(page):
    silent = [image for image in page.evaluate(IMAGES) if is_file_name(image["alt"])]
    assert [image["source"] for image in silent] == []


def is_file_name(alt: str) -> bool:
    """Nothing, or what Sphinx writes for want of a text: the image's path."""
    return re.fullmatch(r"\s*|\S*\.(png|jpe?g|svg|gif)", alt, re.IGNORECASE) is not None


# WCAG 1.4.12: a reader may widen the letters so far. It also stands for fonts wider than this machine's.
WIDE_LETTERS = "* { letter-spacing: 0.12em !important; word-spacing: 0.16em !important; }"


@pytest.mark.parametrize("letters", ["* {}", WIDE_LETTERS], ids=["letters", "wide letters"])
def test_nothing_sticks_out_of_a_phone(page, letters):
    page.set_viewport_size(PHONE)
    unfold(page)
    style = page.add_style_tag(content=letters)
    try:
        assert page.evaluate(STICKS_OUT) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    finally:
        style.evaluate("element => element.remove()")
        page.set_viewport_size(DESKTOP)


@pytest.mark.parametrize("name", [*PAGES, "search", "index"])
def test_every_internal_link_leads_somewhere(name):
    here = HTML / f"{name}.html"
    links = [element["href"] for element in soup(here).find_all(["a", "link"], href=True)]
    links += [element["src"] for element in soup(here).find_all(src=True)]
    dead = []
    for link in links:
        parts = urlsplit(link)
        if parts.scheme or parts.netloc:
            continue
        target = (here.parent / unquote(parts.path)).resolve() if parts.path else here
        if not target.is_file() or (parts.fragment and unquote(parts.fragment) not in anchors(target)):
            dead.append(link)
    assert dead == []


def test_the_front_page_leads_to_the_book(tab):
    tab.goto((HTML / "index.html").as_uri())
    tab.wait_for_url("**/book/index.html")


@pytest.mark.parametrize("alt", ["", " ", "../_images/0a1b.png", "figure.SVG"])
def test_a_file_name_says_nothing(alt):
    assert is_file_name(alt)


@pytest.mark.parametrize("alt", ["Accuracy by stage", "accuracy.", "two digits, drawn by MAD"])
def test_a_text_says_something(alt):
    assert not is_file_name(alt)
