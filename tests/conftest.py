"""Shared by all tests, and by nbval's when it runs in the same session."""

import os

# before torch: the same numbers on every machine, and no fighting threads
os.environ.setdefault("OMP_NUM_THREADS", "1")

import jaxtyping
import pytest
from hypothesis import settings

# Before anything imports dfkd_lib: its annotations, shapes included, are checked at
# every call and return. By PEP 484 an int will do where a float is annotated.
jaxtyping.install_import_hook(
    "dfkd_lib", "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))"
)

settings.register_profile(
    "repeatable", derandomize=True, deadline=None, max_examples=40
)
settings.load_profile("repeatable")


def pytest_collection_modifyitems(items):
    """nbval's cells are slow, they run whole chapters; test_rendered*.py opens the book."""
    for item in items:
        if item.path.suffix == ".ipynb":
            item.add_marker(pytest.mark.slow)
        if item.path.stem.startswith("test_rendered"):
            item.add_marker(pytest.mark.browser)


@pytest.fixture(autouse=True)
def own_surroundings(monkeypatch, tmp_path):
    """No test reads data, teachers or records of whoever runs it, or downloads."""
    for name in ("DFKD_DATA", "DFKD_RESULTS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DFKD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("DFKD_OFFLINE", "1")


@pytest.fixture
def root(monkeypatch, tmp_path):
    """A DFKD_DATA that holds nothing."""
    folder = tmp_path / "data"
    folder.mkdir()
    monkeypatch.setenv("DFKD_DATA", str(folder))
    return folder


@pytest.fixture(scope="session")
def digits():
    from dfkd_lib.data import load_dataset

    return load_dataset("digits")


@pytest.fixture(scope="session")
def teacher(digits):
    """The shipped LeNet-5. Frozen: whoever changes it breaks everybody's tests."""
    from dfkd_lib.teachers import load_teacher

    return load_teacher(digits, "lenet5")


@pytest.fixture(scope="module")
def browser():
    from browser import chromium

    with chromium() as browser:
        yield browser


@pytest.fixture
def open_page(browser):
    """Opens a page of the book in a context of its own; `heard` is what it said."""
    from browser import DESKTOP, Heard, address

    contexts = []

    def opened(name, **options):
        usual = {"reduced_motion": "reduce", "color_scheme": "light"}
        context = browser.new_context(**{"viewport": DESKTOP} | usual | options)
        contexts.append(context)
        page = context.new_page()
        page.heard = Heard(context)
        page.goto(address(name), wait_until="domcontentloaded")
        return page

    yield opened
    for context in contexts:
        context.close()


@pytest.fixture
def drawn():
    """All figures that a test has made are rendered at its end."""
    import matplotlib.pyplot as plt

    yield
    for number in plt.get_fignums():
        plt.figure(number).canvas.draw()
    plt.close("all")
