"""What pip builds: the whole library, the committed records with it, one version."""

import json
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import venv
import zipfile

import pytest
from chapters import ROOT, fresh_checkout, shell

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
VERSION = PROJECT["project"]["version"]
PACKAGES = PROJECT["tool"]["setuptools"]["packages"]
SOURCES = {str(p.relative_to(ROOT)) for p in (ROOT / "dfkd_lib").glob("**/*.py")}
ASSETS = {str(p.relative_to(ROOT)) for p in (ROOT / "dfkd_lib").glob("**/assets/*")}
DATA = {  # where it is here, and in the wheel
    "benchmarks/records": "dfkd_lib/benchmarks/records",
    "results": "dfkd_lib/results",
    "book/papers": "dfkd_lib/lab/tables",
}
FILES = {here: {p.name for p in (ROOT / here).glob("*.*")} for here in DATA}


def test_every_package_of_the_library_is_listed():
    inits = (ROOT / "dfkd_lib").rglob("__init__.py")
    names = {".".join(path.parent.relative_to(ROOT).parts) for path in inits}
    names |= {name.replace("/", ".") for name in DATA.values()}
    assert sorted(names) == PACKAGES


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A wheel and an sdist, of a copy: setuptools leaves its own folders behind."""
    folder = tmp_path_factory.mktemp("built")
    checkout = fresh_checkout(folder / "checkout")
    where = str(folder)
    build = f"from setuptools.build_meta import *; build_sdist({where!r}); "
    command = [sys.executable, "-c", build + f"build_wheel({where!r})"]
    subprocess.run(command, cwd=checkout, check=True, capture_output=True)
    [wheel], [sdist] = folder.glob("*.whl"), folder.glob("*.tar.gz")
    return wheel, sdist


@pytest.mark.slow
def test_the_wheel_and_the_sdist_hold_library_records_and_tables(built):
    names = zipfile.ZipFile(built[0]).namelist()
    data = {f"{DATA[here]}/{name}" for here, names in FILES.items() for name in names}
    found = {name for name in names if ".dist-info/" not in name}
    assert found == SOURCES | ASSETS | data

    with tarfile.open(built[1]) as archive:
        files = {m.name.split("/", 1)[1] for m in archive if m.isfile()}
    files = {name for name in files if not name.startswith("dfkd_lib.egg-info/")}
    told = {"README.md", "LICENSE", "CHANGELOG.md", "CITATION.cff"}
    made = {"PKG-INFO", "setup.cfg", "pyproject.toml", "MANIFEST.in"}
    data = {f"{here}/{name}" for here, names in FILES.items() for name in names}
    assert files == SOURCES | ASSETS | data | told | made


@pytest.mark.slow
def test_the_wheel_distils_outside_a_checkout(built, tmp_path):
    """Other packages are this Python's: nothing is downloaded."""
    venv.create(tmp_path / "env")
    python = tmp_path / "env" / "bin" / "python"
    lib = tmp_path / "env" / "lib" / f"python{sysconfig.get_python_version()}"
    # The .pth of the editable dfkd_lib in that folder is not read.
    (lib / "site-packages" / "shared.pth").write_text(sysconfig.get_path("purelib"))
    pip = [sys.executable, "-m", "pip", "--python", python, "install"]
    options = ["--no-deps", "--no-index", built[0]]
    subprocess.run([*pip, *options], check=True, capture_output=True)

    def run(line):
        result = shell(f"unset PYTHONPATH; {python} {line}", cwd=tmp_path)
        assert result.returncode == 0, result.stdout
        return result.stdout

    asked = (
        "import dfkd_lib; from dfkd_lib.lab import papers; print(dfkd_lib.__file__, "
    )
    asked += "len(dfkd_lib.load_records()), len(papers.SYSTEMS))"
    where, records, systems = run(f'-c "{asked}"').split()
    lines = [p.read_text().splitlines() for p in (ROOT / "results").glob("*.jsonl")]
    assert where.startswith(str(tmp_path)) and int(systems) > 0
    assert int(records) == sum(map(len, lines)) > 0

    run("-m dfkd_lib.run --method mad --dataset digits --device cpu --set stages=3")
    [record] = (tmp_path / "output").glob("*.json")
    made = json.loads(record.read_text())
    assert (made["versions"]["dfkd_lib"], made["commit"]) == (VERSION, "unknown")
    assert record.with_suffix(".safetensors").is_file()
