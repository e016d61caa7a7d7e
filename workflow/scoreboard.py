"""A table of all records in a folder, one row per method and setting: `python workflow/scoreboard.py output/grid`."""

import math
import sys
from pathlib import Path
from typing import Any

from dfkd_lib import results
from dfkd_lib.errors import UserError

HEAD = ("data set", "teacher-student", "recipe", "method", "settings", "seeds", "last (%)", "best (%)", "lost")


def rows(records: list[dict[str, Any]]) -> list[list[str]]:
    """What differs in its seed alone is one row: mean over the seeds, and half the 95 % interval of the last."""
    arms: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for r in records:
        settings = " ".join(f"{name}={value}" for name, value in r["changes"].items())
        arm = (r["dataset"], r["pair"], r["parameters"].get("paper", "ours"), r["method"], settings)
        arms.setdefault(arm, []).append(r)
    table = []
    for arm, made in sorted(arms.items()):
        last, half = results.mean_interval(made, "accuracy_last")
        best, _ = results.mean_interval(made, "accuracy_best")
        teacher, _ = results.mean_interval(made, "teacher_accuracy")
        spread = "" if math.isnan(half) else f" ± {half:.2f}"  # one seed tells no spread
        table.append([*arm, str(len(made)), f"{last:.2f}{spread}", f"{best:.2f}", f"{teacher - last:.2f}"])
    return table


def main() -> int:
    if len(sys.argv) != 2:
        print("error: give one folder of records, as in: python workflow/scoreboard.py output/grid", file=sys.stderr)
        return 2
    try:
        records = results.load_records(Path(sys.argv[1]))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for row in (HEAD, ["---"] * len(HEAD), *rows(records)):
        print(f"| {' | '.join(row)} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
