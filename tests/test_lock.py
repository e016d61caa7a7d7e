"""pip and conda install the same pins, and those meet pyproject.toml."""

import re
import tomllib

import yaml
from chapters import ROOT
from packaging.requirements import Requirement

from tools.lock import environment, pins

LOCK = (ROOT / "requirements.lock").read_text()
ENVIRONMENT = (ROOT / "environment.yml").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_pip_and_conda_install_the_same_pins_by_their_hashes_from_no_address():
    dependencies = yaml.safe_load(ENVIRONMENT)["dependencies"]
    [pip] = [part["pip"] for part in dependencies if isinstance(part, dict)]
    assert pip == [*pins(LOCK), "-e ."]
    assert environment(LOCK) == ENVIRONMENT
    requirements = re.split(r"\n(?! )", LOCK.strip())
    assert len(requirements) == len(pins(LOCK))
    form = r"[\w.-]+==[\w.]+( ; .*)? \\\n +--hash=sha256:[0-9a-f]{64}"
    assert all(re.match(form, requirement) for requirement in requirements)
    address = r"://|https?:|www\.|--(extra-)?index|--find-links|^-[if] | @ "
    assert not re.search(address, LOCK + ENVIRONMENT, re.M)


def test_the_lock_meets_every_requirement():
    pinned: dict[str, list[str]] = {}
    for requirement in map(Requirement, pins(LOCK)):
        version = str(requirement.specifier).removeprefix("==")
        pinned.setdefault(requirement.name, []).append(version)
    extras = PROJECT["optional-dependencies"].values()
    for wanted in map(Requirement, sum(extras, PROJECT["dependencies"])):
        versions = pinned.get(wanted.name, [])
        assert versions and all(map(wanted.specifier.contains, versions)), wanted
