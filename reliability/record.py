"""The records of what was tried: with command, commit and versions, as those of the runs."""

import json
from pathlib import Path
from typing import Any

from dfkd_lib import results
from dfkd_lib.files import write_atomically
from dfkd_lib.machine import hardware, versions

RECORDS = Path(__file__).parent / "records"


def write(name: str, command: str, found: dict[str, Any]) -> Path:
    """Keep what was found, under a name; it takes the place of the one before."""
    known = {"command": command, "commit": results.commit(), "hardware": hardware("cpu"), "versions": versions()}
    path = RECORDS / f"{name}.json"
    write_atomically(path, json.dumps(known | found, indent=1) + "\n")
    return path
