"""The rendered book in a real browser: where both are, and what a page says once it stands still.

The book is what `make book` left; the browser is $CHROMIUM, or a Chromium on PATH.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import yaml
from chapters import ROOT
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

HTML = ROOT / "_build" / "html"
TOC = yaml.safe_load((ROOT / "_toc.yml").read_text())
PAGES = [TOC["root"], *(chapter["file"] for part in TOC["parts"] for chapter in part["chapters"])]
NOTEBOOKS = [page for page in PAGES if (ROOT / f"{page}.ipynb").exists()]

PHONE = {"width": 390, "height": 844}
DESKTOP = {"width": 1280, "height": 900}

NAMES = ("chromium", "chromium-browser", "google-chrome")
# The sandbox does not start as root, as which a container runs; the rest keeps the browser from calling home.
FLAGS = "--headless --no-sandbox --disable-gpu --disable-background-networking --disable-component-update".split()
FLAGS += ["--disable-sync", "--no-first-run"]


def executable() -> str | None:
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)


@contextmanager
def chromium() -> Iterator[Browser]:
    """A running browser. Skips where there is none; fails where there is no book to look at."""
    path = executable()
    if path is None:
        pytest.skip(f"no browser: install one of {', '.join(NAMES)}, or set CHROMIUM to its path")
    if not HTML.exists():
        pytest.fail(f"no rendered book in {HTML.relative_to(ROOT)}: run `make book` first")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


def address(page: str) -> str:
    return (HTML / f"{page}.html").as_uri()


class Heard:
    """What a page complained of, and what it asked the network for."""

    def __init__(self, context: BrowserContext):
        self.complaints: list[str] = []
        self.requests: list[str] = []
        context.on("console", lambda message: self.console(message.type, message.text))
        context.on("weberror", lambda error: self.complaints.append(str(error.error)))
        context.on("request", lambda request: self.request(request.url))

    def console(self, kind: str, text: str) -> None:
        if kind in ("error", "warning"):
            self.complaints.append(f"{kind}: {text}")

    def request(self, url: str) -> None:
        if not url.startswith(("file:", "data:", "blob:")):
            self.requests.append(url)

    def clear(self) -> None:
        self.complaints.clear()
        self.requests.clear()


def visit(page: Page, name: str) -> None:
    """Open a page of the book and wait until its formulas are set."""
    page.goto(address(name))
    page.evaluate("async () => { await window.MathJax?.startup.promise }")


def unfold(page: Page) -> None:
    """Open everything that a reader can open: cells, boxes, solutions. What opens, fades in: wait for it."""
    page.evaluate(
        """async () => {
            for (const details of document.querySelectorAll("details")) details.open = true;
            for (const button of document.querySelectorAll(".toggle-hidden > button.toggle-button")) button.click();
            await Promise.allSettled(document.getAnimations().map(animation => animation.finished));
        }"""
    )
