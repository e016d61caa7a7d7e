"""The names that `import dfkd_lib` offers."""

import pytest

import dfkd_lib


def test_every_public_name_is_there():
    for name in dfkd_lib.__all__:
        assert getattr(dfkd_lib, name).__name__ == name
        assert name in dir(dfkd_lib)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'distil'"):
        _ = dfkd_lib.distil
