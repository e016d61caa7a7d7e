"""Files that are written whole or not at all, and the folder of this project."""

import os
import tempfile
from pathlib import Path

from .errors import UserError


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


def writable_folder(name: str, path: Path) -> Path:
    """The folder, made if need be, after a trial: what cannot be written should be known before a run and not after.

    Raises
    ------
    UserError
        if nothing can be written there.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=path).close()
    except OSError as error:
        raise UserError(f"{name}: cannot write to {path} ({error.strerror}); give one that can be written") from error
    return path


def output_folder(output_dir: str) -> Path:
    """An output folder that can be written; a relative one lies in the checkout, wherever the run was started from."""
    return writable_folder("output_dir", (project_folder() or Path.cwd()) / output_dir)


def project_folder() -> Path | None:
    """The checkout this package is used from, where records and outputs have their place; None if it was installed."""
    folder = Path(__file__).resolve().parent.parent
    return folder if (folder / "book").is_dir() and (folder / "pyproject.toml").is_file() else None
