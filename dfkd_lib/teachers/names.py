"""How a teacher is named: a network of the library, or one of your own.

- ``resnet34_8x``: a network of the library, trained here on the data set of the run.
- ``path/to/weights.safetensors:resnet34_8x``: a file of weights and the library's
  network that they belong to. Files of other endings may hold weights, numbers and
  options, and nothing that would be executed.
- ``torchvision:resnet50``, ``timm:resnet50.a1_in1k``: pretrained weights.
"""

import os
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import UserError, one_of, shown, text
from ..files import at_home, project_folder
from ..models import CLASSIFIERS

SUFFIXES = (".safetensors", ".pt", ".pth", ".pth.tar", ".ckpt", ".bin")
LIBRARIES = ("torchvision", "timm")


class Source(NamedTuple):
    """Where a teacher comes from."""

    kind: str  # ours | file | torchvision | timm
    network: str  # its name there
    path: Path | None = None  # of a file


def parse_teacher(value: Any, name: str = "teacher") -> Source:
    """Read a teacher's name; a file lies in the current folder or in the checkout."""
    kind, colon, network = str(value).rpartition(":")
    if kind in LIBRARIES:
        return Source(kind, text(f"{name}: the name after {kind}:", network))
    if kind.lower().endswith(SUFFIXES):
        one_of(f"{name}: the network of {Path(kind).name}", network, CLASSIFIERS)
        for folder in (Path(), project_folder() or Path()):
            # os.path: pathlib raises an error for a name with a NUL.
            if os.path.isfile(path := folder / at_home(name, kind)):
                return Source("file", network, path)
        raise UserError(f"{name}: there is no file {shown(kind)}; give one of weights")
    if colon or str(value).lower().endswith(SUFFIXES):
        raise UserError(
            f"{name}: {shown(value)} is not understood; write torchvision:NAME, timm:"
            f"NAME, or FILE:NETWORK; files end in {', '.join(SUFFIXES)}; networks are "
            f"{', '.join(CLASSIFIERS)}"
        )
    return Source("ours", one_of(name, value, CLASSIFIERS))
