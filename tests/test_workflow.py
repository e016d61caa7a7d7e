"""The list of the book's runs, and Snakemake, which makes those without a record."""

import dataclasses
import functools
import importlib.util
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from dfkd_lib import records, run
from dfkd_lib.errors import UserError
from workflow import runs

ROOT = Path(__file__).resolve().parent.parent
BOOK = yaml.safe_load((ROOT / "workflow" / "experiments.yml").read_text())
TINY = "stages_per_epoch=10 generator_width=2 z_dim=8 batch=8 student_batch=8"
snakemake = pytest.mark.skipif(
    importlib.util.find_spec("snakemake") is None,
    reason="snakemake is not installed: pip install -e '.[workflow]'",
)


# Not made yet, with the hours of one thread.
QUEUED = {
    "tuning": 1.1, "cifar10": 6.05, "cifar10_long": 13.2, "cifar100": 6.6,
    "cifar10_more": 8.3, "cifar10_losses": 2.8, "cifar10_banks": 4.4,
    "segmentation": 10.8, "baselines": 0.31,
    "teachers": 1.92,
}  # fmt: skip


def test_the_list_names_every_run_of_the_book():
    """Except those on the slow path of 0.1.0; some runs are queued or need a GPU."""
    listed = runs.jobs(BOOK)
    names = {(job.experiment, job.key) for job in listed}
    assert len(names) == len(listed)
    folder = ROOT / "results"
    there = {path.stem for path in folder.glob("*.jsonl")} - {"plain"}
    found = {
        (e, made["key"]) for e in there for made in records.load_records(e, folder)
    }
    left = runs.unfinished(listed, folder)
    assert found == names - {(job.experiment, job.key) for job in left}
    left = [job for job in left if job.device == "cpu"]
    hours = {e: sum(j.minutes for j in left if j.experiment == e) / 60 for e in QUEUED}
    assert {job.experiment for job in left} == set(QUEUED)
    assert hours == pytest.approx(QUEUED, abs=0.06)
    assert all(job.minutes > 0 for job in listed if job.device == "cpu")
    assert not any(job.device == "cuda" for job in runs.wanted(BOOK))
    assert {job.experiment for job in runs.wanted(BOOK, "wrn,main")} == {"wrn", "main"}


def test_runs_that_are_compared_have_one_schedule():
    settings = [job.recipe.settings for job in runs.wanted(BOOK, "wrn")]
    assert len({m.stages * m.student_steps for m in settings}) == 1


BUDGETS = {"tuning": 0.1, "cifar10": 0.2, "cifar10_long": 0.8, "cifar100": 0.2}
BUDGETS |= {"cifar10_more": 0.2, "cifar10_banks": 0.2, "cifar10_losses": 0.2}
BUDGETS |= {"gpu_3": 3, "gpu_12": 12, "gpu_50": 50}


@pytest.mark.slow
def test_runs_of_a_rung_cost_the_same():
    """The same work at another rate, for more stages or with 100 classes counts once."""
    pflop = functools.cache(lambda r: run.schedule_flop(r) / 1e15 / r.settings.stages)
    usual = {"stages": 100, "student_lr": 0.1, "generator_loss": "discrepancy"}
    for experiment, budget in BUDGETS.items():
        for recipe in {job.recipe for job in runs.wanted(BOOK, experiment)}:
            if recipe.method == "composed":  # what costs is Fast's; count it once
                recipe = recipe.of("fast")
            own = {n: v for n, v in usual.items() if n in recipe.values()}
            if "warmup" in recipe.values():  # it costs the same for more stages
                own["stages"] = recipe.settings.stages
            same = dataclasses.replace(recipe.replace(**own), dataset="cifar10")
            cost = recipe.settings.stages * pflop(same)
            assert cost == pytest.approx(budget, rel=0.02), recipe


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"settings": ["momentum=0.5"]}, "setting of dfad: 'momentum' is not known"),
        ({"sedes": [1]}, "unexpected keyword argument 'sedes'"),
        ({"methods": ["made"]}, "method: 'made' is not known"),
    ],
)
def test_a_mistake_in_a_list_is_named_with_its_entry(change, told):
    entry = {"methods": ["dfad"], "dataset": "digits", "seeds": 1} | change
    with pytest.raises(UserError, match=told) as caught:
        runs.jobs(BOOK | {"experiments": {"mine": [entry]}})
    assert str(caught.value).startswith("mine: {'methods': ")
    with pytest.raises(UserError, match="only: 'weekly' is not known"):
        runs.wanted(BOOK, "weekly")


class Grid:
    """A list in a folder of its own: Snakemake leaves nothing in the checkout."""

    def __init__(self, folder: Path, *entries: dict):
        self.folder, self.file = folder, folder / "grid.yml"
        made = yaml.safe_load((ROOT / "workflow" / "grid.yml").read_text())
        made |= {"folder": "out", "work": "out"}
        made |= {"experiments": {"tiny": list(entries)}} if entries else {}
        self.file.write_text(yaml.safe_dump(made))

    def start(self, *options: str) -> subprocess.Popen:
        snakefile = ROOT / "workflow" / "Snakefile"
        command = [sys.executable, "-m", "snakemake", "-s", snakefile, "--cores", "1"]
        command += ["--directory", self.folder, "--configfile", self.file, *options]
        own = {"PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(self.folder / "cache")}
        pipe = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        # A group of processes, to be killed as one.
        group = {"start_new_session": True, "cwd": ROOT, "env": os.environ | own}
        return subprocess.Popen(command, **pipe, **group)

    def run(self, *options: str) -> tuple[int, str]:
        process = self.start(*options)
        output, _ = process.communicate(timeout=600)
        return process.returncode, output

    def made(self) -> list[dict]:
        path = self.folder / "out" / "tiny.jsonl"
        return records.load_records("tiny", path.parent) if path.exists() else []


@snakemake
def test_the_list_that_ships_is_planned(tmp_path):
    status, output = Grid(tmp_path).run("--dry-run")
    assert status == 0, output
    assert output.count("rule student:") == 12 and "Traceback" not in output


@snakemake
@pytest.mark.slow
def test_killed_half_way_it_is_finished(tmp_path):
    """`kill -9` of all processes in the second run: the first is not made again."""
    entry = {"methods": ["dfad"], "dataset": "digits", "seeds": 2, "minutes": 1}
    entry["settings"] = [f"stages=100 {TINY}"]
    broken = entry | {"seeds": 1, "settings": [f"stages=10 {TINY} student_lr=1e30"]}
    grid = Grid(tmp_path, entry)
    process = grid.start()
    deadline = time.monotonic() + 300
    while not (grid.made() and list((tmp_path / "out").glob("tiny/*.ckpt"))):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    [first] = grid.made()

    grid.run("--unlock")
    grid = Grid(tmp_path, broken, entry)  # and one that diverges
    status, output = grid.run()
    assert status != 0 and "not finite at stage 1" in output
    made = grid.made()
    [second] = [record for record in made if record != first]
    assert second["history"]["resumed"] and second["processors"] == [second["hardware"]]
    status, output = Grid(tmp_path, entry).run()
    assert status == 0 and "0 runs left" in output and grid.made() == made
