"""Downloads through torchvision, whole or not at all."""

import contextlib
import os
import shutil
import socket
import sys
import tempfile
from pathlib import Path

from .errors import first_line
from .layouts import torchvision_dataset
from .sources import Place, missing

_PATIENCE = 30  # seconds without an answer; torchvision itself would wait for ever


def download(name: str, root: Path) -> Place:
    """Bring a data set into the folder `root`, in torchvision's layout; torchvision compares the MD5 sums.

    It is made in a folder beside and then moved, so that what a killed download leaves is never taken for the data.
    Progress goes to stderr.

    Raises
    ------
    UserError
        if that fails, for whatever reason: says which file would do.
    """
    print(f"dataset {name}: downloading into {root}, through torchvision", file=sys.stderr)
    patience = socket.getdefaulttimeout()
    try:
        root.mkdir(parents=True, exist_ok=True)
        socket.setdefaulttimeout(_PATIENCE)
        with tempfile.TemporaryDirectory(dir=root, prefix=f".{name}.") as beside:
            with contextlib.redirect_stdout(sys.stderr):  # stdout belongs to the caller's results
                for part in ("train", "test"):
                    torchvision_dataset(name, Path(beside), part, download=True)
            # File by file into folders that may be there: another process may have brought the same.
            shutil.copytree(beside, root, dirs_exist_ok=True, copy_function=os.replace)
    except Exception as error:  # of the network, the server, an archive, the disk
        raise missing(name, f"and its download failed ({first_line(error)})") from error
    finally:
        socket.setdefaulttimeout(patience)
    return Place("torchvision", root)
