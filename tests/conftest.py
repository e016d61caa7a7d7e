"""Shared by all tests, and by nbval's when it runs in the same session."""

import pytest


def pytest_collection_modifyitems(items):
    # nbval's cells run a whole chapter, so `-m slow` takes them too.
    for item in items:
        if item.path.suffix == ".ipynb":
            item.add_marker(pytest.mark.slow)
