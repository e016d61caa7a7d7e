"""The scoreboard in a browser: sorted and filtered by keyboard, plain without script."""

import pytest
from browser import DESKTOP, PHONE

BOARD = "book/08_scoreboard"
STATUS = ".scoreboard-tools [role=status]"
ROWS = "table.scoreboard tbody tr:not(.group):visible"
OURS = """rows => rows.map(row => parseFloat(row.cells[3].textContent))
    .filter(x => !isNaN(x))"""
WIDER = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
SCROLLS = """() => {
    const box = document.querySelector(".scoreboard-scroll");
    return box.scrollWidth > box.clientWidth + 1;
}"""


@pytest.fixture
def page(open_page):
    page = open_page(BOARD)
    yield page
    assert page.heard.nothing()


def tab_to(page, locator):
    """Press Tab until it has the focus."""
    locator.evaluate("element => element.scrollIntoView()")
    for _ in range(200):
        page.keyboard.press("Tab")
        if locator.evaluate("element => element === document.activeElement"):
            return
    pytest.fail("the keyboard does not reach it")


def test_it_shows_what_was_run_each_row_with_its_drawing_and_record(page):
    rows = page.locator(ROWS)
    assert rows.count() > 12
    for row in rows.all():
        assert row.get_attribute("data-status") == "run"
        assert "ours" in row.locator("svg").get_attribute("aria-label")
        assert row.locator("a").get_attribute("href").startswith("../results/")
    for size in (DESKTOP, PHONE):  # the table scrolls, the page does not
        page.set_viewport_size(size)
        assert page.evaluate(SCROLLS) == (size == PHONE)
        assert not page.evaluate(WIDER)


def test_the_keyboard_sorts_within_the_groups(page):
    button = page.get_by_role("button", name="ours (%)")
    tab_to(page, button)
    head = page.locator("table.scoreboard th", has=button)
    for key, order in (("Enter", "ascending"), ("Space", "descending")):
        page.keyboard.press(key)
        assert head.get_attribute("aria-sort") == order
        first = page.locator("table.scoreboard tbody:visible").first
        values = first.locator("tr:not(.group)").evaluate_all(OURS)
        backwards = order == "descending"
        assert values == sorted(values, reverse=backwards) and len({*values}) > 5


def test_the_keyboard_filters(page):
    show, words = (page.locator(f".scoreboard-tools {x}") for x in ("select", "input"))
    run = page.locator(ROWS).count()
    tab_to(page, show)
    page.keyboard.press("End")  # the last choice: everything
    assert show.input_value() == "all"
    everything = page.locator(ROWS).count()
    assert everything > 300 > run
    assert page.locator(STATUS).inner_text() == f"{everything} of {everything} rows"
    page.keyboard.press("Tab")
    page.keyboard.type("mad imagenet, abm")
    assert words.input_value()
    found = page.locator(ROWS)
    assert 0 < found.count() < 5
    assert all("ABM" in row.inner_text() for row in found.all())
    page.keyboard.press("Control+a")
    page.keyboard.type("xyzzyplugh")
    assert page.locator(ROWS).count() == 0
    assert page.locator("table.scoreboard tr.group:visible").count() == 0


def test_a_command_is_copied(page):
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    row = page.locator(ROWS).first
    button = row.get_by_role("button")
    tab_to(page, button)
    page.keyboard.press("Enter")
    command = row.get_attribute("data-command")
    page.locator(STATUS).get_by_text(command).wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == command


def test_without_script_it_is_two_tables_and_a_fold(open_page):
    page = open_page(BOARD, java_script_enabled=False)
    fold = page.locator("details.scoreboard-rest")
    run = "div.scoreboard > .scoreboard-scroll tr[data-status=run]"
    assert page.locator(run).count()
    assert page.locator("table.scoreboard button, .scoreboard-tools").count() == 0
    left = fold.locator("tr[data-status=queued]").first
    assert not left.is_visible()
    fold.locator("summary").focus()
    page.keyboard.press("Enter")
    assert left.is_visible() and "dfkd_lib.run" in left.inner_text()
