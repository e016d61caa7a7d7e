"""Measure the fast path, whether it is right and how fast: `make bench`. Prints tables, and keeps a record by the
hardware's name in benchmarks/records.

What is compared runs in turn, so that only ratios are read from a noisy machine: fast and plain each in a process of
its own, which keeps memory its own way; the rest in one. `--quick` shows that all of it works, on the smallest cases;
its figures are worth nothing and are not kept.
"""

import argparse
import json
import re
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmarks import same
from benchmarks.cases import FAST, PLAIN, cases, growth_cases, reuse_cases
from benchmarks.measure import interleaved, keeping, measure, peak, run_stage, spread
from dfkd_lib import parameters, results
from dfkd_lib.budget import resolve_precision
from dfkd_lib.errors import UserError
from dfkd_lib.files import write_atomically
from dfkd_lib.machine import hardware, versions

RECORDS = Path(__file__).parent / "records"


def first_steps(device: str, quick: bool) -> list[dict[str, Any]]:
    """How far the fast path's losses are from plain's, from the same seed."""
    print(f"{'differences of losses':36s} {'precision':>10s}   in each of the first stages, as a share of the loss")
    found = []
    for case in same.tried(device)[: 1 if quick else None]:
        for made in same.compared(case, device):
            found.append(made)
            print(
                f"{case.name:36s} {made['precision']:>10s}   {'  '.join(f'{gap:.1e}' for gap in made['gaps'])}",
                flush=True,
            )
    return found


def ratios(device: str, quick: bool, peak: float) -> list[dict[str, Any]]:
    """Fast against plain."""
    print(f"{'fast against plain':36s} {'plain ms':>10s} {'fast ms':>10s} {'ratio':>7s}  quartiles   of peak   MiB")
    found = []
    for case in [replace(case, rounds=2) for case in cases(device)[:2]] if quick else cases(device):
        made = measure(case, device)
        fast, plain = (made["variants"][v] for v in (FAST, PLAIN))
        for variant in (fast, plain):
            variant["utilisation"] = variant["operations"] / variant["seconds"]["median"] / peak
        found.append(made)
        r = made["ratio"]
        print(
            f"{case.name:36s} {1e3 * plain['seconds']['median']:10.1f} {1e3 * fast['seconds']['median']:10.1f} "
            f"{r['median']:7.2f}  {r['low']:.2f}–{r['high']:.2f}   {100 * fast['utilisation']:5.1f} %   "
            f"{plain['memory_mib']:.0f} → {fast['memory_mib']:.0f}",
            flush=True,
        )
    return found


def reuse(device: str, quick: bool) -> list[dict[str, Any]]:
    """What MAD costs, by how often its images are used, as a multiple of ABM's stage."""
    tried = reuse_cases()[:2] if quick else reuse_cases()
    stages = {case.name: partial(run_stage, case.make(FAST, device)[0]) for case in tried}
    seconds = interleaved(stages, 2 if quick else 15)
    base = seconds[tried[0].name]
    found = []
    for case in tried:
        cost = spread([mad / abm for mad, abm in zip(seconds[case.name], base, strict=True)])
        own = spread(seconds[case.name])
        found.append({"case": case.name, "reuse": case.recipe.reuse, "seconds": own, "cost": cost})
        print(f"{case.name:36s} {cost['median']:.3f} × ABM  ({cost['low']:.3f}–{cost['high']:.3f})", flush=True)
    return found


def growth(device: str, quick: bool) -> dict[str, list[dict[str, Any]]]:
    """How a stage's cost grows: the values of each thing in turn."""
    found: dict[str, list[dict[str, Any]]] = {}
    for what, values in growth_cases(device).items():
        tried = dict(list(values.items())[: 1 if quick else None])
        stages = {value: partial(run_stage, case.make(FAST, device)[0]) for value, case in tried.items()}
        seconds = interleaved(stages, 2 if quick else 5)
        found[what] = []
        for value, case in tried.items():
            own = spread(seconds[value])
            found[what].append({"value": value, "student_batch": case.recipe.student_batch, "seconds": own})
            print(f"{what:20s} {value:6d} {1e3 * own['median']:10.1f} ms", flush=True)
    return found


def main(argv: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bench", description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--quick", action="store_true", help="show that it works; keep nothing")
    args = parser.parse_args(argv)
    try:
        device = parameters.device("device", args.device)
    except UserError as error:
        parser.error(str(error))
    name, sha = hardware(device), results.commit()
    path = RECORDS / f"{re.sub(r'[^A-Za-z0-9]+', '-', name).strip('-').lower()}-{device}.json"
    precisions = dict.fromkeys(("float32", resolve_precision("auto", device)))
    peaks = {precision: peak(device, getattr(torch, precision)) for precision in precisions}
    made = {"hardware": name, "device": device, "threads": torch.get_num_threads(), "versions": versions()}
    made |= {"commit": sha, "command": f"python -m benchmarks.bench --device {device}", "peak": peaks}
    made["first_steps"] = first_steps(device, args.quick)
    made["ratios"] = ratios(device, args.quick, max(peaks.values()))
    with keeping(FAST, device):
        made["reuse"] = reuse(device, args.quick)
        made["growth"] = growth(device, args.quick)
    if not args.quick:
        RECORDS.mkdir(exist_ok=True)
        write_atomically(path, json.dumps(made, indent=1) + "\n")
        print(f"record: {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
