"""The one loop: stages, tests, log, checkpoints, resume. It knows no paper."""

import contextlib
import copy
import ctypes
import io
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler
from torch.optim.optimizer import register_optimizer_step_pre_hook
from torch.utils.flop_counter import FlopCounterMode
from tqdm import tqdm

from .data import Dataset, Images
from .errors import UserError, first_line
from .files import write_atomically
from .losses import kl
from .methods import Losses, State
from .teachers import accuracy, logits_of

# --- tests of a student ---------------------------------------------------------------


@dataclass(frozen=True)
class Scores:
    """Accuracy and agreement in percent; KL(p_T ‖ p_S) in nats, averaged over images."""

    accuracy: float | None  # None without labels
    agreement: float
    kl: float


@dataclass(frozen=True)
class TestSet:
    """Test images and labels on the device, with the teacher's logits."""

    x: Float[Tensor, "test channels height width"] | Images
    y: Int[Tensor, " test"]
    teacher_logits: Float[Tensor, "test classes"]

    __test__ = False  # pytest would take the name for its own

    @classmethod
    def of(cls, dataset: Dataset, teacher: nn.Module, device: Any) -> "TestSet":
        """The test part of a data set; the teacher is on the device already."""
        images = Images.of(dataset, device, "test")
        return cls(images, images.y, logits_of(teacher, images))

    def scores(self, state: State) -> Scores:
        """A run's student on these images."""
        return evaluate(state.student, self)


def evaluate(student: nn.Module, test: TestSet) -> Scores:
    """A student on test images, in evaluation mode."""
    logits, answers = logits_of(student, test.x), test.teacher_logits
    return Scores(
        accuracy(logits, test.y),
        accuracy(logits, answers.argmax(1)),
        kl(answers, logits).item(),
    )


@dataclass
class History:
    """One row a test. Losses are means over the stages since the row before."""

    stage: list[int] = field(default_factory=list)
    samples: list[int] = field(default_factory=list)  # images S was trained on
    seconds: list[float] = field(default_factory=list)  # of training alone
    generator_loss: list[float] = field(default_factory=list)
    student_loss: list[float] = field(default_factory=list)
    accuracy: list[float | None] = field(default_factory=list)  # percent
    agreement: list[float] = field(default_factory=list)  # percent
    kl: list[float] = field(default_factory=list)  # nats
    resumed: list[int] = field(default_factory=list)  # stages where it was resumed
    flop: int = 0  # of all stages, each pass through each network

    asdict = asdict

    def append(self, **row: float | None) -> None:
        for name, value in row.items():
            getattr(self, name).append(value)


# --- several processes, as torchrun starts them ---------------------------------------
# Each draws its own noise for its part of each batch; gradients are averaged before
# every update, BatchNorm's running statistics after every stage.


def world() -> int:
    """How many processes make this run."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """This process's number, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


@contextlib.contextmanager
def joined() -> Iterator[None]:
    """Join the others that torchrun has started, if any; only rank 0 prints."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield
        return
    dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else None)
    with contextlib.ExitStack() as stack:
        if rank():
            nowhere = stack.enter_context(open(os.devnull, "w"))
            stack.enter_context(contextlib.redirect_stdout(nowhere))
        yield
    dist.destroy_process_group()


@torch.no_grad()
def average(tensors: list[Tensor]) -> None:
    """Make the tensors their mean over all processes, to the same bits everywhere."""
    if world() == 1 or not tensors:
        return
    flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
    dist.all_reduce(flat)
    parts = (flat / world()).split([tensor.numel() for tensor in tensors])
    for tensor, mean in zip(tensors, parts, strict=True):
        tensor.copy_(mean.view(tensor.shape))


@contextlib.contextmanager
def averaged_gradients() -> Iterator[None]:
    """Every optimiser of weights takes its steps on the mean gradient."""

    def before(optimizer: torch.optim.Optimizer, *_: Any) -> None:
        groups = (group["params"] for group in optimizer.param_groups)
        weights = [p for group in groups for p in group if isinstance(p, nn.Parameter)]
        average([p.grad for p in weights if p.grad is not None])

    handle = register_optimizer_step_pre_hook(before) if world() > 1 else None
    yield
    if handle:
        handle.remove()


def gather(value: Any) -> list[Any]:
    """The value of every process, in all of them."""
    values = [None] * world()
    if world() > 1:
        dist.all_gather_object(values, value)
    return values if world() > 1 else [value]


# --- checkpoints ----------------------------------------------------------------------


@dataclass(frozen=True)
class Keep:
    """Where a run's state is kept, every so many stages, and which run it is of."""

    path: Path
    identity: dict[str, Any]
    every: int
    resume: bool = False

    def load(self) -> dict[str, Any] | None:
        """What `save` wrote; None if there is nothing, or nothing is to be resumed.

        Raises
        ------
        UserError
            for a file that is damaged or another run's.
        """
        if not self.resume or not self.path.exists():
            return None
        advice = f"delete {self.path} to begin again, or give another output folder"
        try:
            saved = torch.load(self.path, map_location="cpu", weights_only=True)
            found, state = saved["identity"], saved["state"]
        except Exception as error:  # foreign bytes fail in their own ways
            raise UserError(
                f"resume: {self.path} is no checkpoint of this library or is damaged "
                f"({first_line(error)}); {advice}"
            ) from error
        for name, value in self.identity.items():
            if found.get(name) != value:
                there, here = _difference(found.get(name), value)
                raise UserError(
                    f"resume: {self.path} is another run's: its {name} is {there!r}, "
                    f"here it is {here!r}; {advice}"
                )
        return state

    def save(self, state: dict[str, Any]) -> bool:
        """Write the state, whole or not at all; say so where that is impossible."""
        stream = io.BytesIO()
        torch.save({"identity": self.identity, "state": state}, stream)
        try:
            write_atomically(self.path, stream.getvalue())
        except OSError as error:
            print(
                f"checkpoint: cannot write {self.path} ({error.strerror}); the run "
                "goes on, and the last checkpoint stays",
                file=sys.stderr,
            )
            return False
        return True


def _difference(found: Any, wanted: Any) -> tuple[Any, Any]:
    if not isinstance(found, dict) or not isinstance(wanted, dict):
        return found, wanted
    names = [n for n in {**found, **wanted} if found.get(n) != wanted.get(n)]
    return tuple({n: side.get(n) for n in names} for side in (found, wanted))


class Interrupted(Exception):
    """A run that signal `number` ended; its checkpoint is written if that was possible."""

    def __init__(self, number: int, stage: int, written: bool):
        kept = "is written" if written else "could not be written"
        name = signal.Signals(number).name
        super().__init__(f"stopped by {name} after stage {stage}; its checkpoint {kept}")
        self.number = number


# --- the loop -------------------------------------------------------------------------


def train(
    settings: Any,
    state: State,
    test: Any,
    *,
    title: str = "",
    progress: bool | None = None,
    report: int = 0,
    observe: Callable[[State], None] | None = None,
    until: Callable[[History], bool] | None = None,
    keep: Keep | None = None,
) -> History:
    """Run a method's stages; test the student every `stages_per_epoch` and at the end.

    Parameters
    ----------
    settings, state, test
        a method's settings, what their `start` returned, and what tests the student:
        a `TestSet`, or anything whose ``scores(state)`` returns `Scores`.
    progress, report
        whether to draw a bar on stderr (by default on a terminal), and every how many
        stages to print a line; 0: at no test.
    observe
        called with the state in each stage, when the generator has just moved.
    until
        asked after each test; a run of which it holds ends there.
    keep
        write checkpoints, also when SIGTERM or SIGINT arrives; resume from the last.
        On one kind of processor, a resumed run is the same to the last bit.

    Raises
    ------
    FloatingPointError
        for a loss that is not finite, with its stage, step and term.
    UserError
        where the checkpoint cannot be used.
    Interrupted
        where a signal ended the run; only with `keep`.
    """
    history, stages, done = History(), settings.stages, 0
    clock, work, pending = _Clock(), _Work(), []
    state.observe = observe and clock.paused(observe)
    rows = torch.zeros(0, 2, device=state.task.device)  # losses since the last test
    hidden = not sys.stderr.isatty() if progress is None else not progress

    with (
        _own_randomness(state),
        kept_memory(state.task.device.type == "cpu"),
        averaged_gradients(),
        _signals(keep is not None) as caught,
        tqdm(total=stages, desc=title, unit="stage", disable=hidden) as bar,
    ):
        if saved := keep and keep.load():
            done = saved["stage"]
            _restore(state, saved, keep)
            history = History(**saved["history"])
            history.resumed.append(done)
            rows, clock.spent = saved["rows"].to(rows.device), saved["spent"]
            work.__dict__.update(saved["work"])
            bar.update(done)
            print(f"{title}: resumed after stage {done:,} of {stages:,}", flush=True)
        ended = bool(until and history.stage[-1:] == [done] and until(history))
        clock.start()
        while done < stages and not ended:
            state.stage = done + 1
            losses = work.of(settings.stage, state)
            done += 1
            bar.update()
            average(_statistics(state))
            with warnings.catch_warnings():  # HiDFD's student waits for the GAN
                warnings.simplefilter("ignore", UserWarning)
                for part in state.parts().values():
                    if isinstance(part, LRScheduler):
                        part.step()
            pending.append((done, losses))
            rows = torch.cat([rows, _means(losses, rows.device)])
            stopped = max(gather(caught[0] if caught else 0))
            testing = done % settings.stages_per_epoch == 0 or done == stages
            keeping = keep and (stopped or done % keep.every == 0 or done == stages)
            if testing or keeping:
                _check_finite(pending, state)
                pending.clear()
            if testing:
                average([rows])
                generator_loss, student_loss = rows.mean(0).tolist()
                clock.stop()
                scores = test.scores(state)
                history.append(
                    stage=done,
                    samples=state.samples * world(),
                    seconds=clock.spent,
                    generator_loss=generator_loss,
                    student_loss=student_loss,
                    **asdict(scores),
                )
                history.flop, rows = work.total() * world(), rows[:0]
                line = _line(history, stages)
                bar.set_postfix_str(line)
                if report and done % report == 0:
                    print(f"{title}: {line}", flush=True)
                ended = bool(until and until(history))
                clock.start()
            if keeping or (keep and ended):
                clock.stop()
                made = {"stage": done, "history": history.asdict(), "rows": rows}
                made |= {"spent": clock.spent, "work": dict(work.__dict__)}
                written = _save(state, made, keep)
                clock.start()
                if stopped and done < stages and not ended:
                    raise Interrupted(stopped, done, written)
    return history


def _line(history: History, stages: int) -> str:
    """The last test in words."""
    accuracy, agreement = history.accuracy[-1], history.agreement[-1]
    known = f"agreement {agreement:.1f} %"
    if accuracy is not None:
        known = f"accuracy {accuracy:.1f} %"
    rate = history.samples[-1] / max(history.seconds[-1], 1e-9)
    return (
        f"stage {history.stage[-1]:,} of {stages:,}, {known}, "
        f"loss {history.student_loss[-1]:.3f}, {rate:,.0f} images/s"
    )


def _means(losses: Losses, device: torch.device) -> Float[Tensor, "1 2"]:
    """The generator's and the student's mean loss of a stage; 0 for who had no step."""
    row = []
    for player in ("generator", "student"):
        sums = [sum(terms.values()) for who, terms in losses.updates if who == player]
        mean = torch.stack(sums).mean() if sums else torch.zeros((), device=device)
        row.append(mean.float())
    return torch.stack(row)[None]


def _check_finite(pending: list[tuple[int, Losses]], state: State) -> None:
    """Name the first loss or weight that is not finite; reads the device once."""
    named, values, cure = [], [], "begin again with a lower student_lr or generator_lr"
    for stage, losses in pending:
        steps: dict[str, int] = {}
        for player, terms in losses.updates:
            steps[player] = steps.get(player, 0) + 1
            for term, value in terms.items():
                named.append(f"stage {stage}, {player} step {steps[player]}: {term}")
                values.append(value.reshape(()).float())
    finite = torch.stack(values).isfinite().tolist() if values else []
    worst = max(gather(next((n for n, f in zip(named, finite) if not f), "")))
    if worst:
        raise FloatingPointError(f"a loss is not finite at {worst}; {cure}")
    for name, part in state.parts().items():
        tensors = part.state_dict().values() if isinstance(part, nn.Module) else ()
        if not all(t.isfinite().all() for t in tensors):
            raise FloatingPointError(f"the {name}'s weights are not finite; {cure}")


class _Work:
    """FLOP of a run, counted by torch: one stage of each kind, times their number.

    A stage's kind is who has updates in it. The first stage may also pretrain.
    """

    def __init__(self) -> None:
        self.first, self.stages = 0, {}
        self.known: dict[str, int] = {}
        self.kind = ""  # of the stage before

    def of(self, stage: Callable[[State], Losses], state: State) -> Losses:
        """Run a stage; count it where its kind is likely not to be known."""
        counting = state.stage == 1 or self.kind not in self.known
        counter = FlopCounterMode(display=False)
        with counter if counting else contextlib.nullcontext():
            losses = stage(state)
        self.kind = "+".join(sorted({player for player, _ in losses.updates}))
        if counting and state.stage > 1:
            self.known[self.kind] = counter.get_total_flops()
        if state.stage == 1:
            self.first = counter.get_total_flops()
        else:
            self.stages[self.kind] = self.stages.get(self.kind, 0) + 1
        return losses

    def total(self) -> int:
        """FLOP so far; a kind that was seen once only counts as the first stage."""
        counts = self.stages.items()
        return self.first + sum(n * self.known.get(k, self.first) for k, n in counts)


class _Clock:
    """Seconds of training alone, without tests and measurements."""

    def __init__(self) -> None:
        self.spent, self.since = 0.0, 0.0

    def start(self) -> None:
        self.since = time.perf_counter()

    def stop(self) -> None:
        self.spent += time.perf_counter() - self.since

    def paused(self, observe: Callable[[State], None]) -> Callable[[State], None]:
        def call(state: State) -> None:
            self.stop()
            observe(state)
            self.start()

        return call


def _statistics(state: State) -> list[Tensor]:
    """Running means and variances, which processes average."""
    modules = [p for p in state.parts().values() if isinstance(p, nn.Module)]
    layers = [m for module in modules for m in module.modules()]
    pairs = [(m.running_mean, m.running_var) for m in layers if hasattr(m, "running_var")]
    return [moment for pair in pairs for moment in pair if moment is not None]


def _own(state: State) -> dict[str, Any]:
    """What differs from process to process."""
    cuda = state.task.device.type == "cuda"
    own = {"random": state.random.get_state(), "cpu": torch.get_rng_state()}
    own |= {"cuda": torch.cuda.get_rng_state()} if cuda else {}
    memory = getattr(state, "memory", None)
    return own | ({"memory": memory.state_dict()} if memory else {})


def _save(state: State, made: dict[str, Any], keep: Keep) -> bool:
    own = gather(_own(state))
    return bool(rank()) or keep.save(made | {"parts": state.state_dict(), "own": own})


def _restore(state: State, saved: dict[str, Any], keep: Keep) -> None:
    try:
        own = saved["own"][rank()]
        memory = {"memory": own["memory"]} if "memory" in own else {}
        state.load_state_dict(saved["parts"] | memory | {"random": own["random"]})
    except (KeyError, IndexError, RuntimeError, ValueError, TypeError) as error:
        raise UserError(
            f"resume: {keep.path} is another version's ({first_line(error)}); delete "
            "it to begin again, or give another output folder"
        ) from error
    torch.set_rng_state(own["cpu"])
    if "cuda" in own:
        torch.cuda.set_rng_state(own["cuda"])


@contextlib.contextmanager
def _own_randomness(state: State) -> Iterator[None]:
    """Dropout draws from torch's global random state: give the run its own."""
    cuda = state.task.device.type == "cuda"
    with torch.random.fork_rng(devices=[torch.cuda.current_device()] if cuda else []):
        torch.manual_seed(state.seed + rank())
        yield


@contextlib.contextmanager
def _signals(active: bool) -> Iterator[list[int]]:
    """Note SIGTERM and SIGINT, so that a stage can end; a second one ends at once."""
    caught: list[int] = []
    if not active or threading.current_thread() is not threading.main_thread():
        yield caught
        return

    def note(number: int, frame: Any) -> None:
        caught.append(number)
        signal.signal(number, signal.SIG_DFL)

    usual = {n: signal.signal(n, note) for n in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield caught
    finally:
        for number, handler in usual.items():
            signal.signal(number, handler)


# --- speed ----------------------------------------------------------------------------


@contextlib.contextmanager
def kept_memory(wanted: bool = True) -> Iterator[None]:
    """Memory that is freed stays with this process; after the block it is given back.

    By default glibc returns a large block to the system at once, and the next one
    comes page by page, each cleared: with batches of hundreds of images that is a third
    of a training step. Elsewhere nothing happens.
    """
    try:
        libc = ctypes.CDLL("libc.so.6") if wanted else None
    except OSError:
        libc = None
    trim_threshold, mmap_threshold, mmap_max = -1, -3, -4  # of glibc's malloc.h
    if libc:
        libc.mallopt(mmap_max, 0)
        libc.mallopt(trim_threshold, -1)
    try:
        yield
    finally:
        if libc:  # what glibc's own rule comes to after large blocks were freed
            libc.mallopt(mmap_max, 65536)
            libc.mallopt(mmap_threshold, 32 * 2**20)
            libc.mallopt(trim_threshold, 64 * 2**20)
            libc.malloc_trim(0)


def compile_networks(settings: Any, state: State) -> tuple[str, str]:
    """Compile the networks of a run in place, tried on one stage, which is undone.

    Returns the mode that works, or "none", and why the modes before it do not. A
    failure is no error: the networks then run as they did.
    """
    cuda = state.task.device.type == "cuda"
    modules = [state.teacher]
    modules += [p for p in state.parts().values() if isinstance(p, nn.Module)]
    before, refused = copy.deepcopy(state.state_dict()), []
    # BNmm listens to the teacher by hooks, now and then
    torch._dynamo.config.skip_nnmodule_hook_guards = False
    for mode in ("reduce-overhead", "default") if cuda else ("default",):
        for module in modules:
            module.compile(mode=mode)
        try:
            with torch.random.fork_rng():
                state.stage = 2  # what is done once, before the first stage, is not tried
                losses = settings.stage(state)
                float(sum(losses.updates[-1][1].values()))  # waits for a GPU
            return mode, "; ".join(refused)
        except Exception as error:  # compilers fail in many ways
            refused.append(f"{mode}: {first_line(error)}")
            for module in modules:
                module._compiled_call_impl = None  # torch has no public way back
            torch._dynamo.reset()
        finally:
            state.load_state_dict(before)
    return "none", "; ".join(refused)
