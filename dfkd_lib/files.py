"""Files that are written whole or not at all, and this project's folders."""

import contextlib
import glob
import os
import secrets
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from .errors import UserError, shown


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write under another name, then rename: no reader ever sees half of a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}")
    try:
        with open(temporary, "xb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())  # else a crash could keep the name, not the data
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def writable_folder(name: str, path: Path) -> Path:
    """The folder, made if need be, after a trial; `name` is the parameter."""
    trial = path / f".trial-{os.getpid()}"
    try:
        write_atomically(trial, bytes(65_536))  # a full disk takes empty files
        trial.unlink()
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        why = f"cannot write to {path} ({getattr(error, 'strerror', None) or error})"
        raise UserError(f"{name}: {why}; give another folder") from error
    return path


def remove_leftovers(path: Path) -> None:
    """Delete what `write_atomically` began when its process was killed."""
    for file in path.parent.glob(f".{glob.escape(path.name)}.*"):
        file.unlink(missing_ok=True)


@contextlib.contextmanager
def locked(path: Path, busy: str, *, wait: bool = False) -> Iterator[None]:
    """Hold a file's lock; if it is held, `busy` is raised, or, to `wait`, printed."""
    try:
        lock = FileLock(path).acquire(blocking=False)
    except Timeout as error:
        if not wait:
            raise UserError(busy) from error
        print(busy, file=sys.stderr, flush=True)
        lock = FileLock(path).acquire()
    with lock:
        yield


def output_folder(output_dir: str) -> Path:
    """A writable output folder; a relative path starts at the checkout."""
    root = project_folder() or Path.cwd()
    return writable_folder("output_dir", root / at_home("output_dir", output_dir))


def at_home(name: str, path: str | Path) -> Path:
    """The path, with a leading ~ expanded; `name` is the parameter it was given as."""
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        line = f"{name}: {shown(str(path))} is nobody's folder; give a whole path"
        raise UserError(line) from error


def cache_folder() -> Path:
    """Downloads and trained teachers: ``$DFKD_CACHE``, or the user's cache folder.

    A user without a home, as in a container, has one below the temporary files.
    """
    home = os.path.expanduser("~")
    usual = f"{home}/.cache/dfkd_lib"
    if not os.path.isabs(home):
        usual = f"{tempfile.gettempdir()}/dfkd_lib-{os.getuid()}"
    return at_home("DFKD_CACHE", os.environ.get("DFKD_CACHE") or usual)


def project_folder() -> Path | None:
    """The checkout this package is used from; None if it was installed."""
    folder = Path(__file__).resolve().parent.parent
    found = (folder / "book").is_dir() and (folder / "pyproject.toml").is_file()
    return folder if found else None
