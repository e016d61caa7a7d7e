"""The figures that move do so by keyboard, ask for nothing, and have a poster."""

import pytest
from browser import DESKTOP, PAGES, PHONE

FIGURES = {"moons-game": ("book/index", "book/01_dfad"), "ema-slider": ("book/03_mad",)}
PLACES = [(kind, page) for kind, pages in FIGURES.items() for page in pages]
STATE = """figure => [...figure.querySelectorAll(".moving path, .moving circle")]
    .map(e => e.getAttribute("d") + e.getAttribute("style")).join()"""


@pytest.mark.parametrize(("kind", "name"), PLACES)
def test_a_slider_moves_it_by_keyboard_and_else_there_is_the_poster(
    open_page, kind, name
):
    """The poster is there without script and on paper; nothing is requested."""
    page = open_page(name)
    figure = page.locator(f"div.{kind}")
    slider = figure.locator("input[type=range]")
    for screen in (DESKTOP, PHONE):
        page.set_viewport_size(screen)
        slider.focus()
        before, text = figure.evaluate(STATE), slider.get_attribute("aria-valuetext")
        page.keyboard.press("ArrowRight")
        assert figure.evaluate(STATE) != before
        assert slider.get_attribute("aria-valuetext") != text
        page.keyboard.press("ArrowLeft")
        assert figure.evaluate(STATE) == before
        assert figure.locator(":scope > :not(.moving):visible").count() == 0
        assert page.evaluate("document.documentElement.scrollWidth") <= screen["width"]
    assert page.heard.nothing()
    page.emulate_media(media="print")
    assert figure.locator(":is(img, svg.picture)").is_visible()
    assert not figure.locator(".moving").is_visible()
    still = open_page(name, java_script_enabled=False)
    assert still.locator(f"div.{kind} :is(img, svg.picture)").is_visible()


def test_the_game_plays_steps_and_changes_its_generator_by_keyboard(open_page):
    page = open_page("book/index")
    figure = page.locator("div.moons-game")
    told = figure.locator(".moving-told")
    first = told.text_content()

    figure.get_by_role("button", name="Step", exact=True).focus()
    page.keyboard.press("Enter")
    second = told.text_content()
    assert second != first
    figure.get_by_role("button", name="Step back").focus()
    page.keyboard.press("Enter")
    assert told.text_content() == first

    figure.get_by_role("button", name="Play").focus()
    page.keyboard.press("Space")
    page.wait_for_function("figure => figure.textContent.includes('Stage 3')",
                           arg=figure.element_handle())  # fmt: skip
    figure.get_by_role("button", name="Pause").press("Space")

    figure.locator("input[type=range]").press("End")
    ended = told.text_content()
    assert "Stage 200" in ended
    figure.get_by_label("Generator steps per stage").press("ArrowDown")
    fast = told.text_content()
    assert fast != ended
    figure.locator("select").nth(1).press("ArrowDown")
    assert told.text_content() not in (fast, ended)
    figure.get_by_label("Show real data").press("Space")
    assert figure.locator(".moving-real").is_visible()


def test_other_pages_load_none_of_it(open_page):
    assert "book/notation" in PAGES
    page = open_page("book/notation")
    page.wait_for_load_state()
    assert page.locator(".moving, .scoreboard-tools").count() == 0
    assert page.evaluate("[typeof dfkd_moons, typeof dfkd_ema]") == ["undefined"] * 2
