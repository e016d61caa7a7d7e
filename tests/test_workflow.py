"""The grid by Snakemake: what has a record is not run, and what was killed is finished, to the same student."""

import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from chapters import ROOT
from faults import SHORT, told

from dfkd_lib import results, run

if importlib.util.find_spec("snakemake") is None:
    pytest.skip("snakemake is not installed: pip install -e '.[workflow]'", allow_module_level=True)

SETTINGS = {name: SHORT[name] for name in ("generator_width", "z_dim", "batch", "student_batch", "student_steps")}


def text(**settings: object) -> str:
    return " ".join(f"{name}={value}" for name, value in settings.items())


class Grid:
    """A grid of its own folder: nothing of Snakemake's is left in the checkout."""

    def __init__(self, folder: Path, *entries: dict, device: str = "cpu"):
        self.folder, self.file = folder, folder / "grid.yml"
        self.file.write_text(yaml.safe_dump({"folder": "grid", "device": device, "runs": list(entries)}))

    def start(self, *options: str) -> subprocess.Popen:
        command = [sys.executable, "-m", "snakemake", "-s", ROOT / "workflow" / "Snakefile", "--cores", "1"]
        return subprocess.Popen(
            [*command, "--directory", self.folder, "--configfile", self.file, *options],
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(self.folder / "cache")},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,  # a group of processes, to be killed as one
        )

    def run(self, *options: str) -> tuple[int, str]:
        process = self.start(*options)
        output, _ = process.communicate(timeout=600)
        return process.returncode, output

    def names(self, pattern: str) -> set[str]:
        """The runs that have such a file, also one that is being written."""
        found = (path.name.lstrip(".") for path in (self.folder / "grid").glob(pattern))
        return {re.split(r"\.(?:json|ckpt|md)", name)[0] for name in found}

    def files(self, pattern: str) -> dict[str, tuple[int, bytes]]:
        """When a file was written, and what is in it."""
        found = (self.folder / "grid").glob(pattern)
        return {path.stem: (path.stat().st_mtime_ns, path.read_bytes()) for path in found}


def planned(output: str) -> list[str]:
    """The runs of a dry run."""
    return sorted(re.findall(r"^ +wildcards: run=(.*)$", output, re.M))


def test_only_what_has_no_record_is_planned(tmp_path):
    """A record is known by the library's name for it, whoever made it, and whatever its date."""
    entry = {"methods": ["dfad", "mad"], "dataset": "digits", "seeds": [0, 1], "settings": "stages=7"}
    grid = Grid(tmp_path, entry)
    names = [f"{m}-digits-lenet5-lenet5_half-stages=7-s{seed}" for m in ("dfad", "mad") for seed in (0, 1)]
    status, output = grid.run("--dry-run")
    assert status == 0, output
    assert planned(output) == names
    (tmp_path / "grid").mkdir()
    for name in names[:3]:
        record = tmp_path / "grid" / f"{name}.json"
        record.write_text("{}")
        os.utime(record, (0, 0))  # older than its teacher
    (tmp_path / "grid" / "scoreboard.md").touch()  # the table of a grid whose last record was deleted since
    status, output = grid.run("--dry-run")
    assert status == 0, output
    assert planned(output) == names[3:]


def test_each_run_asks_for_what_it_needs(tmp_path):
    """On a GPU, a teacher that is not shipped is trained first; nobody's is made twice."""
    entry = {"methods": ["dfad"], "dataset": "cifar10", "seeds": [0, 1]}
    status, output = Grid(tmp_path, entry, device="cuda").run("--dry-run", "--printshellcmds")
    assert status == 0, output
    assert "total             5" in output  # a teacher, two students, the table, and "all"
    assert output.count("-m dfkd_lib.teachers --dataset cifar10 --teacher resnet34_8x --device cuda") == 1
    assert output.count("--budget full --device cuda --precision auto --resume --output-dir") == 2
    asked = [line for line in output.splitlines() if "resources:" in line and "mem_mb" in line]
    assert len(asked) == 3
    assert all("gpu=1" in line and "mem_mb=16000" in line and "runtime=" in line for line in asked)


@pytest.mark.parametrize("file", ["grid.yml", "papers.yml"])
def test_the_grids_that_ship(tmp_path, file):
    grid = yaml.safe_load((ROOT / "workflow" / file).read_text())
    status, output = Grid(tmp_path, *grid["runs"], device=grid["device"]).run("--dry-run")
    assert status == 0, output
    assert len(planned(output)) == sum(len(e["methods"]) * len(e["seeds"]) for e in grid["runs"])


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"settings": "momentum=0.5"}, "dfad does not use it"),
        ({"sedes": [1]}, "unexpected keyword argument 'sedes'"),
    ],
)
def test_a_mistake_in_the_grid_is_told_before_anything_runs(tmp_path, change, told):
    entry = {"methods": ["dfad"], "dataset": "digits", "seeds": [0]} | change
    status, output = Grid(tmp_path, entry).run()
    assert status != 0 and told in output
    assert "Traceback" not in output and not (tmp_path / "grid").exists()


@pytest.mark.slow
def test_a_run_that_fails_is_told_and_the_others_are_made(tmp_path):
    """The student's learning rate is beyond all bounds: the loss is not finite."""
    good = {"methods": ["dfad"], "dataset": "digits", "seeds": [0], "settings": text(stages=2, **SETTINGS)}
    bad = good | {"settings": text(stages=2, **SETTINGS, student_lr="1e30")}
    grid = Grid(tmp_path, bad, good)
    status, output = grid.run()
    assert status == 1
    [line] = {line.strip() for line in output.splitlines() if line.strip().startswith("error: ")}
    assert "not finite" in line
    [made] = grid.names("*.json")
    assert "student_lr" not in made
    assert not grid.names("*.md")  # the table waits for all


@pytest.mark.slow
def test_killed_half_way_it_is_finished(tmp_path):
    """kill -9 of everything, in the second of four runs: the first is not made again, the second goes on."""
    settings = text(stages=120, stages_per_epoch=40, **SETTINGS)
    entry = {"methods": ["dfad", "mad"], "dataset": "digits", "seeds": [0, 1], "settings": settings}
    grid = Grid(tmp_path, entry)
    process = grid.start()
    try:
        deadline = time.monotonic() + 300
        while not (grid.names("*.json") and grid.names("*.ckpt") - grid.names("*.json")):
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.01)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    finished, [begun] = grid.files("*.json"), grid.names("*.ckpt") - grid.names("*.json")
    assert 0 < len(finished) < 4

    assert grid.run("--unlock")[0] == 0
    status, output = grid.run()
    assert status == 0, output
    made = grid.files("*.json")
    assert len(made) == 4 and {name: made[name] for name in finished} == finished
    assert not grid.names("*.ckpt*")
    record = json.loads(made[begun][1])
    assert record["history"]["resumed"]

    # The same run, by hand, and by nobody interrupted.
    command = record["command"].split()[3:]
    assert run.main([*command, "--output-dir", str(tmp_path / "alone")]) == 0
    [alone] = results.load_records(tmp_path / "alone")
    assert told(alone) == told(record)
    students = [next(folder.glob(f"{begun}.safetensors")) for folder in (tmp_path / "alone", tmp_path / "grid")]
    assert students[0].read_bytes() == students[1].read_bytes()

    # The table has them all; a second time there is nothing to do.
    rows = (tmp_path / "grid" / "scoreboard.md").read_text().splitlines()
    assert len(rows) == 4 and all(" 2 | " in row for row in rows[2:])
    status, output = grid.run()
    assert status == 0 and "Nothing to be done" in output
    assert grid.files("*.json") == made
