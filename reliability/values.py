"""Odd values, and how files are damaged."""

import math
import random
from typing import Any

NAN, INF = math.nan, math.inf

ODD: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 7, 2**31 - 1, 2**31, 2**63, -(2**63), 10**400, 0.5, 1.0, -0.0, 1e308, 5e-324),
    *(NAN, INF, -INF, 1j, b"bytes", [], [1], (), (1, 2), {}, {"a": 1}, {1}, range(3), object(), int, ...),
    *("", " ", "\t", "auto", "full", "3", "1e3", "0.5", "nan", "None", "True", "[]", "a b", "a\nb", "a\0b", "-", "--"),
    *("Grüße", "٣", "😀", "\u202eabc", "\ud800", "a" * 300, "x" * 100_000, "digits ", "DIGITS", "digit", "lenet-5"),
    *("../..", "/", "//", "~", "~nobody/x", ".", "/dev/null", "/proc/self/mem", "con", "%s%n", "{}", "{0.__class__}"),
    *("$(touch executed)", "; touch executed", "`touch executed`", "__import__('os').mkdir('executed')"),
)
# As words of a command line: text without NUL, which no shell can hand over.
WORDS = tuple(dict.fromkeys(str(v) for v in ODD if isinstance(v, str | int | float) and "\0" not in str(v)[:1000]))
WORDS = tuple(word for word in WORDS if word.isprintable() or "\n" in word)


def damaged(whole: bytes, chance: random.Random) -> tuple[str, bytes]:
    """A file that is cut, has a bit changed, holds zeros or other bytes in places, or is longer; and in words, how."""
    kind = chance.choice(("cut", "bit", "zeros", "noise", "longer", "empty", "text", "swapped"))
    where = chance.randrange(max(len(whole), 1))
    length = chance.choice((1, 16, 512))
    other = {
        "cut": whole[:where],
        "bit": whole[:where] + bytes([whole[where] ^ 1 << chance.randrange(8)]) + whole[where + 1 :] if whole else b"",
        "zeros": (whole[:where] + bytes(length) + whole[where + length :])[: len(whole)],
        "noise": (whole[:where] + chance.randbytes(length) + whole[where + length :])[: len(whole)],
        "longer": whole + chance.randbytes(length),
        "empty": b"",
        "text": b"not what was asked for\n",
        "swapped": whole[where:] + whole[:where],
    }[kind]
    return f"{kind} at {where} of {len(whole)} bytes", other
