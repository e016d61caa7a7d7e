"""What `python -m dfkd_lib.run list` prints."""

from . import catalogue
from .methods import METHODS
from .methods.method import Method
from .recipes import METHOD_PAPERS, RECIPES


def listing() -> str:
    """The methods, data sets, networks and recipes, as text."""
    lines = ["methods (--method), and whose recipe each runs with where that paper has one:"]
    lines += [f"  {name:14s} {METHOD_PAPERS.get(name, 'ours'):6s} {_summary(kind)}" for name, kind in METHODS.items()]
    lines += ["", "data sets (--dataset), or any NAME whose NAME.npz is in $DFKD_DATA:"]
    lines += [
        f"  {name:18s} {i.classes:4d} classes, {i.channels}×{i.size}×{i.size}" for name, i in catalogue.DATASETS.items()
    ]
    lines += ["", "networks, for --pair TEACHER-STUDENT:", "  " + ", ".join(sorted(catalogue.NETWORKS))]
    lines += ["", "recipes (--recipe): paper, data set, pair, schedule:"]
    for r in RECIPES:
        steps = f"{r.stages:,} stages of {r.generator_steps} + {r.student_steps} steps on {r.student_batch} images"
        lines.append(f"  {r.paper:6s} {r.dataset:14s} {r.pair:28s} {steps}")
    return "\n".join(lines)


def _summary(kind: type[Method]) -> str:
    return (kind.__doc__ or "").strip().splitlines()[0]
