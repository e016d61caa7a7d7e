"""Time, work and memory of what `cases` makes. All variants of a case are timed in turn."""

import ctypes
import multiprocessing
import resource
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import AbstractContextManager
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.cases import FAST, Case, run_stage
from dfkd_lib.machine import kept_memory

PROCESSES = multiprocessing.get_context("spawn")


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


def keeping(variant: str, device: str) -> AbstractContextManager[None]:
    """How the training loop keeps memory."""
    return kept_memory(variant == FAST and device == "cpu")


def serve(pipe: Connection, case: Case, variant: str, device: str) -> None:
    """Say how the variant is compiled; then, as often as it is asked, run stages, and say what pages one had anew."""
    method, compiled = case.make(variant, device)
    pipe.send(compiled)
    with keeping(variant, device):
        while pipe.recv():
            before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
            for _ in range(case.stages):
                run_stage(method)
            pipe.send((resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) / case.stages)


def taking_turns(case: Case, device: str) -> tuple[dict[str, str], dict[str, list[float]], dict[str, list[float]]]:
    """By variant: how it is compiled; and of each round a stage's seconds, and the pages that it had from the system.

    Each variant has a process of its own, as in a run: how memory is kept is a process's. Only one of them works at a
    time.
    """
    pipes, processes = {}, []
    for variant in case.variants:
        pipes[variant], other = PROCESSES.Pipe()
        processes.append(PROCESSES.Process(target=serve, args=(other, case, variant, device), daemon=True))
        processes[-1].start()
        other.close()  # so that a process that dies is noticed
    compiled = {variant: pipe.recv() for variant, pipe in pipes.items()}
    pages: dict[str, list[float]] = {variant: [] for variant in pipes}

    def turn(variant: str) -> None:
        pipes[variant].send(True)
        pages[variant].append(pipes[variant].recv())

    seconds = interleaved({variant: partial(turn, variant) for variant in pipes}, case.rounds)
    for pipe, process in zip(pipes.values(), processes, strict=True):
        pipe.send(False)
        process.join()
    per_stage = {variant: [s / case.stages for s in taken] for variant, taken in seconds.items()}
    return compiled, per_stage, {variant: found[1:] for variant, found in pages.items()}


def measure(case: Case, device: str) -> dict[str, Any]:
    """A case's variants: seconds a stage, operations, peak memory; and how much faster than plain."""
    compiled, seconds, pages = taking_turns(case, device)
    recipe = case.recipe
    found: dict[str, Any] = {"case": case.name, "method": case.method, "pair": recipe.pair, "rounds": case.rounds}
    found |= {name: getattr(recipe, name) for name in ("batch", "student_batch", "generator_steps", "student_steps")}
    found["variants"] = {
        variant: {
            "seconds": spread(seconds[variant]),
            # Not on what is compiled: a CUDA graph shows its operations to nobody.
            "operations": operations(partial(run_stage, case.make(variant, device, compiling=False)[0])),
            "memory_mib": memory(case, variant, device),
            "new_pages": statistics.median(pages[variant]),
            "compiled": compiled[variant],
        }
        for variant in case.variants
    }
    plain, fast = (seconds[variant] for variant in case.variants)
    return found | {"ratio": spread([slow / quick for slow, quick in zip(plain, fast, strict=True)])}


def memory(case: Case, variant: str, device: str) -> float:
    """MiB that a stage adds at its peak, in a process of its own."""
    with ProcessPoolExecutor(1, PROCESSES) as pool:
        return pool.submit(grown, case, variant, device).result()


def grown(case: Case, variant: str, device: str) -> float:
    """MiB that this process uses more at its peak, in a stage, than before it. On a CPU: Linux with glibc."""
    method, _ = case.make(variant, device)
    run_stage(method)
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        run_stage(method)
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    with keeping(variant, device):
        run_stage(method)
        ctypes.CDLL("libc.so.6").malloc_trim(0)  # what was freed, and kept for later, would count as used
        Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
        before = _peak_mib()
        run_stage(method)
        return _peak_mib() - before


def _peak_mib() -> float:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 2**10
