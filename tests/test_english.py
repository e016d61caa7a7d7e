"""Words that the first edition used in a foreign sense stay out."""

import io
import re
import tokenize

import jupytext
import pytest
from chapters import CHAPTERS, ROOT

BANNED = re.compile(
    r"\b(?:behind|but for|tells?|told|who raises|whoever|just so|not to be (?:seen|had)"
    r"|of (?:ours|yours)|as \w+ has it|lacks? to|comes of it|anew|gone"
    r"|stands?(?! out)|stood|(?:\d|points?|accuracy) less)\b",
    re.I,
)


def found(text):
    """The banned words of a text, each with what is around it."""
    flat = re.sub(r"\s+#?\s*", " ", text)
    return [flat[max(0, m.start() - 40) : m.end() + 20] for m in BANNED.finditer(flat)]


def prose_of(path):
    """What people read: pages whole, of a notebook its text, of code what is no code."""
    text = path.read_text(encoding="utf-8")
    if path in CHAPTERS:
        cells = jupytext.read(path).cells
        markdown = [c.source for c in cells if c.cell_type == "markdown"]
        code = "\n".join(c.source for c in cells if c.cell_type == "code")
        captions = [str(c.metadata.get("mystnb", "")) for c in cells]
        return "\n".join([*markdown, strings_of(code), *captions])
    return strings_of(text) if path.suffix == ".py" else text


def strings_of(code):
    """Docstrings, messages and comments."""
    kinds = {tokenize.STRING, tokenize.COMMENT, getattr(tokenize, "FSTRING_MIDDLE", -1)}
    tokens = tokenize.generate_tokens(io.StringIO(code).readline)
    return "\n".join(token.string for token in tokens if token.type in kinds)


PAGES = [
    *sorted((ROOT / "book").rglob("*.md")), *CHAPTERS,
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "workflow/README.md")),
]  # fmt: skip
SOURCES = sorted((ROOT / "dfkd_lib").rglob("*.py"))


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_a_page_has_none_of_the_banned_words(path):
    assert found(prose_of(path)) == []


def test_docstrings_comments_and_messages_have_none():
    wrong = {str(path.relative_to(ROOT)): found(prose_of(path)) for path in SOURCES}
    assert {name: words for name, words in wrong.items() if words} == {}


def test_the_search_finds_them():
    for wrong in ("it ended behind stage 4", "that is told", "# made\n# anew"):
        assert len(found(wrong)) == 1
    assert found(strings_of("x = 1  # gone")) and not found(strings_of("gone = 1"))
