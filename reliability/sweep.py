"""Bad inputs to every public entry, generated from a seed: each must be refused in one line, and leave nothing behind.

``python -m reliability.sweep``; `make nightly` runs it. A valid input among them must be accepted, with the right
result. It prints how many there were of each outcome, with ``--keep`` also into a record, and ends with 1 if one
was not as it should be.
"""

import argparse
import sys
import time
from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Any

import torch

from reliability import record
from reliability.asked import parameters, run_command, teachers_command
from reliability.data_sets import images, npz
from reliability.functions import functions
from reliability.kept import checkpoints, forget_stopped_run, records, stopped_run
from reliability.own_teacher import own_teacher
from reliability.trained import digits, teacher_files, weights
from reliability.trial import REFUSED, RIGHT, WRONG, Case, Outcome, surroundings, tried

# An entry, what draws an input to it, and its share of all inputs.
ENTRIES: dict[str, tuple[Callable[[Random], Case], int]] = {
    "parameters": (parameters, 4),
    "run": (run_command, 4),
    "teachers": (teachers_command, 2),
    "functions": (functions, 3),
    "own teacher": (own_teacher, 2),
    "npz": (npz, 4),
    "images": (images, 2),
    "teacher files": (teacher_files, 4),
    "checkpoints": (checkpoints, 2),
    "records": (records, 3),
}
COUNT = 2000


def swept(count: int, seed: int, entries: dict[str, tuple[Callable[[Random], Case], int]]) -> dict[str, list[Outcome]]:
    """So many inputs, shared among the entries; each entry's are its own, whatever the others are."""
    total = sum(share for _, share in entries.values())
    found: dict[str, list[Outcome]] = {}
    for name, (draw, share) in entries.items():
        chance = Random(f"{name} {seed}")
        found[name] = [tried(draw(chance)) for _ in range(max(1, count * share // total))]
        for outcome in found[name]:
            if not outcome.well:
                print(f"{outcome.kind}: {name}: {outcome.case.what}: {outcome.told}", flush=True)
    return found


def table(found: dict[str, list[Outcome]]) -> str:
    """How many there were of each outcome, by entry."""
    kinds = [REFUSED, RIGHT, *WRONG]
    lines = [f"{'entry':14s} {'inputs':>6s}" + "".join(f" {kind:>9s}" for kind in kinds)]
    for name, outcomes in found.items():
        counts = Counter(outcome.kind for outcome in outcomes)
        lines.append(f"{name:14s} {len(outcomes):6d}" + "".join(f" {counts[kind]:9d}" for kind in kinds))
    return "\n".join(lines)


def warm() -> None:
    """Import and load what trials need, before they fork."""
    torch.set_num_threads(1)
    digits(), weights(), stopped_run()


def main(argv: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m reliability.sweep", description=__doc__)
    parser.add_argument("--count", type=int, default=COUNT, help="inputs in all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--entry", choices=ENTRIES, action="append", help="only this one; may be given again")
    parser.add_argument("--keep", action="store_true", help="write the record")
    args = parser.parse_args(argv)
    entries = {name: ENTRIES[name] for name in args.entry or ENTRIES}
    started = time.perf_counter()
    with surroundings():
        warm()
        try:
            found = swept(args.count, args.seed, entries)
        finally:
            forget_stopped_run()
    print(table(found))
    outcomes = [outcome for of_one in found.values() for outcome in of_one]
    bad = [outcome for outcome in outcomes if not outcome.well]
    print(f"{len(outcomes)} inputs, {len(bad)} not as they should be; {time.perf_counter() - started:.0f} s")
    if args.keep:
        counts: dict[str, Any] = {name: Counter(outcome.kind for outcome in of_one) for name, of_one in found.items()}
        words = f"python -m reliability.sweep --count {args.count} --seed {args.seed} --keep"
        print(f"record: {record.write('sweep', words, {'inputs': len(outcomes), 'outcomes': counts})}")
    return int(bool(bad))


if __name__ == "__main__":
    sys.exit(main())
