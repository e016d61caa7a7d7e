"""The files that others read: GitHub's workflows and pre-commit's hooks name what is there, in the lock's versions."""

import re
import shlex
import subprocess
import tomllib

import pytest
import yaml
from chapters import ROOT, shell
from packaging.requirements import Requirement

from tools.lock import pins

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
TARGETS = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))
HOOKS = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]


def load(name):
    return yaml.safe_load((ROOT / ".github" / "workflows" / f"{name}.yml").read_text())


def steps(workflow):
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


def lines(workflow):
    return [line for step in steps(workflow) for line in step.get("run", "").splitlines()]


def test_every_folder_is_told_of():
    """What the repository holds beside the files at its top stands in the README's list, or has a dot before it."""
    git = ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(git, capture_output=True, text=True, check=True).stdout
    folders = {line.split("/")[0] for line in listed.splitlines() if "/" in line}
    told = set(re.findall(r"^\| `(\w+)/` \|", (ROOT / "README.md").read_text(), re.M))
    assert {name for name in folders if not name.startswith(".")} == told


def test_the_workflows_are_there():
    assert [path.stem for path in WORKFLOWS] == ["ci", "fresh", "links", "publish"]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_workflow(path):
    """It has jobs, may do no more than read unless a job asks for it, and names targets that exist."""
    workflow = yaml.safe_load(path.read_text())
    assert workflow["permissions"] == {"contents": "read"}
    assert workflow[True]  # YAML 1.1 reads `on` as a truth value
    assert all(job["runs-on"] == "ubuntu-latest" and job["steps"] for job in workflow["jobs"].values())
    for step in steps(workflow):
        assert ("run" in step) != ("uses" in step)
        assert re.search(r"@(v\d+|release/v\d+)$", step.get("uses", "@v1")), step
    made = [shlex.split(line)[1] for line in lines(workflow) if line.startswith("make ")]
    assert set(made) <= TARGETS


def test_what_they_run():
    assert ".ci/run" in lines(load("ci"))
    assert {"make run", "make test"} <= set(lines(load("fresh")))
    assert {"make book", "python -m build", "twine check --strict dist/*"} <= set(lines(load("publish")))
    [book] = [step for step in steps(load("publish")) if step.get("run") == "make book"]
    assert book["env"] == {"BOOK_REPOSITORY": "${{ github.server_url }}/${{ github.repository }}"}


def test_python_and_torch_are_the_lowest_that_are_promised():
    versions = load("ci")["jobs"]["test"]["strategy"]["matrix"]["python"]
    assert f">={versions[0]}" == PROJECT["requires-python"]
    [line] = [line for line in lines(load("fresh")) if "torch==" in line]
    asked = {Requirement(word).name: word for word in shlex.split(line) if "==" in word}
    floors = {Requirement(text).name: text.replace(">=", "==") + ".*" for text in PROJECT["dependencies"]}
    assert asked == {name: floors[name] for name in ("torch", "torchvision")}


def test_a_tag_is_compared_with_the_version():
    """As publish.yml does, with grep: a tag of another version fails."""
    [line] = [line for line in lines(load("publish")) if "GITHUB_REF_NAME" in line]
    for tag, status in ((f"v{PROJECT['version']}", 0), ("v9.9.9", 1)):
        assert shell(f"export GITHUB_REF_NAME={tag}; {line}", cwd=ROOT).returncode == status


def test_a_fresh_install_takes_the_locks_ruff():
    """By the very expression that fresh.yml hands to the shell."""
    [expression] = [found[1] for line in lines(load("fresh")) if (found := re.search(r'"\$\((.*)\)"', line))]
    assert shell(expression, cwd=ROOT).stdout.strip() in pins((ROOT / "requirements.lock").read_text())


def test_hooks():
    """pre-commit's ruff is the lock's, and what it runs of ours is there."""
    [ruff] = [repo for repo in HOOKS if repo["repo"].endswith("/ruff-pre-commit")]
    assert f"ruff=={ruff['rev'].removeprefix('v')}" in pins((ROOT / "requirements.lock").read_text())
    assert [hook["id"] for hook in ruff["hooks"]] == ["ruff-check", "ruff-format"]
    [[chapters]] = [repo["hooks"] for repo in HOOKS if repo["repo"] == "local"]
    test, name = re.search(r"(tests/\S+) -k (\w+)", chapters["entry"]).groups()
    assert re.search(rf"def test_\w*{name}", (ROOT / test).read_text())
    assert re.search(chapters["files"], "book/03_mad.py") and not re.search(chapters["files"], "book/index.md")
