"""What a teacher may be called: a network of this library, or one of the user's own. No torch here.

- ``resnet34_8x``: a network of the library, trained here; looked up by data set and name.
- ``path/to/weights.safetensors:resnet34_8x``: a file of trained weights, and the library's network they are for;
  ``.pt`` and ``.pth`` files are read too, as far as they hold weights and nothing else.
- ``torchvision:resnet50`` and ``timm:resnet50.a1_in1k``: pretrained weights, got through these libraries.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .catalogue import NETWORKS
from .errors import UserError, one_of, shown, text
from .files import at_home, project_folder

SUFFIXES = (".safetensors", ".pt", ".pth")
LIBRARIES = ("torchvision", "timm")


@dataclass(frozen=True)
class Source:
    """Where a teacher comes from."""

    kind: str  # ours | file | torchvision | timm
    network: str  # its name there
    path: Path | None = None  # of a file


def parse_teacher(value: Any, name: str = "teacher") -> Source:
    """Read a teacher's name, and check what can be checked before anything is loaded.

    A file is looked for from the current directory, then from the checkout's folder.

    Raises
    ------
    UserError
        for a network that is not known, a file that is not there, or a file without its network's name.
    """
    if not isinstance(value, str) or ":" not in value:
        if isinstance(value, str) and value.endswith(SUFFIXES):
            raise UserError(
                f"{name}: {shown(value)} does not say whose weights these are; "
                f"write {Path(value).name}:NETWORK, with one of {', '.join(NETWORKS)}"
            )
        return Source("ours", one_of(name, value, NETWORKS))
    kind, _, network = value.partition(":")
    if kind in LIBRARIES:
        return Source(kind, text(f"{name}: the name behind {kind}:", network))
    file, _, network = value.rpartition(":")
    if not file.endswith(SUFFIXES):
        raise UserError(
            f"{name}: {shown(value)} is not understood; write torchvision:NAME, timm:NAME, "
            f"or FILE:NETWORK with a file that ends in {', '.join(SUFFIXES)}"
        )
    one_of(f"{name}: the network of {Path(file).name}", network, NETWORKS)
    folders = [Path(), project_folder() or Path()]
    path = next((p for f in folders if os.path.isfile(p := f / at_home(name, file))), None)
    if path is None:
        told = file if file.isprintable() and len(file) < 1000 else shown(file)
        raise UserError(f"{name}: there is no file {told}; give the path of a file of weights")
    return Source("file", network, path)
