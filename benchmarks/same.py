"""Whether the fast path takes the public loop's steps: the losses of the first stages, from the same seed."""

from dataclasses import replace
from typing import Any

from benchmarks.cases import PLAIN, Case, cases
from dfkd_lib.budget import resolve_precision
from dfkd_lib.methods.method import Method

STAGES = 3


def losses(method: Method, stages: int = STAGES) -> list[dict[str, list[float]]]:
    """Of each stage the losses of its steps, by player."""
    found = []
    for _ in range(stages):
        steps = {"generator": [method.generator_step() for _ in range(method.recipe.generator_steps)]}
        method.end_generator_stage()
        steps["student"] = [method.student_step(step) for step in range(method.recipe.student_steps)]
        found.append({player: [float(sum(terms.values())) for terms in taken] for player, taken in steps.items()})
    return found


def gaps(plain: list[dict[str, list[float]]], fast: list[dict[str, list[float]]]) -> list[float]:
    """Of each stage the largest difference, as a share of the mean size of that player's loss."""
    found = []
    for slow, quick in zip(plain, fast, strict=True):
        sizes = {player: sum(map(abs, taken)) / len(taken) for player, taken in slow.items()}
        found.append(
            max(
                abs(a - b) / sizes[player]
                for player, taken in slow.items()
                for a, b in zip(taken, quick[player], strict=True)
            )
        )
    return found


def compared(case: Case, device: str) -> list[dict[str, Any]]:
    """The gaps of a case in float32, where only the order of sums differs, and in the precision of the fast path."""
    made = {
        precision: case.make(precision, device) for precision in (PLAIN, "float32", resolve_precision("auto", device))
    }
    taken = {precision: losses(method) for precision, (method, _) in made.items()}
    return [
        {"case": case.name, "precision": precision, "compiled": made[precision][1], "gaps": gaps(taken[PLAIN], own)}
        for precision, own in taken.items()
        if precision != PLAIN
    ]


def tried(device: str) -> list[Case]:
    """DFAD and MAD on digits and on WRN, DFAD on ResNet; on a CPU with few images."""
    few = {} if device == "cuda" else {"batch": 8, "student_batch": 8}
    return [
        replace(case, settings=case.settings | ({} if case.dataset == "digits" else few))
        for case in cases(device)
        if case.method in ("dfad", "mad") and case.dataset != "mnist"
    ]
