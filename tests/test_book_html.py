"""Launch buttons only where the repository is named; the citation is CITATION.cff's."""

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
    """A page and a notebook, rendered by the book's own _config.yml."""
    root = tmp_path_factory.mktemp("small")
    for name in ("book/vendor", "tools"):
        shutil.copytree(ROOT / name, root / name)
    for name in ("_config.yml", "book/references.bib"):
        shutil.copy2(ROOT / name, root / name)
    (root / "_toc.yml").write_text(TOC)
    (root / "book" / "index.md").write_text("# A page\n")
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    cells = [new_markdown_cell("# A chapter"), new_code_cell("1")]
    notebook = new_notebook(cells=cells, metadata={"kernelspec": kernel})
    nbformat.write(notebook, root / f"{NOTEBOOK}.ipynb")
    return root


def render(root, repository):
    build = "jupyter-book build . -W -n --keep-going --all"
    return shell(f"BOOK_REPOSITORY={repository} {build}", cwd=root)


def outside_links(root, page):
    html = (root / "_build" / "html" / f"{page}.html").read_text()
    return sorted(re.findall(r'href="(https://[^"]+)"', html))


def test_launch_buttons_need_the_repository(small_book):
    done = render(small_book, "")
    assert done.returncode == 0, done.stdout
    assert outside_links(small_book, NOTEBOOK) == []

    assert render(small_book, "https://github.com/somebody/some.book").returncode == 0
    colab = "https://colab.research.google.com/github/somebody/some.book/blob/main"
    binder = "https://mybinder.org/v2/gh/somebody/some.book/main?urlpath=lab/tree"
    wanted = [f"{place}/{NOTEBOOK}.ipynb" for place in (colab, binder)]
    assert outside_links(small_book, NOTEBOOK) == wanted
    assert outside_links(small_book, "book/index") == []


def test_another_address_is_refused_in_one_line(small_book):
    result = render(small_book, "github.com/somebody/book")
    assert result.returncode == 1
    line = "BOOK_REPOSITORY is 'github.com/somebody/book'; it has to look like"
    assert result.stdout.splitlines()[-1].startswith(line)
    assert "Traceback" not in result.stdout


@pytest.mark.parametrize(
    "bad", ["somebody/book", "https://github.com/a/b/", "https://x.org/a/b"]
)
def test_addresses_that_are_refused(bad):
    with pytest.raises(ValueError, match="https://github.com/OWNER/NAME"):
        launch_options(bad)


def test_the_page_cites_what_the_citation_file_says():
    page = (ROOT / "book" / "cite.md").read_text()
    [entry] = re.findall(r"```bibtex\n(.*?)```", page, re.S)
    [cited] = parse_string(entry, "bibtex").entries.values()
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert cited.fields["title"] == citation["title"]
    assert cited.fields["version"] == citation["version"]
    assert cited.fields["year"] == str(citation["date-released"])[:4]
    names = [" ".join(p.last_names).strip("{}") for p in cited.persons["author"]]
    assert names == [author["name"] for author in citation["authors"]]


def test_every_work_has_a_doi():
    for key, entry in parse_file(ROOT / "book" / "references.bib").entries.items():
        doi, eprint = entry.fields.get("doi", ""), entry.fields.get("eprint")
        assert re.fullmatch(r"10\.\d{4,}/\S+", doi), key
        # arXiv makes its DOIs of its numbers, so these two must agree.
        number = doi.removeprefix("10.48550/arXiv.")
        assert "arXiv" not in doi or eprint in (None, number), key
