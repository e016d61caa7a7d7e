"""Files that are written whole or not at all, and the folder of this project."""

import contextlib
import fcntl
import glob
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from .errors import UserError, shown


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a file under another name beside its place, then rename: no reader ever sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = content.encode() if isinstance(content, str) else content
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())  # else a machine that stops could keep the new name and lose what it names
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
        with tempfile.TemporaryFile(dir=path) as trial:
            trial.write(bytes(65_536))  # an empty file can be made on a full disk
            trial.flush()
            os.fsync(trial.fileno())
    except (OSError, ValueError) as error:  # ValueError: no path at all, as with a NUL in it
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{name}: cannot write to {path} ({reason}); give one that can be written") from error
    return path


def remove_leftovers(path: Path) -> None:
    """Delete what `write_atomically` had begun of a file when its process was killed."""
    for file in path.parent.glob(f".{glob.escape(path.name)}.*"):
        file.unlink(missing_ok=True)


@contextlib.contextmanager
def locked(path: Path, busy: str, *, wait: bool = False) -> Iterator[None]:
    """Hold a file's lock; it ends with the process, however that ends. The file stays, empty.

    `busy` is the line for somebody who finds it held: an error, or, with `wait`, printed before waiting.

    Raises
    ------
    UserError
        if another process holds it, and `wait` is false; or if files cannot be made or locked there.
    """
    with contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context(path.open("w"))
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if not wait:
                raise UserError(busy) from error
            print(busy, file=sys.stderr, flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError as error:
            raise UserError(f"{path} cannot be locked ({error.strerror}); give another folder") from error
        yield


def output_folder(output_dir: str) -> Path:
    """An output folder that can be written; a relative one lies in the checkout, wherever the run was started from."""
    return writable_folder("output_dir", (project_folder() or Path.cwd()) / at_home("output_dir", output_dir))


def at_home(name: str, path: str | Path) -> Path:
    """The path, with a leading ~ read as a shell reads it: shells leave it to us behind a sign of equality.

    Raises
    ------
    UserError
        if that is nobody's home; `name` is what was given so.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise UserError(f"{name}: {shown(str(path))} is nobody's folder on this machine; give a whole path") from error


def cache_folder() -> Path:
    """What is downloaded or trained is kept here: ``$DFKD_CACHE``, or the user's cache folder."""
    return at_home("DFKD_CACHE", os.environ.get("DFKD_CACHE") or "~/.cache/dfkd_lib")


def project_folder() -> Path | None:
    """The checkout this package is used from, where records and outputs have their place; None if it was installed."""
    folder = Path(__file__).resolve().parent.parent
    return folder if (folder / "book").is_dir() and (folder / "pyproject.toml").is_file() else None
