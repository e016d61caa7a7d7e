"""The names that `import dfkd_lib` offers."""

import pytest

import dfkd_lib


@pytest.mark.parametrize("name", dfkd_lib.__all__)
def test_every_public_name_is_there(name):
    assert getattr(dfkd_lib, name).__name__ == name


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'distil'"):
        _ = dfkd_lib.distil
