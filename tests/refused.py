"""How a test sees a refusal, and what a hostile file holds."""

import os

import pytest

from dfkd_lib.errors import UserError


def refused(call, *arguments, **options) -> str:
    """The one line, not too long to be read, by which a call is refused."""
    with pytest.raises(UserError) as caught:
        call(*arguments, **options)
    [line] = str(caught.value).splitlines()
    assert len(line) < 1000
    return line


class Hostile:
    """Executes code where it is unpickled."""

    def __init__(self, proof):
        self.proof = proof

    def __reduce__(self):
        return os.mkdir, (str(self.proof),)
