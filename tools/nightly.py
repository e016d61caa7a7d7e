"""Make the book's records: every run whose record is not there yet, two at a time. `make nightly`; hours from nothing.

A record that exists is never made again: delete it to repeat it. Each line of EXPERIMENTS is a folder of results/, and
the command lines whose records it holds; `python tools/nightly.py controls stress` makes only those two.
"""

import os
import shlex
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from dfkd_lib import results
from dfkd_lib.recipes import recipe_for
from dfkd_lib.run import override

ROOT = Path(__file__).resolve().parent.parent
WORKERS = 2

SEEDS, MORE, FEWER = range(5), range(8), range(3)
TWICE = "student_batch=256"
HALF = "student_batch=64 lambda0=0.5 lambda1=0.5"
STAGES_OF_20 = "stages=40 student_steps=20 stages_per_epoch=5"

# experiment: (method, data set, settings, seeds)
EXPERIMENTS = {
    "main": [(m, "digits", "", SEEDS) for m in ("dfad", "abm", "mad")],
    # What the EMA generator adds, at equal samples and equal scale of the loss.
    "controls": [
        ("dfad", "digits_half", "", MORE),
        ("abm", "digits_half", "", MORE),
        ("abm", "digits_half", TWICE, MORE),
        ("abm", "digits_half", f"{TWICE} lambda0=2.0", MORE),
        ("mad", "digits_half", "", MORE),
        ("mad", "digits_half", HALF, MORE),
    ],
    # Adversarial training made to oscillate: constant learning rates, the generator's turned up, five steps a stage.
    "stress": [
        (m, "digits_half", f"stages=80 schedule=constant generator_steps=5 generator_lr={lr} {more}", seeds)
        for lr, seeds in (("0.001", FEWER), ("0.01", MORE), ("0.03", MORE), ("0.1", FEWER))
        for m, more in (("abm", ""), ("mad", ""), ("abm", f"{TWICE} lambda0=2.0"))
    ],
    # Adam without its memory of past gradients: the game's own movement, not the optimiser's.
    "memory": [(m, "digits_half", "generator_beta1=0.0", SEEDS) for m in ("abm", "mad")],
    "statistics": [("mad", "digits_half", f"ema_statistics={s}", FEWER) for s in ("averaged", "reestimated")],
    "reuse": [("mad", "digits_half", f"{STAGES_OF_20} reuse={r}", FEWER) for r in (1, 5, 20)],
    "conditional": [("mad", "digits_half", f"conditional=True norm_scale={g}", FEWER) for g in ("1.1", "3.0")],
    # 0.95 stands in controls.
    "momentum": [("mad", "digits_half", f"momentum={a}", FEWER) for a in ("0.5", "1.0")],
}


def missing(experiments: list[str]) -> list[str]:
    """Command lines of the runs without a record."""
    lines = []
    for experiment in experiments:
        for method, dataset, settings, seeds in EXPERIMENTS[experiment]:
            recipe = override(recipe_for(dataset), settings.split())
            for seed in seeds:
                folder = ROOT / "results" / experiment
                if not (folder / f"{results.run_name(method, recipe, seed)}.json").exists():
                    words = " ".join(f"--set {word}" for word in settings.split())
                    lines.append(
                        f"-m dfkd_lib.run --method {method} --dataset {dataset} --seed {seed} {words} --budget full "
                        f"--device cpu --probe --record-only --output-dir {shlex.quote(str(folder))}"
                    )
    return lines


def main() -> int:
    unknown = set(sys.argv[1:]) - set(EXPERIMENTS)
    if unknown:
        print(f"error: no experiment {', '.join(unknown)}; there are {', '.join(EXPERIMENTS)}", file=sys.stderr)
        return 2
    lines = missing(sys.argv[1:] or list(EXPERIMENTS))
    print(f"{len(lines)} runs to make")
    environment = os.environ | {"OMP_NUM_THREADS": "1"}

    def make(line: str) -> int:
        print(line, flush=True)
        return subprocess.run([sys.executable, *shlex.split(line)], env=environment, cwd=ROOT).returncode

    with ThreadPoolExecutor(WORKERS) as pool:
        return int(any(list(pool.map(make, lines))))  # every run is tried; a killed one counts as failed


if __name__ == "__main__":
    sys.exit(main())
