"""Accessibility of every page, by axe-core's rules for WCAG 2 A and AA, in both themes and with everything unfolded."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from browser import DESKTOP, PAGES, chromium, unfold, visit

pytestmark = pytest.mark.browser

# MathJax's drawings are left out: they have the text's colour, MathML beside them, and thousands of elements. One thing
# is not as axe wants it: a formula that scrolls cannot be focused. Browsers let the keyboard scroll what holds nothing
# to focus, but for Safari; the other way, every formula of a chapter would be a stop.
# And Sphinx sets the parameters of a long signature as a list of definitions without terms.
CONTEXT = {"exclude": ["mjx-container", "dt.sig > dl"]}
RULES = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa"]}, "resultTypes": ["violations"]}
COLOURS = {"runOnly": {"type": "rule", "values": ["color-contrast"]}, "resultTypes": ["violations"]}

# One token of each kind and place is enough, since they share a colour: axe takes minutes for all tokens of a chapter.
THIN_OUT = """() => {
    const seen = new Set();
    for (const token of document.querySelectorAll("div.highlight span[class]")) {
        const place = token.closest("div.cell_input, div.cell_output, div.highlight");
        const kind = `${token.className} in ${place.className}`;
        if (seen.has(kind)) token.replaceWith(...token.childNodes);
        seen.add(kind);
    }
}"""


@pytest.fixture(scope="module")
def tab():
    with chromium() as browser:
        # Without motion: a colour in the middle of a transition is nobody's choice.
        yield browser.new_page(viewport=DESKTOP, reduced_motion="reduce", color_scheme="light")


@pytest.fixture(scope="module", params=[*PAGES, "search"])
def page(request, tab):
    visit(tab, request.param)
    unfold(tab)
    tab.evaluate(THIN_OUT)
    return tab


def set_theme(page, theme: str) -> None:
    page.evaluate("theme => { document.documentElement.dataset.theme = theme; }", theme)


def violations(page, options) -> list[str]:
    """One line for each element that breaks a rule of serious or critical impact."""
    found = Axe().run(page, context=CONTEXT, options=options).response["violations"]
    return [
        f"{rule['id']}: {node['target']} {node['failureSummary']}"
        for rule in found
        for node in rule["nodes"]
        if rule["impact"] in ("serious", "critical")
    ]


def test_light(page):
    set_theme(page, "light")
    assert violations(page, RULES) == []


def test_dark(page):
    """Only colours change with the theme."""
    set_theme(page, "dark")
    assert violations(page, COLOURS) == []


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
