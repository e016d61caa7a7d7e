"""The one loop: alternate generator and student, schedule, log, evaluate, keep checkpoints. It does not know which
paper it runs.
"""

import contextlib
import math
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NoReturn

import torch
from torch import Tensor
from tqdm import tqdm

from . import checkpoint, ranks
from .breakage import Watch, broken_part, check_equal
from .errors import UserError
from .evaluation import Scorer
from .history import History
from .machine import kept_memory
from .methods.method import Method, Terms


def learning_rate_factor(schedule: str, milestones: tuple[float, ...], progress: float) -> float:
    """What the initial learning rate is multiplied by when a share `progress` in [0, 1) of the stages is done."""
    if schedule == "cosine":
        return (1 + math.cos(math.pi * progress)) / 2
    if schedule == "step":
        return 0.1 ** sum(progress >= m for m in milestones)
    return 1.0  # constant


@dataclass(frozen=True)
class Keep:
    """Where a run's state is kept, every so many stages, and what it must say to be continued from."""

    path: Path
    identity: dict[str, Any]
    every: int
    resume: bool = False


class Interrupted(Exception):
    """A run that was asked to end, by signal `number`, and that has `written` its checkpoint if it could."""

    def __init__(self, number: int, stage: int, written: bool):
        kept = "its checkpoint is written" if written else "its checkpoint could not be written"
        super().__init__(f"stopped by {signal.Signals(number).name} behind stage {stage}; {kept}")
        self.number = number


def train(
    method: Method,
    test: Scorer,
    *,
    title: str = "",
    progress: bool | None = None,
    report: int = 0,
    observe: Callable[[int, Method], None] | None = None,
    until: Callable[[History], bool] | None = None,
    keep: Keep | None = None,
) -> History:
    """Run a method for its recipe's stages; test the student every `stages_per_epoch`, and at the end.

    Parameters
    ----------
    progress
        whether to draw a bar on stderr; by default where stderr is a terminal.
    report
        print a line at every evaluation whose stage divides by this; for notebooks, which show no bar.
    observe
        called behind each generator stage with the stage's number, from 1, and the method; for measurements.
    until
        asked behind every test; a run of which it holds ends there.
    keep
        write checkpoints there, also when SIGTERM or SIGINT arrives; with ``resume``, continue from the last one. On
        one kind of processor and with one thread the outcome is the uninterrupted run's, bit for bit.

    Of several `ranks`, each calls this; rank 0 writes the checkpoints, with what is each rank's own.

    Raises
    ------
    FloatingPointError
        where a loss is not finite: with the stage, the step and the term; or a weight. Checkpoints are from before.
    UserError
        where no checkpoint that is there can be continued from, or ranks have come apart.
    Interrupted
        where a signal ended the run, or another rank's; only with `keep`.
    ranks.Lost
        where another rank has ended.
    """
    recipe, history = method.recipe, History()
    stages, updates = recipe.stages, recipe.generator_steps + recipe.student_steps
    for optimizer in method.optimizers():
        optimizer.param_groups[0].setdefault("initial_lr", optimizer.param_groups[0]["lr"])
    sums = torch.zeros(2, device=method.device)  # generator's and student's loss; read once per epoch
    watch, done, since, spent = Watch(method.device), 0, 0, 0.0
    hidden = not sys.stderr.isatty() if progress is None else not progress

    def check(stage: int) -> None:
        if found := watch.broken():
            update, player, term = found
            at, step = divmod(update, updates)
            step -= 0 if player == "generator" else recipe.generator_steps
            _refuse(f"{player}'s loss", f"at stage {at + 1}, {player} step {step + 1}, term {term}", keep)
        if part := broken_part(method):
            _refuse(part.replace("_", "'s "), f"behind stage {stage}, though its losses were", keep)

    keeps_memory = method.device.type == "cpu" and not method.plain
    with _own_randomness(method), kept_memory(keeps_memory), _signals(keep is not None) as caught:
        with ranks.agreed():
            state = checkpoint.load(keep.path, keep.identity) if keep and keep.resume else None
        if len(set(ranks.gather(state and state["stage"]))) > 1:
            raise UserError(
                "resume: not all ranks find the same checkpoint; give an output folder that all machines share"
            )
        if state is None:
            method.prepare()
            ranks.average(method.statistics())
        else:
            try:
                own = state["others"][ranks.rank() - 1] if ranks.rank() else {"method": {}}
                method.load(state["method"] | own.pop("method"))
                state |= own
                _set_randomness(method, state["randomness"])
                history, sums = History(**state["history"]), state["sums"].to(method.device)
                done, since, spent = state["stage"], state["since"], state["spent"]
                history.check(done, since, spent, stages)
                if sums.shape != (2,) or type(method.samples) is not int:
                    raise ValueError("it does not hold what a run keeps")
            except (
                AttributeError,
                KeyError,
                RuntimeError,
                TypeError,
                ValueError,
            ) as error:  # each part refuses in its own way
                line = f"resume: {keep.path} is another version's; delete it to begin anew"
                raise UserError(f"{line}, or give another output folder") from error
            history.resumed.append(done)
            print(f"{title}: continuing behind stage {done:,} of {stages:,}", flush=True)
        check_equal(method.state(), method.own)
        statistics = method.statistics()
        started = time.perf_counter()
        ended = bool(until and history.stage[-1:] == [done] and until(history))  # a run may be continued from its end
        with tqdm(total=stages, initial=done, desc=title, unit="stage", disable=hidden) as bar:
            for stage in range(done + 1, stages + 1):
                if ended:
                    break
                factor = learning_rate_factor(recipe.schedule, recipe.milestones, method.progress(stage))
                for optimizer in method.optimizers():
                    optimizer.param_groups[0]["lr"] = optimizer.param_groups[0]["initial_lr"] * factor
                for step in range(recipe.generator_steps):
                    terms = method.generator_step()
                    watch.see((stage - 1) * updates + step, "generator", terms)
                    sums[0] += _total(terms) / recipe.generator_steps
                method.end_generator_stage()
                ranks.average(statistics)
                if observe:
                    spent += time.perf_counter() - started
                    observe(stage, method)
                    started = time.perf_counter()
                for step in range(recipe.student_steps):
                    terms = method.student_step(step)
                    watch.see((stage - 1) * updates + recipe.generator_steps + step, "student", terms)
                    sums[1] += _total(terms) / recipe.student_steps
                ranks.average(statistics)
                since += 1
                bar.update()
                # All in the same stage, though one was told first. A rank that has died is noticed here, between CPUs:
                # a GPU would wait for it.
                stopped = max(ranks.gather(caught[0] if caught else 0))
                testing = stage % recipe.stages_per_epoch == 0 or stage == stages
                keeping = keep and (stopped or stage % keep.every == 0 or stage == stages)
                if testing or keeping:
                    check(stage)
                    check_equal(method.state(), method.own)
                if testing:
                    ranks.average([sums])
                    generator_loss, student_loss = (sums / since).tolist()
                    spent += time.perf_counter() - started
                    scores = test.scores(method)
                    share = f"agreement {scores.agreement:.1f} %"
                    share = share if scores.accuracy is None else f"accuracy {scores.accuracy:.1f} %"
                    history.append(
                        stage=stage,
                        samples=method.samples,
                        seconds=spent,
                        generator_loss=generator_loss,
                        student_loss=student_loss,
                        **asdict(scores),
                    )
                    if report and stage % report == 0:
                        print(
                            f"{title}: stage {stage} of {stages}, {share}, "
                            f"loss {student_loss:.3f}, {history.throughput:,.0f} images/s",
                            flush=True,
                        )
                    bar.set_postfix_str(f"{share}, loss={student_loss:.3f}")
                    sums.zero_()
                    since, started = 0, time.perf_counter()
                    ended = bool(until and until(history))
                if keeping or (keep and ended):
                    spent += time.perf_counter() - started
                    where = {"stage": stage, "since": since, "spent": spent, "history": history.asdict()}
                    written = _save(keep, method, where, sums)
                    started = time.perf_counter()
                    if stopped and stage < stages and not ended:
                        raise Interrupted(stopped, stage, written)
    return history


def _total(terms: Terms) -> Tensor | float:
    return sum(terms.values())


def _save(keep: Keep, method: Method, progress: dict[str, Any], sums: Tensor) -> bool:
    """A checkpoint that cannot be written is no reason to lose the run: say so, and try again the next time."""
    state = method.state()
    own = {"randomness": _randomness(method), "sums": sums}
    others = ranks.collect(own | {"method": {name: state[name] for name in method.own}})[1:]
    if ranks.rank():
        return True
    state = progress | own | {"method": state, "others": others}
    try:
        checkpoint.save(keep.path, keep.identity, state)
    except OSError as error:
        line = f"checkpoint: cannot write {keep.path} ({error.strerror}); the run goes on, the last one stays"
        print(line, file=sys.stderr, flush=True)
        return False
    return True


def _refuse(what: str, where: str, keep: Keep | None) -> NoReturn:
    before = f"; the last checkpoint from before is {keep.path}" if keep and keep.path.exists() else ""
    raise FloatingPointError(
        f"the {what} is not finite {where}{before}; begin anew with a lower student_lr or generator_lr, which usually "
        "cures it"
    )


@contextlib.contextmanager
def _own_randomness(method: Method) -> Iterator[None]:
    """Dropout draws from torch's global random state: give the run its own, and leave everybody else's alone."""
    cuda = method.device.type == "cuda"
    with torch.random.fork_rng(devices=[torch.cuda.current_device()] if cuda else []):
        seed = ranks.own_seed(method.seed)
        torch.default_generator.manual_seed(seed)
        if cuda:
            torch.cuda.manual_seed(seed)
        yield


def _randomness(method: Method) -> dict[str, Tensor]:
    cuda = {"cuda": torch.cuda.get_rng_state()} if method.device.type == "cuda" else {}
    return {"cpu": torch.get_rng_state()} | cuda


def _set_randomness(method: Method, states: dict[str, Tensor]) -> None:
    torch.set_rng_state(states["cpu"])
    if method.device.type == "cuda":
        torch.cuda.set_rng_state(states["cuda"])


@contextlib.contextmanager
def _signals(active: bool) -> Iterator[list[int]]:
    """Note SIGTERM and SIGINT in a list, so that a stage can end first; a second one ends the process at once."""
    caught: list[int] = []
    if not active or threading.current_thread() is not threading.main_thread():
        yield caught
        return

    def note(number: int, frame: object) -> None:
        caught.append(number)
        signal.signal(number, signal.SIG_DFL)

    usual = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield caught
    finally:
        for number, handler in usual.items():
            signal.signal(number, handler)
