"""Time, work and memory of what `cases` makes. All variants of a case are timed in turn, in one process."""

import ctypes
import pickle
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.cases import Case, run_stage

ROOT = Path(__file__).resolve().parents[1]


def interleaved(stages: dict[str, Callable[[], None]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each stage in each round. In a round all are run, in an order that turns: what disturbs the machine
    disturbs all of them.
    """
    seconds: dict[str, list[float]] = {name: [] for name in stages}
    for stage in stages.values():  # the first call chooses kernels and fills caches
        stage()
    names = list(stages)
    for turn in range(rounds):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            started = time.perf_counter()
            stages[name]()
            seconds[name].append(time.perf_counter() - started)
    return seconds


def spread(values: list[float]) -> dict[str, float]:
    """Median and quartiles."""
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return {"median": middle, "low": low, "high": high}


def operations(stage: Callable[[], None]) -> int:
    """Floating-point operations of a stage, by torch's own counter: of matrix products and convolutions."""
    with FlopCounterMode(display=False) as counter:
        stage()
    return counter.get_total_flops()


def peak(device: str, dtype: torch.dtype) -> float:
    """Floating-point operations per second of a large matrix product: what this machine can do."""
    n = 8192 if device == "cuda" else 2048
    a, b = (torch.randn(n, n, device=device).to(dtype) for _ in range(2))

    def product() -> None:
        a @ b
        if device == "cuda":
            torch.cuda.synchronize()

    return 2 * n**3 / min(interleaved({"product": product}, 7)["product"])


def measure(case: Case, device: str) -> dict[str, Any]:
    """A case's variants: seconds a stage, operations, peak memory; and how much faster than plain."""
    made = {variant: case.make(variant, device) for variant in case.variants}
    seconds = interleaved({variant: partial(run_stage, method) for variant, (method, _) in made.items()}, case.rounds)
    compiled = {variant: mode for variant, (_, mode) in made.items()}
    del made
    recipe = case.recipe
    found: dict[str, Any] = {"case": case.name, "method": case.method, "pair": recipe.pair, "rounds": case.rounds}
    found |= {name: getattr(recipe, name) for name in ("batch", "student_batch", "generator_steps", "student_steps")}
    found["variants"] = {
        variant: {
            "seconds": spread(seconds[variant]),
            # Not on what is compiled: a CUDA graph shows its operations to nobody.
            "operations": operations(partial(run_stage, case.make(variant, device, compiling=False)[0])),
            "memory_mib": memory(case, variant, device),
            "compiled": compiled[variant],
        }
        for variant in case.variants
    }
    plain, fast = (seconds[variant] for variant in case.variants)
    return found | {"ratio": spread([slow / quick for slow, quick in zip(plain, fast, strict=True)])}


def memory(case: Case, variant: str, device: str) -> float:
    """MiB that a stage adds at its peak, in a process of its own."""
    code = "import pickle, sys; from benchmarks.measure import grown; print(grown(*pickle.load(sys.stdin.buffer)))"
    what = pickle.dumps((case, variant, device))
    done = subprocess.run([sys.executable, "-c", code], input=what, capture_output=True, check=True, cwd=ROOT)
    return float(done.stdout)


def grown(case: Case, variant: str, device: str) -> float:
    """MiB that this process uses more at its peak, in a stage, than before it. On a CPU: Linux with glibc."""
    method, _ = case.make(variant, device)
    run_stage(method)
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        run_stage(method)
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    ctypes.CDLL("libc.so.6").malloc_trim(0)  # what was freed, and kept for later, would count as used
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
    before = _peak_mib()
    run_stage(method)
    return _peak_mib() - before


def _peak_mib() -> float:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 2**10
