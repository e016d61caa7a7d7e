"""Measure speed: `make bench`. It prints tables, and keeps a record in benchmarks/records, by the hardware's name.

What is compared runs in turn in one process, so that only ratios are read from a noisy machine. `--quick` shows that
all of it works, on the smallest cases; its figures are worth nothing and are not kept.
"""

import argparse
import json
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from benchmarks.cases import FAST, PLAIN, cases, growth_cases, reuse_cases
from benchmarks.measure import interleaved, measure, peak, run_stage, spread
from dfkd_lib import parameters, results
from dfkd_lib.budget import resolve_precision
from dfkd_lib.errors import UserError
from dfkd_lib.files import write_atomically
from dfkd_lib.machine import hardware, versions

RECORDS = Path(__file__).parent / "records"
PARTS = ("ratios", "reuse", "growth")


def ratios(device: str, quick: bool) -> list[dict[str, Any]]:
    """Fast against plain."""
    print(f"{'fast against plain':36s} {'plain ms':>10s} {'fast ms':>10s} {'ratio':>7s}  quartiles   of peak   MiB")
    found, peaks = [], _peaks(device)
    for case in [replace(case, rounds=2) for case in cases(device)[:2]] if quick else cases(device):
        made = measure(case, device)
        fast, plain = (made["variants"][v] for v in (FAST, PLAIN))
        made["utilisation"] = fast["operations"] / fast["seconds"]["median"] / peaks["best"]
        found.append(made)
        r = made["ratio"]
        print(
            f"{case.name:36s} {1e3 * plain['seconds']['median']:10.1f} {1e3 * fast['seconds']['median']:10.1f} "
            f"{r['median']:7.2f}  {r['low']:.2f}–{r['high']:.2f}   {100 * made['utilisation']:5.1f} %   "
            f"{plain['memory_mib']:.0f} → {fast['memory_mib']:.0f}",
            flush=True,
        )
    return found


def reuse(device: str, quick: bool) -> list[dict[str, Any]]:
    """What MAD costs, by how often its images are used, as a multiple of ABM's stage: all in turn."""
    tried = reuse_cases()[:2] if quick else reuse_cases()
    methods = {case.name: case.make(FAST, device) for case in tried}
    stages = {name: lambda m=method: run_stage(m) for name, method in methods.items()}
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
    """How a stage's cost grows."""
    found: dict[str, list[dict[str, Any]]] = {}
    for what, tried in growth_cases(device).items():
        found[what] = []
        for value, case in tried[: 1 if quick else None]:
            method = case.make(FAST, device)
            seconds = spread(interleaved({"": lambda m=method: run_stage(m)}, 2 if quick else case.rounds)[""])
            found[what].append({"value": value, "student_batch": case.recipe.student_batch, "seconds": seconds})
            print(f"{what:20s} {value:6d} {1e3 * seconds['median']:10.1f} ms", flush=True)
    return found


def _peaks(device: str) -> dict[str, float]:
    names = dict.fromkeys(("float32", resolve_precision("auto", device)))
    found = {name: peak(device, getattr(torch, name)) for name in names}
    return found | {"best": max(found.values())}


def main(argv: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bench", description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", default=PARTS, help=f"of {', '.join(PARTS)}; all by default")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--quick", action="store_true", help="show that it works; keep nothing")
    args = parser.parse_args(argv)
    try:
        device = parameters.device("device", args.device)
    except UserError as error:
        parser.error(str(error))
    if unknown := set(args.parts) - set(PARTS):
        parser.error(f"no part {', '.join(unknown)}; there are {', '.join(PARTS)}")
    name = hardware(device)
    path = RECORDS / f"{re.sub(r'[^A-Za-z0-9]+', '-', name).strip('-').lower()}-{device}.json"
    sha = results.commit()
    run = {"ratios": ratios, "reuse": reuse, "growth": growth}
    made: dict[str, Any] = {}
    for part in args.parts:
        made[part] = run[part](device, args.quick)
    if args.quick:
        return 0
    kept = json.loads(path.read_text()) if path.exists() else {}
    about = {"hardware": name, "device": device, "threads": torch.get_num_threads(), "versions": versions()}
    about |= {"peak": _peaks(device), "command": f"python -m benchmarks.bench --device {device}"}
    commits = kept.get("commits", {}) | dict.fromkeys(made, sha)
    RECORDS.mkdir(exist_ok=True)
    write_atomically(path, json.dumps(kept | about | made | {"commits": commits}, indent=1) + "\n")
    print(f"record: {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
