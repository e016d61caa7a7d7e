"""What the rendered book needs of Sphinx beyond _config.yml, which loads this file as an extension.

    BOOK_REPOSITORY=https://github.com/OWNER/NAME make book

puts buttons on the notebooks' pages that open them on Binder and on Colab, from the branch main.
Without the variable there are none: a copy of the book does not know where it was published.
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
    """The theme's options for launch buttons, none for an empty address. Raises ValueError for one not on GitHub."""
    if not repository:
        return {}
    if not REPOSITORY.fullmatch(repository):
        raise ValueError(
            f"{VARIABLE} is {repository!r}, and has to look like https://github.com/OWNER/NAME. "
            "Unset it to render the book without launch buttons."
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
        sys.exit(str(error))  # any other exception is shown with the stack of the whole build


def name_list_items(app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: object) -> None:
    """In docutils' list of references the items have a role that ARIA has withdrawn: no item is then announced."""
    if "body" in context:
        context["body"] = context["body"].replace('role="doc-biblioentry"', 'role="listitem"')


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("config-inited", add_launch_options)
    app.connect("html-page-context", name_list_items)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
