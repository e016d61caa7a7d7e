"""Files that are written whole or not at all, and the folder of this project."""

import os
import tempfile
from pathlib import Path


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a file under another name beside its place, then rename: no reader ever sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = content.encode() if isinstance(content, str) else content
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.chmod(temporary, 0o644)  # mkstemp's files are private; a result is not
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def project_folder() -> Path | None:
    """The checkout this package is used from, where records and outputs have their place; None if it was installed."""
    folder = Path(__file__).resolve().parent.parent
    return folder if (folder / "book").is_dir() and (folder / "pyproject.toml").is_file() else None
