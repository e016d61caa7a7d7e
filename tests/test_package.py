"""What pip builds: the whole library, the committed records with it, and one version everywhere."""

import json
import re
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import venv
import zipfile

import pytest
import yaml
from chapters import ROOT, fresh_checkout, shell

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
VERSION = PROJECT["project"]["version"]
RECORDS = {str(path.relative_to(ROOT / "results")) for path in (ROOT / "results").glob("**/*.json")}
SOURCES = {str(path.relative_to(ROOT)) for path in (ROOT / "dfkd_lib").glob("**/*.py")}
ASSETS = {str(path.relative_to(ROOT)) for path in (ROOT / "dfkd_lib" / "assets").iterdir()}


def test_every_package_of_the_library_is_listed():
    found = {".".join(path.parent.relative_to(ROOT).parts) for path in (ROOT / "dfkd_lib").glob("**/__init__.py")}
    assert sorted(found | {"dfkd_lib.records"}) == PROJECT["tool"]["setuptools"]["packages"]


def test_one_version():
    """The changelog's newest entry, with its date, is what is cited and what is built."""
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    entries = re.findall(r"^## \[(.+)\] - (\S+)$", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert entries[0] == (citation["version"], str(citation["date-released"]))
    assert citation["version"] == VERSION


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A wheel and an sdist, of a copy: setuptools leaves its own folders behind."""
    folder = tmp_path_factory.mktemp("built")
    checkout = fresh_checkout(folder / "checkout")
    build = f"from setuptools.build_meta import *; build_sdist({str(folder)!r}); build_wheel({str(folder)!r})"
    subprocess.run([sys.executable, "-c", build], cwd=checkout, check=True, capture_output=True)
    [wheel], [sdist] = folder.glob("*.whl"), folder.glob("*.tar.gz")
    return wheel, sdist


@pytest.mark.slow
def test_the_wheel_holds_the_library_and_the_records(built):
    names = {name for name in zipfile.ZipFile(built[0]).namelist() if ".dist-info/" not in name}
    assert names == SOURCES | ASSETS | {f"dfkd_lib/records/{name}" for name in RECORDS}


@pytest.mark.slow
def test_the_sdist_holds_what_builds_the_wheel(built):
    with tarfile.open(built[1]) as archive:
        files = {member.name.split("/", 1)[1] for member in archive if member.isfile()}
    files = {name for name in files if not name.startswith("dfkd_lib.egg-info/")}
    told = {"README.md", "LICENSE", "CHANGELOG.md", "CITATION.cff"}
    made = {"PKG-INFO", "setup.cfg", "pyproject.toml", "MANIFEST.in"}
    assert files == SOURCES | ASSETS | {f"results/{name}" for name in RECORDS} | told | made


@pytest.fixture(scope="module")
def installed(built, tmp_path_factory):
    """Runs a line in a folder with no checkout, by a Python that has the wheel, and this one's other packages."""
    home = tmp_path_factory.mktemp("home")
    venv.create(home / "env")
    python = home / "env" / "bin" / "python"
    shared = home / "env" / "lib" / f"python{sysconfig.get_python_version()}" / "site-packages" / "shared.pth"
    shared.write_text(sysconfig.get_path("purelib"))  # of which the editable dfkd_lib's own .pth is not read
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index", built[0]]
    subprocess.run(pip, check=True, capture_output=True)

    def run(line):
        result = shell(f"unset PYTHONPATH; {python} {line}", cwd=home)
        assert result.returncode == 0, result.stdout
        return result.stdout

    run.home = home
    return run


@pytest.mark.slow
def test_the_wheel_has_the_records(installed):
    """As a chapter that runs with nothing but the wheel wants them."""
    where = installed('-c "import dfkd_lib; print(dfkd_lib.__file__)"')
    assert where.startswith(str(installed.home))
    count = "import dfkd_lib; print(len(dfkd_lib.load_records()), dfkd_lib.load_records(method='mad')[0]['method'])"
    assert installed(f'-c "{count}"').split() == [str(len(RECORDS)), "mad"]


@pytest.mark.slow
def test_the_wheel_distils(installed):
    assert "mad" in installed("-m dfkd_lib.run list")
    installed("-m dfkd_lib.run --method mad --dataset digits --seed 0 --set stages=3 --device cpu")
    [record] = (installed.home / "output").glob("*.json")
    made = json.loads(record.read_text())
    assert (made["versions"]["dfkd_lib"], made["commit"]) == (VERSION, "unknown")
    assert record.with_suffix(".safetensors").is_file()
