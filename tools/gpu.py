"""Run everything that needs a GPU, the most useful first: `make gpu`.

1. Compare the losses of compiled and plain networks. 2. Time a stage against the public
way of computing. 3. Train the papers' teachers. 4. Make the runs of experiments.yml for
a GPU. Finished steps are not repeated; teachers and runs resume from their checkpoints.
``--minutes`` sets the time after which it stops. ``--rehearse`` does the same on this
machine's CPU with a thousandth of the stages and without the large teachers.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import torch
import yaml

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
from dfkd_lib import records, run  # noqa: E402
from dfkd_lib.data import load_dataset  # noqa: E402
from dfkd_lib.errors import UserError  # noqa: E402
from dfkd_lib.files import write_atomically  # noqa: E402
from dfkd_lib.recipes import recipe_for  # noqa: E402
from dfkd_lib.teachers import hardware, load_teacher  # noqa: E402
from dfkd_lib.train import compile_networks  # noqa: E402
from workflow import runs  # noqa: E402

TEACHERS = (("cifar100", "wrn40_2"), ("cifar10", "wrn40_2"))
LIST = ROOT / "workflow" / "experiments.yml"


def main(argv: list[str] | None = None) -> int:
    """0 when all is made, 3 when the time was up before."""
    parser = argparse.ArgumentParser(prog="make gpu", description=__doc__)
    parser.add_argument("--minutes", type=float, default=float("inf"))
    parser.add_argument("--folder", type=Path, default=ROOT / "output" / "gpu")
    parser.add_argument("--rehearse", action="store_true")
    args = parser.parse_args(argv)
    if not args.rehearse and not torch.cuda.is_available():
        parser.error("torch finds no GPU here; --rehearse tries all steps on the CPU")
    device = "cpu" if args.rehearse else "cuda"
    args.folder.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("DFKD_CACHE", str(args.folder / "cache"))
    ends = time.monotonic() + 60 * args.minutes
    for name, step in steps(device, args.rehearse, args.folder):
        done = args.folder / f"{name}.json"
        if done.exists():
            continue
        if time.monotonic() > ends:
            print(f"the time is up before {name}")
            return 3
        begun = time.monotonic()
        made = step(max(ends - begun, 1))
        if made is None:
            print(f"{name}: not finished; the next call continues it")
            return 3
        seconds = round(time.monotonic() - begun, 1)
        made |= {"seconds_of_this_call": seconds, "hardware": hardware(device)}
        write_atomically(done, json.dumps(made, indent=1) + "\n")
        print(f"{name}: {json.dumps(made)[:300]}", flush=True)
    return 0


def steps(device: str, small: bool, folder: Path):
    """Names, and functions of the seconds left; they return None if stopped by them."""
    for method in ("dfad", "mad"):
        yield f"compiled-{method}", lambda _, m=method: compiled(m, device, small)
    quick = ["--quick"] if small else []
    bench = [sys.executable, "-m", "benchmarks.bench", "--device", device, *quick]
    yield "bench", lambda left: limited(bench, left)
    for dataset, name in TEACHERS if not small else (("moons", "mlp"),):
        words = ["--dataset", dataset, "--teacher", name, "--device", device]
        words += ["--folder", str(folder)] if small else ["--paper"]
        teach = [sys.executable, "-m", "dfkd_lib.teachers", *words]
        yield f"{name}-{dataset}", lambda left, t=teach: limited(t, left)
    config = yaml.safe_load(LIST.read_text())
    if small:
        config |= {"folder": str(folder / "results"), "work": str(folder / "work")}
    for job in (job for job in runs.jobs(config) if job.device == "cuda"):
        if small and job.recipe.paper != "ladder":
            continue  # their teachers are trained on a GPU
        words = [*job.options, "--output-dir", str(folder / "runs")]
        if small:
            few = f"stages={max(job.recipe.settings.stages // 1000, 2)}"
            words = [few if w.startswith("stages=") else w for w in words]
            words[words.index("cuda")] = "cpu"
        order = [sys.executable, "-m", "dfkd_lib.run", *words]

        def step(left, order=order, job=job):
            made = limited(order, left)
            if made is not None and not small:
                file = folder / "runs" / f"{job.key}.json"
                records.append(job.experiment, json.loads(file.read_text()))
            return made

        yield f"{job.experiment}-{job.key}", step


def limited(order: list[str], seconds: float) -> dict | None:
    """Run a command for at most so many seconds; SIGTERM lets it write a checkpoint."""
    process = subprocess.Popen(order, cwd=ROOT)
    try:
        status = process.wait(min(seconds, 1e9))
    except subprocess.TimeoutExpired:
        process.terminate()
        process.wait(120)
        return None
    if status:
        raise SystemExit(f"failed with {status}: {' '.join(order)}")
    return {"command": " ".join(order[1:])}


def compiled(method: str, device: str, small: bool) -> dict:
    """The losses of three stages, from the same weights, plain and compiled."""
    dataset = "digits" if small else "cifar10"
    recipe = recipe_for(dataset, method, paper="ours" if small else "ladder")
    data = load_dataset(dataset)
    network = load_teacher(data, recipe.teacher, device=device).network
    made = {}
    for name in ("plain", "compiled"):
        state = run.begin(recipe, network, data, device=device)
        mode, refused = ("none", "")
        if name == "compiled":
            mode, refused = compile_networks(recipe.settings, state)
        losses = []
        for state.stage in range(1, 4):
            stage = recipe.settings.stage(state)
            losses.append([float(stage.mean(p)) for p in ("generator", "student")])
        made[name] = {"losses": losses, "mode": mode, "refused": refused}
    first, other = (torch.tensor(made[n]["losses"][0]) for n in ("plain", "compiled"))
    made["difference"] = float(((first - other).abs() / first.abs()).max())
    if made["difference"] > 1e-3:
        raise UserError(f"compiled {method} differs in its first stage: {made}")
    return made


if __name__ == "__main__":
    sys.exit(main())
