"""What a reader does with the book: search, switch the theme, use keys, print."""

import pytest
from browser import DESKTOP, address, typeset, unfold

# A4 within margins of 15 mm, at 96 dots per inch
PAPER = {"width": 681, "height": 1000}
BARS = ".bd-sidebar-primary .bd-sidebar-secondary .header-article .copybtn".split()
STOPS = "search-button, theme-switch-button, dropdown-toggle, primary-toggle, "
STOPS += "reference internal, copybtn"
THEME = "document.documentElement.dataset.theme"
SWITCH = "button.theme-switch-button"

# How many glyphs of a formula are drawn: each is defined in the formula itself.
GLYPHS = """element => [...element.querySelectorAll("mjx-container > svg use")]
    .filter(use => element.querySelector(use.getAttribute("xlink:href"))).length"""

OFF_PAPER = """() => {
    const edge = document.documentElement.clientWidth + 1;
    return [...document.querySelectorAll("main :is(img, svg, pre, p, td)")]
        .filter(e => e.checkVisibility({visibilityProperty: true}))
        .filter(e => e.getBoundingClientRect().right > edge)
        .map(e => e.outerHTML.slice(0, 150));
}"""

# What has the focus, and whether one sees that it has: on the screen, not transparent,
# with a ring or a shadow.
FOCUS = """async () => {
    await Promise.allSettled(document.getAnimations().map(motion => motion.finished));
    const element = document.activeElement, style = getComputedStyle(element);
    const box = element.getBoundingClientRect();
    const ring = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0;
    return {
        text: (element.innerText || element.ariaLabel || element.title || "").trim(),
        class: element.className,
        seen: element.checkVisibility({opacityProperty: true}) && box.width > 0
            && box.bottom > 0 && box.top < innerHeight && (ring || style.boxShadow !== "none"),
    };
}"""


def test_search_finds_covariance_and_says_when_there_is_nothing(open_page):
    page = open_page("book/index")
    page.keyboard.press("Control+k")
    page.keyboard.type("covariance")
    page.keyboard.press("Enter")
    page.wait_for_url("**/search.html?q=covariance*")
    hits = page.locator("#search-results li a")
    hits.first.wait_for()
    assert any("01_dfad.html" in hit.get_attribute("href") for hit in hits.all())
    quote = page.locator('li:has(a[href*="01_dfad.html"]) p.context').first
    assert "covariance" in quote.inner_text()
    hits.first.click()
    page.wait_for_url("**/book/**")
    assert page.heard.nothing()
    page.goto(address("search") + "?q=xyzzyplugh")
    page.get_by_text("did not match any documents").wait_for()


def test_a_link_shows_the_equation_it_names(open_page):
    page = open_page("book/03_mad")
    typeset(page)
    unfold(page)
    target = "#equation-eq-mad-weights"
    page.locator(f'article a.reference.internal[href="{target}"]').first.hover()
    card = page.locator(".reference-card")
    card.wait_for()
    number = page.locator(target).locator(".eqno").inner_text().strip("#")
    assert number in card.inner_text()
    assert card.evaluate(GLYPHS) > 10
    box = card.bounding_box()
    assert 0 <= box["x"] and box["x"] + box["width"] <= DESKTOP["width"]
    page.keyboard.press("Escape")
    card.wait_for(state="detached")
    assert page.heard.nothing()


def test_the_theme_switch_works_and_is_remembered_but_paper_is_white(open_page):
    page = open_page("book/index")
    ground = "getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(THEME) == "light"
    light = page.evaluate(ground)
    switch = page.locator(f"{SWITCH}:visible").first
    for _ in range(3):  # it goes round: as the system has it, light, dark
        if page.evaluate(THEME) == "light":
            switch.click()
    assert page.evaluate(THEME) == "dark"
    assert page.evaluate(ground) != light
    page.goto(address("book/notation"))
    assert page.evaluate(THEME) == "dark"
    note = f"() => {{ globalThis.printed = {THEME}; }}"
    page.evaluate(f"addEventListener('beforeprint', {note})")
    page.pdf()
    assert (page.evaluate("printed"), page.evaluate(THEME)) == ("light", "dark")


def test_the_keyboard_reaches_everything_and_shows_where_it_is(open_page):
    page = open_page("book/03_mad")
    typeset(page)
    stops = []
    for _ in range(40):
        page.keyboard.press("Tab")
        stops.append(page.evaluate(FOCUS))
    # else there are hundreds of stops on the way to a link
    assert [stop for stop in stops if "MathJax" in stop["class"]] == []
    assert "Skip to main content" in stops[0]["text"]
    classes = " ".join(stop["class"] for stop in stops)
    assert [wanted for wanted in STOPS.split(", ") if wanted not in classes] == []
    assert [stop for stop in stops if not stop["seen"]] == []

    page.reload()
    for key in ("Tab", "Enter", "Tab"):  # the first stop skips to the text
        page.keyboard.press(key)
    assert page.evaluate("document.activeElement.closest('main') !== null")


@pytest.mark.parametrize("name", "03_mad 04_hidfd 08_scoreboard notation".split())
def test_paper_holds_the_page(open_page, name):
    """Bars and buttons stay behind, nothing is cut off, folded parts are open."""
    page = open_page(f"book/{name}", viewport=PAPER)
    typeset(page)
    unfold(page)
    page.emulate_media(media="print")
    seen = [e for bar in BARS for e in page.locator(bar).all() if e.is_visible()]
    assert seen == []
    assert page.evaluate(OFF_PAPER) == []
    # an asked-for width that is not had is a picture that is cut off
    cut = "svgs => svgs.filter(svg => svg.clientWidth < svg.width.baseVal.value).length"
    assert page.locator("table.scoreboard svg:visible").evaluate_all(cut) == 0
    title = page.locator("article h1").first
    assert title.is_visible() and not page.locator(".onlyprint").first.is_visible()
