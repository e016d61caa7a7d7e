"""pip and conda install the same pinned versions, and those are what pyproject.toml asks for."""

import re
import tomllib

import pytest
import yaml
from chapters import ROOT
from packaging.requirements import Requirement

from tools.lock import environment, pins

LOCK = (ROOT / "requirements.lock").read_text()
ENVIRONMENT = (ROOT / "environment.yml").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
WANTED = sum(PROJECT["optional-dependencies"].values(), PROJECT["dependencies"])


def test_environment_holds_the_pins_of_the_lock():
    [pip] = [d["pip"] for d in yaml.safe_load(ENVIRONMENT)["dependencies"] if isinstance(d, dict)]
    assert pip == [*pins(LOCK), "-e ."]
    assert environment(LOCK) == ENVIRONMENT


def test_every_requirement_is_a_pin_with_hashes():
    requirements = re.split(r"\n(?! )", LOCK.strip())
    assert len(requirements) == len(pins(LOCK))
    for requirement in requirements:
        assert re.match(r"[\w.-]+==[\w.]+( ; .*)? \\\n +--hash=sha256:[0-9a-f]{64}", requirement)


@pytest.mark.parametrize("text", [LOCK, ENVIRONMENT], ids=["lock", "environment"])
def test_no_address(text):
    assert not re.search(r"://|https?:|www\.|--(extra-)?index|--find-links|^-[if] | @ ", text, re.M)


@pytest.mark.parametrize("wanted", WANTED)
def test_lock_meets_the_requirement(wanted):
    wanted = Requirement(wanted)
    pinned = [Requirement(pin) for pin in pins(LOCK)]
    versions = [str(p.specifier).removeprefix("==") for p in pinned if p.name == wanted.name]
    assert versions
    assert all(wanted.specifier.contains(version) for version in versions)
