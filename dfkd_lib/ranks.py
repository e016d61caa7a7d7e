"""Several processes for one run, as torchrun starts them, one for each GPU: each is a *rank*, a number from 0.

The rule: a rank draws its own noise, or its own of the real images, for its part of each of the recipe's batches, and
the gradients of an update are averaged over ranks. So weights, optimisers and EMA are equal on all ranks, and the
recipe is that of one process. For networks without BatchNorm, and losses that are means over images, the update is
that of one process on the joined batch.

What looks at a batch as a whole looks at a rank's part: BatchNorm's moments (torch's SyncBatchNorm does not run on
CPUs, and the rule should be the same everywhere), Mixup's partners, and losses such as BNmm, DAFL's entropy or HiDFD's
L_reg. Running statistics are averaged over ranks twice a stage, behind the generator's steps and behind the student's.

In a process that is not one of several, nothing here does anything.
"""

import contextlib
import dataclasses
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from .errors import UserError
from .recipe import Recipe

PATIENCE = timedelta(minutes=10)  # with a rank that does not answer, while the run trains
PREPARATION = timedelta(days=1)  # with rank 0, which may have a data set to download, or a teacher to train
_ROLL_CALL = 5.0  # seconds in which those that are left report, once one is missed
_VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")  # torchrun sets them
_SHARED = ("batch", "student_batch", "memory")  # settings of which each rank has its part

Optimizer = TypeVar("Optimizer", bound=torch.optim.Optimizer)
Made = TypeVar("Made")


class Lost(Exception):
    """Another rank ended, or hangs, so that this one cannot go on. `speaks`: whether it is the one to say so."""

    def __init__(self, line: str, speaks: bool):
        super().__init__(line)
        self.speaks = speaks


class _Joined:
    """What belongs to torch's process group, which is one per process, too."""

    store: dist.Store | None = None
    patient: dist.ProcessGroup | None = None  # None is torch's name for the usual group
    lost = False


def together() -> bool:
    """Whether this process is one of several."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def count() -> int:
    """How many ranks there are; 1 in a process by itself."""
    return dist.get_world_size() if together() else 1


def rank() -> int:
    """This process's number; 0 in a process by itself."""
    return dist.get_rank() if together() else 0


@contextlib.contextmanager
def session() -> Iterator[None]:
    """Join the other ranks where torchrun has started this process; only rank 0 prints. At the end, wait for all.

    Raises
    ------
    UserError
        if the others cannot be reached.
    """
    if not set(_VARIABLES) <= os.environ.keys() or os.environ["WORLD_SIZE"] == "1":
        yield
        return
    try:
        _Joined.store, number, size = next(dist.rendezvous("env://", timeout=PATIENCE))
        # Objects and flags go from CPU to CPU on every machine; gradients from GPU to GPU.
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        dist.init_process_group(backend, store=_Joined.store, rank=number, world_size=size, timeout=PATIENCE)
        _Joined.patient = dist.new_group(backend="gloo", timeout=PREPARATION)
    except (RuntimeError, ValueError) as error:
        raise UserError(f"ranks: the others cannot be reached ({str(error).partition(chr(10))[0]})") from error
    with contextlib.ExitStack() as stack:
        usual = signal.signal(signal.SIGTERM, _ended)
        # Once a rank is lost, torchrun's signal must not come between this one and its last line.
        stack.callback(lambda: _Joined.lost or signal.signal(signal.SIGTERM, usual))
        if number:
            nowhere = stack.enter_context(open(os.devnull, "w"))
            stack.enter_context(contextlib.redirect_stdout(nowhere))
            stack.enter_context(contextlib.redirect_stderr(nowhere))
        yield
        with contextlib.suppress(Lost):  # the work is done
            gather(None, patient=True)  # torchrun ends all when one has ended in an error: rank 0 must have spoken
    dist.destroy_process_group()


def _ended(number: int, frame: object) -> None:
    """SIGTERM outside of the training loop. torchrun sends it when a rank has died: the others have a line to say."""
    if not _Joined.lost:
        raise SystemExit(128 + number)


def take_gpu() -> None:
    """Make "cuda" the GPU of this rank.

    Raises
    ------
    UserError
        if there are more ranks on this machine than GPUs.
    """
    if together():
        number, gpus = int(os.environ.get("LOCAL_RANK", 0)), torch.cuda.device_count()
        if number >= gpus:
            raise UserError(f"device: there are more processes than GPUs on a machine; give --nproc-per-node {gpus}")
        torch.cuda.set_device(number)


def share(recipe: Recipe, uses: tuple[str, ...]) -> Recipe:
    """A rank's part of a recipe, for a method that `uses` these settings: of its batches, and of what it remembers.

    Raises
    ------
    UserError
        for what cannot be parted equally.
    """
    parts = {name: getattr(recipe, name) for name in _SHARED if name in uses}
    for name, value in parts.items():
        if value % count():
            near = max(value // count(), 1) * count()
            raise UserError(f"{name}: {value} cannot be shared equally by {count()} ranks; give --set {name}={near}")
    return dataclasses.replace(recipe, **{name: value // count() for name, value in parts.items()})


def own_seed(seed: int) -> int:
    """A seed for what each rank draws by itself. Rank 0's is the run's."""
    # 32 bits: torch's generator on the CPU reads no more of a seed.
    return int(np.random.SeedSequence((seed, rank())).generate_state(1)[0]) if rank() else seed


# --- what ranks tell each other ------------------------------------------------------------------------------------
# Whoever calls one of these waits until all have.


def averaging(optimizer: Optimizer) -> Optimizer:
    """The optimiser; before each of its steps, the gradients become their mean over ranks."""

    def before(optimizer: torch.optim.Optimizer, args: object, kwargs: object) -> None:
        weights = [p for group in optimizer.param_groups for p in group["params"]]
        average([p.grad for p in weights if p.grad is not None])

    if together():
        optimizer.register_step_pre_hook(before)
    return optimizer


@torch.no_grad()
def average(tensors: list[Tensor]) -> None:
    """Make the tensors, of equal shapes on all ranks, their mean over ranks; to the same bits everywhere."""
    if not together() or not tensors:
        return
    flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
    with _reached():
        dist.all_reduce(flat)
    flat /= count()
    for tensor, mean in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
        tensor.copy_(mean.view(tensor.shape))


def gather(value: Any, *, patient: bool = False) -> list[Any]:
    """Every rank's value, on every rank. `patient`: also if one takes hours."""
    if not together():
        return [value]
    values = [None] * count()
    with _reached():
        dist.all_gather_object(values, value, _Joined.patient if patient else None)
    return values


def collect(value: Any) -> list[Any]:
    """Every rank's value, its tensors on the CPU, on rank 0; an empty list elsewhere."""
    if not together():
        return [value]
    values = [] if rank() else [None] * count()
    with _reached():
        dist.gather_object(_on_cpu(value), None if rank() else values)
    return values


@contextlib.contextmanager
def agreed() -> Iterator[None]:
    """What is inside, and calls nothing of this section, must go well everywhere: one rank's UserError is everybody's.

    Raises
    ------
    UserError
        that of the lowest rank that has one.
    """
    mine = None
    try:
        yield
    except UserError as error:
        if not together():
            raise
        mine = error
    for line in gather(mine and str(mine), patient=True):
        if line:
            raise UserError(line) from mine


def in_turn(work: Callable[[], Made]) -> Made:
    """What `work` returns. Rank 0 does it first: what it downloads, or trains and keeps, the others find there."""
    for turn in range(min(count(), 2)):
        with agreed():
            if turn == min(rank(), 1):
                made = work()
    return made


@contextlib.contextmanager
def _reached() -> Iterator[None]:
    """Around a call to the others. torch's errors say which connection broke: say which rank is missing."""
    try:
        yield
    except RuntimeError as error:
        _Joined.lost = True
        missing, here = _roll_call()
        if not missing:
            raise Lost(f"the ranks cannot go on together ({str(error).partition(chr(10))[0]})", not rank()) from error
        names = f"rank{'s' * (len(missing) > 1)} {', '.join(map(str, missing))}"
        verb = "do not answer: they ended, or hang" if len(missing) > 1 else "does not answer: it ended, or hangs"
        raise Lost(f"{names} {verb}", rank() == here[0]) from error


def _roll_call() -> tuple[list[int], list[int]]:
    """The ranks that do not report, and those that do; ends early when only one is missing."""
    here, until = [rank()], time.monotonic() + _ROLL_CALL
    with contextlib.suppress(RuntimeError):  # the store itself may be gone
        if _Joined.store:
            _Joined.store.set(f"here/{rank()}", "")
        while _Joined.store and len(here) < count() - 1 and time.monotonic() < until:
            time.sleep(0.05)
            here = [n for n in range(count()) if n == rank() or _Joined.store.check([f"here/{n}"])]
    return [n for n in range(count()) if n not in here], here


def speak(lost: Lost) -> None:
    """Say that a rank is lost, once for all: the lowest that is left does, though it may have been silent before."""
    if lost.speaks:
        print(f"error: {lost}", file=sys.__stderr__, flush=True)


def _on_cpu(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _on_cpu(part) for name, part in value.items()}
    return value.cpu() if isinstance(value, Tensor) else value
