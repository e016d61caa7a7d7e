"""Pin every dependency: writes requirements.lock (pip) and environment.yml (conda).

    make lock                              # follow pyproject.toml, move nothing else
    .venv/bin/python tools/lock.py --upgrade   # take the newest versions

Arguments are passed on to uv, which must be installed (`pip install uv`).
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

ENVIRONMENT = """\
# Written by tools/lock.py; the pins are those of requirements.lock.
name: distillation-without-data
channels:
  - conda-forge
dependencies:
  - python=3.12
  - pip
  - pip:
{pins}
      - -e .
"""


def pins(lock: str) -> list[str]:
    """The requirements of a lock, without hashes: "name==version", perhaps a marker."""
    lines = [line for line in lock.splitlines() if line[:1].isalnum()]
    return [line.removesuffix("\\").strip() for line in lines]


def environment(lock: str) -> str:
    """The conda environment that installs what the lock installs."""
    # JSON strings are YAML strings; markers hold quotes, so every pin is quoted.
    return ENVIRONMENT.format(
        pins="\n".join(f"      - {json.dumps(pin)}" for pin in pins(lock))
    )


def main(uv_arguments: list[str]) -> None:
    if not shutil.which("uv"):
        sys.exit("tools/lock.py needs uv: pip install uv")
    command = "uv pip compile pyproject.toml --output-file requirements.lock --quiet"
    command += " --constraints tools/constraints.txt --all-extras --universal"
    command += " --python-version 3.11 --generate-hashes --no-header --no-annotate"
    subprocess.run([*command.split(), *uv_arguments], cwd=ROOT, check=True)
    lock = (ROOT / "requirements.lock").read_text()
    (ROOT / "environment.yml").write_text(environment(lock))
    print(f"{len(pins(lock))} pins in requirements.lock and environment.yml")


if __name__ == "__main__":
    main(sys.argv[1:])
