"""What is written in two places agrees: pins, versions, workflows, hooks, folders."""

import re
import shlex
import subprocess
import tomllib
from types import SimpleNamespace

import nbformat
import yaml
from chapters import CHAPTERS, ROOT, shell
from packaging.requirements import Requirement

from tools.lock import environment, pins

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LOCK = (ROOT / "requirements.lock").read_text()
ENVIRONMENT = (ROOT / "environment.yml").read_text()
FLOWS = {
    path.stem: yaml.safe_load(path.read_text())
    for path in (ROOT / ".github" / "workflows").glob("*.yml")
}


def steps(name):
    return [step for job in FLOWS[name]["jobs"].values() for step in job["steps"]]


def lines(name):
    return [line for step in steps(name) for line in step.get("run", "").split("\n")]


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


def test_one_version():
    """The changelog's newest entry, with its date, is what is cited and built."""
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    changelog = (ROOT / "CHANGELOG.md").read_text()
    entries = re.findall(r"^## \[(.+)\] - (\S+)$", changelog, re.M)
    assert entries[0] == (citation["version"], str(citation["date-released"]))
    assert citation["version"] == PROJECT["version"]


def test_only_colab_installs_and_it_installs_this_version():
    """A chapter's first cell; no name is left, for the next cell checks all names."""
    install = "pip", f"install -q {PROJECT['name']}=={PROJECT['version']}"
    for path in CHAPTERS:
        cells = nbformat.read(path.with_suffix(".ipynb"), as_version=4).cells
        cell = next(cell for cell in cells if cell.cell_type == "code")
        assert cell.metadata.tags == ["remove-cell"] and cell.outputs == [], path
        for place, wanted in (("ipykernel.zmqshell", []), ("google.colab", [install])):
            asked = []
            magic = lambda *call, asked=asked: asked.append(call)  # noqa: E731
            found = SimpleNamespace(place=place, run_line_magic=magic)
            namespace = {"get_ipython": lambda found=found: found}
            exec(cell.source, namespace)
            assert set(namespace) == {"get_ipython", "__builtins__"}, path
            assert asked == wanted, path


def test_the_readme_lists_every_folder():
    git = "git ls-files --cached --others --exclude-standard".split()
    listed = subprocess.run(git, cwd=ROOT, capture_output=True, text=True, check=True)
    folders = {line.split("/")[0] for line in listed.stdout.split("\n") if "/" in line}
    folders = {name for name in folders if (ROOT / name).is_dir() and name[0] != "."}
    readme = (ROOT / "README.md").read_text()
    assert folders == set(re.findall(r"^\| `(\w+)/` \|", readme, re.M))


def test_a_workflow_may_only_read_and_names_targets_that_exist():
    """A tag is compared with the version; a fresh install takes the lock's ruff."""
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))
    for name, flow in FLOWS.items():
        assert flow["permissions"] == {"contents": "read"}
        assert flow[True]  # YAML 1.1 reads `on` as a truth value
        for step in steps(name):
            assert ("run" in step) != ("uses" in step)
            assert re.search(r"@(v\d+|release/v\d+)$", step.get("uses", "@v1")), step
        made = [shlex.split(line)[1] for line in lines(name) if line[:5] == "make "]
        assert set(made) <= targets
    assert ".ci/run" in lines("ci") and {"make run", "make test"} <= set(lines("fresh"))
    [checkout] = [s for s in steps("ci") if "checkout" in s.get("uses", "")]
    assert checkout["with"] == {"fetch-depth": 0}  # each record's commit is looked up
    built = {"make book", "python -m build", "twine check --strict dist/*"}
    assert built <= set(lines("publish"))
    [book] = [step for step in steps("publish") if step.get("run") == "make book"]
    repository = "${{ github.server_url }}/${{ github.repository }}"
    assert book["env"] == {"BOOK_REPOSITORY": repository}
    found = [re.search(r'"\$\((.*)\)"', line) for line in lines("fresh")]
    [expression] = [match[1] for match in found if match]
    assert shell(expression, cwd=ROOT).stdout.strip() in pins(LOCK)
    [line] = [line for line in lines("publish") if "GITHUB_REF_NAME" in line]
    for tag, status in ((f"v{PROJECT['version']}", 0), ("v9.9.9", 1)):
        done = shell(f"export GITHUB_REF_NAME={tag}; {line}", cwd=ROOT)
        assert done.returncode == status


def test_python_and_torch_are_the_lowest_that_are_promised():
    versions = FLOWS["ci"]["jobs"]["test"]["strategy"]["matrix"]["python"]
    assert f">={versions[0]}" == PROJECT["requires-python"]
    [line] = [line for line in lines("fresh") if "torch==" in line]
    asked = [Requirement(word) for word in shlex.split(line) if "==" in word]
    floors = {Requirement(text).name: text for text in PROJECT["dependencies"]}
    assert {r.name for r in asked} == {"torch", "torchvision"}
    for wanted in asked:
        assert str(wanted) == floors[wanted.name].replace(">=", "==") + ".*"


def test_hooks():
    """pre-commit's ruff is the lock's, and the test that it runs is there."""
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    [ruff] = [repo for repo in hooks if repo["repo"].endswith("/ruff-pre-commit")]
    assert f"ruff=={ruff['rev'].removeprefix('v')}" in pins(LOCK)
    [[chapters]] = [repo["hooks"] for repo in hooks if repo["repo"] == "local"]
    test, name = re.search(r"(tests/\S+) -k (\w+)", chapters["entry"]).groups()
    text = (ROOT / test).read_text()
    assert re.search(rf"def test_a_stored\w*{name}\w*\(chapter", text)
    assert re.search(chapters["files"], "book/03_mad.py")
    assert not re.search(chapters["files"], "book/index.md")
