"""The rendered book in a real browser: where both are, and what a page says.

The book is what `make book` left; the browser is $CHROMIUM, or a Chromium on PATH.
"""

import os
import shutil
from contextlib import contextmanager

import pytest
import yaml
from chapters import ROOT
from playwright.sync_api import sync_playwright

HTML = ROOT / "_build" / "html"
TOC = yaml.safe_load((ROOT / "_toc.yml").read_text())
PARTS = [chapter["file"] for part in TOC["parts"] for chapter in part["chapters"]]
PAGES = [TOC["root"], *PARTS]

PHONE = {"width": 390, "height": 844}
DESKTOP = {"width": 1280, "height": 900}

NAMES = ("chromium", "chromium-browser", "google-chrome")
# the sandbox does not start as root; the rest keeps the browser from calling home
FLAGS = "--headless --no-sandbox --disable-gpu --disable-background-networking "
FLAGS += "--disable-component-update --disable-sync --no-first-run"


@contextmanager
def chromium():
    """A running browser; fails where there is no book to look at."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    path = os.environ.get("CHROMIUM") or found
    if path is None:
        pytest.skip(f"no browser: install one of {', '.join(NAMES)}, or set CHROMIUM")
    if not HTML.exists():
        pytest.fail(f"no rendered book in {HTML.relative_to(ROOT)}: run `make book`")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS.split())
        yield browser
        browser.close()


def address(page):
    return (HTML / f"{page}.html").as_uri()


class Heard:
    """What a page complained of, and what it asked the network for."""

    def __init__(self, context):
        self.complaints, self.requests = [], []
        context.on("console", lambda message: self.console(message.type, message.text))
        context.on("weberror", lambda error: self.complaints.append(str(error.error)))
        context.on("request", lambda request: self.request(request.url))

    def console(self, kind, text):
        if kind in ("error", "warning"):
            self.complaints.append(f"{kind}: {text}")

    def request(self, url):
        if not url.startswith(("file:", "data:", "blob:")):
            self.requests.append(url)

    def nothing(self):
        """Fails with what was heard."""
        assert (self.complaints, self.requests) == ([], [])
        return True


def typeset(page):
    """Set all formulas of a page, also those out of view."""
    page.wait_for_load_state()
    page.evaluate("""async () => {
        await window.MathJax?.startup.promise;
        await window.MathJax?.startup.document.lazyTypesetAll?.();
    }""")


UNFOLD = """async () => {
    for (const details of document.querySelectorAll("details")) details.open = true;
    const buttons = ".toggle-hidden button.toggle-button";
    for (const button of document.querySelectorAll(buttons)) button.click();
    const ended = document.getAnimations().map(animation => animation.finished);
    await Promise.allSettled(ended);
}"""


def unfold(page):
    """Open all that a reader can open; what opens, fades in: wait for it."""
    page.evaluate(UNFOLD)
