from pathlib import Path

import pytest


@pytest.fixture
def root(monkeypatch, tmp_path) -> Path:
    """A DFKD_DATA that holds nothing; `tests/conftest.py` forbids downloads."""
    folder = tmp_path / "data"
    folder.mkdir()
    monkeypatch.setenv("DFKD_DATA", str(folder))
    return folder
