"""GitHub's workflows and pre-commit's hooks name what is there, at the lock's pins."""

import re
import shlex
import subprocess
import tomllib

import yaml
from chapters import ROOT, shell
from packaging.requirements import Requirement

from tools.lock import pins

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PINS = pins((ROOT / "requirements.lock").read_text())
TARGETS = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))
FLOWS = {
    path.stem: yaml.safe_load(path.read_text())
    for path in (ROOT / ".github" / "workflows").glob("*.yml")
}


def steps(name):
    return [step for job in FLOWS[name]["jobs"].values() for step in job["steps"]]


def lines(name):
    return [line for step in steps(name) for line in step.get("run", "").split("\n")]


def test_the_readme_lists_every_folder():
    git = "git ls-files --cached --others --exclude-standard".split()
    listed = subprocess.run(git, cwd=ROOT, capture_output=True, text=True, check=True)
    folders = {line.split("/")[0] for line in listed.stdout.split("\n") if "/" in line}
    folders = {name for name in folders if (ROOT / name).is_dir() and name[0] != "."}
    readme = (ROOT / "README.md").read_text()
    assert folders == set(re.findall(r"^\| `(\w+)/` \|", readme, re.M))


def test_a_workflow_may_only_read_and_names_targets_that_exist():
    for name, flow in FLOWS.items():
        assert flow["permissions"] == {"contents": "read"}
        assert flow[True]  # YAML 1.1 reads `on` as a truth value
        for step in steps(name):
            assert ("run" in step) != ("uses" in step)
            assert re.search(r"@(v\d+|release/v\d+)$", step.get("uses", "@v1")), step
        made = [shlex.split(line)[1] for line in lines(name) if line[:5] == "make "]
        assert set(made) <= TARGETS


def test_what_they_run():
    """Also: a fresh install takes the lock's ruff; a tag is compared with the version."""
    assert ".ci/run" in lines("ci")
    [checkout] = [s for s in steps("ci") if "checkout" in s.get("uses", "")]
    assert checkout["with"] == {"fetch-depth": 0}  # each record's commit is looked up
    assert {"make run", "make test"} <= set(lines("fresh"))
    built = {"make book", "python -m build", "twine check --strict dist/*"}
    assert built <= set(lines("publish"))
    [book] = [step for step in steps("publish") if step.get("run") == "make book"]
    repository = "${{ github.server_url }}/${{ github.repository }}"
    assert book["env"] == {"BOOK_REPOSITORY": repository}

    found = [re.search(r'"\$\((.*)\)"', line) for line in lines("fresh")]
    [expression] = [match[1] for match in found if match]
    assert shell(expression, cwd=ROOT).stdout.strip() in PINS
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
    assert f"ruff=={ruff['rev'].removeprefix('v')}" in PINS
    [[chapters]] = [repo["hooks"] for repo in hooks if repo["repo"] == "local"]
    test, name = re.search(r"(tests/\S+) -k (\w+)", chapters["entry"]).groups()
    text = (ROOT / test).read_text()
    assert re.search(rf"def test_a_stored\w*{name}\w*\(chapter", text)
    assert re.search(chapters["files"], "book/03_mad.py")
    assert not re.search(chapters["files"], "book/index.md")
