"""Launch buttons only where the repository is named; the citation is CITATION.cff's."""

import re
import shutil
from types import SimpleNamespace

import nbformat
import pytest
import yaml
from chapters import ROOT, shell
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from pybtex.database import parse_file, parse_string

from tools.book_html import add_launch_options

NOTEBOOK = "book/03_mad"
TOC = f"format: jb-book\nroot: book/index\nchapters:\n  - file: {NOTEBOOK}\n"
ADDRESS = "https://github.com/somebody/some.book"


def test_a_named_repository_gives_launch_buttons_to_notebooks(tmp_path):
    """A page and a notebook, rendered by the book's own _config.yml."""
    for name in ("book/static", "tools"):
        shutil.copytree(ROOT / name, tmp_path / name)
    for name in ("_config.yml", "book/references.bib"):
        shutil.copy2(ROOT / name, tmp_path / name)
    (tmp_path / "_toc.yml").write_text(TOC)
    (tmp_path / "book" / "index.md").write_text("# A page\n")
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    cells = [new_markdown_cell("# A chapter"), new_code_cell("1")]
    notebook = new_notebook(cells=cells, metadata={"kernelspec": kernel})
    nbformat.write(notebook, tmp_path / f"{NOTEBOOK}.ipynb")
    build = f"BOOK_REPOSITORY={ADDRESS} jupyter-book build . -W -n --keep-going --all"
    done = shell(build, cwd=tmp_path)
    assert done.returncode == 0, done.stdout

    def outside_links(page):
        html = (tmp_path / "_build" / "html" / f"{page}.html").read_text()
        return sorted(re.findall(r'href="(https://[^"]+)"', html))

    colab = "https://colab.research.google.com/github/somebody/some.book/blob/main"
    binder = "https://mybinder.org/v2/gh/somebody/some.book/main?urlpath=lab/tree"
    wanted = [f"{place}/{NOTEBOOK}.ipynb" for place in (colab, binder)]
    assert outside_links(NOTEBOOK) == wanted and outside_links("book/index") == []


def test_without_an_address_nothing_is_set_and_a_wrong_one_is_refused(monkeypatch):
    def options(address):
        monkeypatch.setenv("BOOK_REPOSITORY", address)
        config = SimpleNamespace(html_theme_options={})
        add_launch_options(None, config)
        return config.html_theme_options

    assert options("") == {} != options(ADDRESS)
    for bad in ("somebody/book", "https://github.com/a/b/", "https://x.org/a/b"):
        with pytest.raises(SystemExit) as caught:
            options(bad)
        line = f"BOOK_REPOSITORY is '{bad}'; it has to look like https://github.com/"
        assert str(caught.value).startswith(line)


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
