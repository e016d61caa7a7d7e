"""Launch buttons where the repository is named and only there; how to cite the book is what CITATION.cff says."""

import re
import shutil

import nbformat
import pytest
import yaml
from chapters import ROOT, shell
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from pybtex.database import parse_file, parse_string

from tools.book_html import launch_options

NOTEBOOK = "book/03_mad"
TOC = f"format: jb-book\nroot: book/index\nchapters:\n  - file: {NOTEBOOK}\n"


@pytest.fixture(scope="module")
def small_book(tmp_path_factory):
    """A page and a notebook, rendered as the book is: by its own _config.yml and all that it names."""
    root = tmp_path_factory.mktemp("small")
    for name in ("book/vendor", "tools"):
        shutil.copytree(ROOT / name, root / name)
    for name in ("_config.yml", "book/references.bib"):
        shutil.copy2(ROOT / name, root / name)
    (root / "_toc.yml").write_text(TOC)
    (root / "book" / "index.md").write_text("# A page\n")
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = new_notebook(
        cells=[new_markdown_cell("# A chapter"), new_code_cell("1")], metadata={"kernelspec": kernel}
    )
    nbformat.write(notebook, root / f"{NOTEBOOK}.ipynb")
    return root


def render(root, repository):
    return shell(f"BOOK_REPOSITORY={repository} jupyter-book build . -W -n --keep-going --all", cwd=root)


def rendered(root, page):
    """Without the checksums of style sheets, which Sphinx adds only where a build before has written them."""
    return re.sub(r"\?v=\w+", "", (root / "_build" / "html" / f"{page}.html").read_text())


def outside_links(root, page):
    return re.findall(r'href="(https://[^"]+)"', rendered(root, page))


def test_launch_buttons_need_the_repository(small_book):
    assert render(small_book, "").returncode == 0
    before = rendered(small_book, "book/index")
    assert outside_links(small_book, NOTEBOOK) == []

    assert render(small_book, "https://github.com/somebody/some.book").returncode == 0
    assert sorted(outside_links(small_book, NOTEBOOK)) == [
        f"https://colab.research.google.com/github/somebody/some.book/blob/main/{NOTEBOOK}.ipynb",
        f"https://mybinder.org/v2/gh/somebody/some.book/main?urlpath=lab/tree/{NOTEBOOK}.ipynb",
    ]
    assert rendered(small_book, "book/index") == before


def test_another_address_is_refused_in_one_line(small_book):
    result = render(small_book, "github.com/somebody/book")
    assert result.returncode == 1
    assert result.stdout.splitlines()[-1].startswith(
        "BOOK_REPOSITORY is 'github.com/somebody/book', and has to look like"
    )
    assert "Traceback" not in result.stdout


@pytest.mark.parametrize(
    "bad", ["somebody/book", "https://github.com/book", "https://github.com/a/b/", "https://x.org/a/b"]
)
def test_addresses_that_are_refused(bad):
    with pytest.raises(ValueError, match="https://github.com/OWNER/NAME"):
        launch_options(bad)


def test_the_page_cites_what_the_citation_file_says():
    [entry] = re.findall(r"```bibtex\n(.*?)```", (ROOT / "book" / "cite.md").read_text(), re.S)
    [cited] = parse_string(entry, "bibtex").entries.values()
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert cited.fields["title"] == citation["title"]
    assert cited.fields["version"] == citation["version"]
    assert cited.fields["year"] == str(citation["date-released"])[:4]
    names = [" ".join(person.last_names).strip("{}") for person in cited.persons["author"]]
    assert names == [author["name"] for author in citation["authors"]]


def test_every_work_has_a_doi():
    for key, entry in parse_file(ROOT / "book" / "references.bib").entries.items():
        doi, eprint = entry.fields.get("doi", ""), entry.fields.get("eprint")
        assert re.fullmatch(r"10\.\d{4,}/\S+", doi), key
        # arXiv makes its DOIs of its numbers, so these two must agree.
        assert "arXiv" not in doi or eprint in (None, doi.removeprefix("10.48550/arXiv.")), key
