"""Sphinx extension: what the rendered book needs besides _config.yml.

    BOOK_REPOSITORY=https://github.com/OWNER/NAME make book

adds buttons to the pages of notebooks that open them on Binder and on Colab, from the
branch main. Without the variable there are none, because a copy of the book does not
know where it was published.
"""

import os
import re
import sys
from typing import Any

from sphinx.application import Sphinx
from sphinx.config import Config

VARIABLE = "BOOK_REPOSITORY"
REPOSITORY = re.compile(r"https://github\.com/[\w.-]+/[\w.-]+")


def launch_options(repository: str) -> dict[str, Any]:
    """The theme's options for launch buttons; none for an empty address.

    A ValueError for an address that is not on GitHub.
    """
    if not repository:
        return {}
    if not REPOSITORY.fullmatch(repository):
        raise ValueError(
            f"{VARIABLE} is {repository!r}; it has to look like "
            "https://github.com/OWNER/NAME. Unset it to render the book without "
            "launch buttons."
        )
    return {
        "repository_url": repository,
        "repository_branch": "main",
        "launch_buttons": {
            "notebook_interface": "jupyterlab",
            "binderhub_url": "https://mybinder.org",
            "colab_url": "https://colab.research.google.com",
        },
    }


def add_launch_options(app: Sphinx, config: Config) -> None:
    try:
        config.html_theme_options |= launch_options(os.environ.get(VARIABLE, ""))
    except ValueError as error:
        sys.exit(str(error))  # other exceptions are shown with the whole stack


def name_list_items(
    app: Sphinx,
    pagename: str,
    templatename: str,
    context: dict[str, Any],
    doctree: object,
) -> None:
    """Name the items of docutils' list of references for screen readers.

    docutils gives them a role that ARIA has withdrawn, so no item is announced.
    """
    if "body" in context:
        old, new = 'role="doc-biblioentry"', 'role="listitem"'
        context["body"] = context["body"].replace(old, new)


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("config-inited", add_launch_options)
    app.connect("html-page-context", name_list_items)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
