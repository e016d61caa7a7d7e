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
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from jaxtyping import Float, Integer
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler
from torch.optim.optimizer import register_optimizer_step_pre_hook
from tqdm import tqdm

from .data import Dataset, Images
from .errors import Interrupted, UserError, first_line, told
from .files import locked, remove_leftovers, write_atomically
from .losses import kl
from .methods import Losses, Memory, State
from .models.network import as_named
from .teachers import Scores, accuracy, hardware, logits_of, segmentation

# --- tests of a student ---------------------------------------------------------------


@dataclass(frozen=True)
class TestSet:
    """Test images and labels on the device, with the teacher's logits.

    With label maps the logits would fill the memory: the teacher answers again.
    """

    x: Float[Tensor, "n c h w"] | Images
    y: Integer[Tensor, "test *pixels"]
    teacher_logits: Float[Tensor, "test classes"] | None
    maps: Scores | None = None  # the teacher's scores, with label maps

    __test__ = False  # pytest would take the name for its own

    @property
    def teacher_accuracy(self) -> float:
        """In percent."""
        maps = self.maps
        return maps.accuracy if maps else accuracy(self.teacher_logits, self.y)

    @classmethod
    def of(cls, dataset: Dataset, teacher: nn.Module, device: Any) -> "TestSet":
        """The test part of a data set; the teacher is on the device already."""
        images = Images.of(dataset, device, "test")
        if dataset.crop:
            return cls(images, images.y, None, segmentation(teacher, teacher, images))
        return cls(images, images.y, logits_of(teacher, images))

    def scores(self, state: State) -> Scores:
        """A run's student on these images."""
        if self.maps:
            return segmentation(state.student, state.teacher, self.x)
        return evaluate(state.student, self)


def evaluate(student: nn.Module, test: TestSet) -> Scores:
    """A student on test images, in evaluation mode."""
    logits, answers = logits_of(student, test.x), test.teacher_logits
    right, agreed = (accuracy(logits, y) for y in (test.y, answers.argmax(1)))
    return Scores(right, agreed, kl(answers, logits).item())


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
    miou: list[float] = field(default_factory=list)  # percent; empty without maps
    resumed: list[int] = field(default_factory=list)  # stages where it was resumed
    flop: int = 0  # of all stages, each pass through each network
    processors: list[str] = field(default_factory=list)  # it ran on, each once

    def asdict(self) -> dict[str, Any]:
        return {n: c for n, c in asdict(self).items() if c or n != "miou"}

    def append(self, **row: float | None) -> None:
        for name, value in row.items():
            if name != "miou" or value is not None:
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
    cuda = torch.cuda.is_available()
    dist.init_process_group("cpu:gloo,cuda:nccl" if cuda else "gloo")
    if cuda and (number := int(os.environ["LOCAL_RANK"])) < torch.cuda.device_count():
        torch.cuda.set_device(number)  # "cuda" is now this process's own GPU
    with contextlib.ExitStack() as stack:
        if rank():
            nowhere = stack.enter_context(open(os.devnull, "w"))
            stack.enter_context(contextlib.redirect_stdout(nowhere))
        try:
            yield
        except UserError:
            if rank():  # the line is rank 0's, whose end lets torchrun end this one
                time.sleep(20)
            raise
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

    alone = contextlib.nullcontext()
    with register_optimizer_step_pre_hook(before) if world() > 1 else alone:
        yield


def gather(value: Any) -> list[Any]:
    """The value of every process, in all of them."""
    values = [value] * world()
    if world() > 1:
        dist.all_gather_object(values, value)
    return values


# --- checkpoints ----------------------------------------------------------------------


@dataclass(frozen=True)
class Keep:
    """Where a run's state is kept, every so many stages, and which run it is of."""

    path: Path
    identity: dict[str, Any]
    every: int
    resume: bool = False

    @property
    def advice(self) -> str:
        """What to do with a checkpoint that cannot be used."""
        return f"delete {self.path} to begin again, or give another output folder"

    def load(self) -> dict[str, Any] | None:
        """What `save` wrote; None if there is nothing, or nothing is to be resumed.

        A UserError for a file that is damaged or another run's.
        """
        if not self.resume or not self.path.exists():
            return None
        with told(f"resume: {self.path} is no checkpoint or is damaged", self.advice):
            saved = torch.load(self.path, map_location="cpu", weights_only=True)
            found, state = saved["identity"], saved["state"]
        for name, value in self.identity.items():
            if name in found and found[name] != value:
                raise UserError(
                    f"resume: {self.path} is another run's: its {name} is "
                    f"{found[name]!r}, here it is {value!r}; {self.advice}"
                )
        if found.keys() != self.identity.keys():
            line = f"resume: {self.path} is another version's"
            raise UserError(f"{line}; {self.advice}")
        return state

    def save(self, state: dict[str, Any]) -> bool:
        """Write the state, whole or not at all; say so where that is impossible."""
        stream = io.BytesIO()
        torch.save({"identity": self.identity, "state": state}, stream)
        try:
            write_atomically(self.path, stream.getvalue())
        except OSError as error:
            line = f"checkpoint: cannot write {self.path} ({error.strerror}); the run "
            print(f"{line}goes on, and the last checkpoint stays", file=sys.stderr)
            return False
        return True


ENDINGS = ("ckpt", "safetensors", "json", "pt2", "onnx")  # of what a run writes


@contextlib.contextmanager
def hold(folder: Path, name: str, resume: bool) -> Iterator[None]:
    """Hold a run's place in a folder, without what killed processes left there.

    A UserError if another process holds it, or there is a checkpoint to be resumed.
    """
    busy = f"output_dir: another process runs {name} in {folder}; give another folder"
    with locked(folder / f".{name}.lock", busy):
        for ending in ENDINGS:
            remove_leftovers(folder / f"{name}.{ending}")
        path = folder / f"{name}.ckpt"
        if path.exists() and not resume:
            todo = "continue it with --resume (in Python resume=True), or delete it"
            raise UserError(f"output_dir: {path} is the checkpoint of this run; {todo}")
        yield


# --- the loop -------------------------------------------------------------------------


def train(
    settings: Any, state: State, test: Any, *,
    title: str = "", progress: bool | None = None, report: int = 0,
    observe: Callable[[State], None] | None = None,
    until: Callable[[History], bool] | None = None, keep: Keep | None = None,
) -> History:  # fmt: skip
    """Run a method's stages; test the student every `stages_per_epoch` and at the end.

    `settings` are a method's, `state` is what their `start` returned, and `test` is a
    `TestSet` or whatever has ``scores(state)``. `progress`: whether to draw a bar on
    stderr, by default on a terminal. `report`: print a line every so many stages.
    `observe` is called with the state in each stage, when the generator has just moved.
    `until` is asked after each test whether the run may end. `keep`: write checkpoints,
    also when SIGTERM or SIGINT arrives, and resume from the last: on one kind of
    processor, a resumed run is the same to the last bit.

    Raises FloatingPointError for a loss that is not finite, with stage, step and term;
    UserError for a checkpoint that cannot be used; Interrupted after a signal.
    """
    run, stages = _Progress(state), settings.stages
    state.observe = observe and run.paused(observe)
    hidden = not sys.stderr.isatty() if progress is None else not progress
    cuda = state.task.device.type == "cuda"
    with (
        torch.random.fork_rng(devices=[torch.cuda.current_device()] if cuda else []),
        kept_memory(state.task.device.type == "cpu"),
        averaged_gradients(),
        _signals(keep is not None) as caught,
        tqdm(total=stages, desc=title, unit="stage", disable=hidden) as bar,
    ):
        torch.manual_seed(state.seed + rank())  # dropout draws from the global state
        if keep and run.restore(keep):
            line = f"{title}: resumed after stage {run.stage:,} of {stages:,}"
            print(line, flush=True)
            bar.update(run.stage)
        if (here := hardware(state.task.device.type)) not in run.history.processors:
            run.history.processors.append(here)
        ended = until and run.history.stage[-1:] == [run.stage] and until(run.history)
        while run.stage < stages and not ended:
            begun = time.perf_counter()
            run.one_stage(settings.stage)
            bar.update()
            stopped = max(gather(caught[0] if caught else 0))
            last = run.stage == stages
            testing = last or run.stage % settings.stages_per_epoch == 0
            keeping = keep and (stopped or last or run.stage % keep.every == 0)
            if testing or keeping:
                run.check()  # waits for a GPU
            run.spent += time.perf_counter() - begun
            if testing:
                line = f"stage {run.stage:,} of {stages:,}, {run.tested(test)}"
                bar.set_postfix_str(line)
                if report and run.stage % report == 0:
                    print(f"{title}: {line}", flush=True)
                ended = until and until(run.history)
            if keeping or (keep and ended):
                written = run.save(keep)
                if stopped and not last and not ended:
                    raise Interrupted(stopped, run.stage, written)
        if run.owed:  # the last stage was the first with these updates
            run.history.flop += run.owed * flop(settings, state) * world()
    return run.history


class _Progress:
    """How far a run is: what a checkpoint has besides the method's state."""

    def __init__(self, state: State) -> None:
        self.state, self.stage, self.history = state, 0, History()
        self.spent = 0.0  # seconds of training alone
        self.rows = torch.zeros(0, 2, device=state.task.device)  # losses since the test
        self.pending: list[tuple[int, Losses]] = []  # not checked yet
        self.cost: dict[str, int] = {}  # FLOP of a stage, by who has updates in it
        self.owed = 0  # stages with new updates, not counted yet
        self.counter: FlopCounterMode | None = None
        self.counted_before = 0  # FLOP of the stage before a measurement

    def paused(self, observe: Callable[[State], None]) -> Callable[[State], None]:
        """A measurement that is no part of the time of training."""

        def call(state: State) -> None:
            begun = time.perf_counter()
            if self.counter:  # nor of its FLOP; to enter it again resets it
                self.counter.__exit__(None, None, None)
                self.counted_before += self.counter.get_total_flops()
            observe(state)
            if self.counter:
                self.counter.__enter__()
            self.spent -= time.perf_counter() - begun

        return call

    def one_stage(self, stage: Callable[[State], Losses]) -> None:
        """Run it, count its FLOP, step the schedules, and note its losses."""
        self.stage = self.state.stage = self.stage + 1
        losses = self.counted(stage)
        average([b for p in self.state.parts().values() for b in _statistics(p)])
        with warnings.catch_warnings():  # HiDFD's student waits for the GAN
            warnings.simplefilter("ignore", UserWarning)
            for part in self.state.parts().values():
                if isinstance(part, LRScheduler):
                    part.step()
        self.pending.append((self.stage, losses))
        row = [losses.mean("generator"), losses.mean("student")]
        row = [torch.as_tensor(mean).to(self.rows) for mean in row]
        self.rows = torch.cat([self.rows, torch.stack(row)[None]])

    def counted(self, stage: Callable[[State], Losses]) -> Losses:
        """Run a stage, and add its FLOP to the history's.

        torch counts those of the first stage (which may pretrain), of the second, and
        of the one after a stage with new updates, as when HiDFD's GAN is trained. The
        others cost as much as the last stage with the same updates that was counted.
        """
        from torch.utils.flop_counter import FlopCounterMode  # slow to import

        counting, usual = self.stage <= 2 or self.owed, contextlib.nullcontext()
        self.counter = FlopCounterMode(display=False) if counting else None
        self.counted_before = 0
        with as_named() if counting else usual, self.counter or usual:
            losses = stage(self.state)
        players = "+".join(sorted({player for player, _ in losses.updates}))
        if self.counter:
            flop = self.counted_before + self.counter.get_total_flops()
            self.cost[players] = flop * world()
        self.owed += 1
        if players in self.cost:
            self.history.flop += self.owed * self.cost[players]
            self.owed = 0
        return losses

    def check(self) -> None:
        """Name the first loss or weight that is not finite; reads the device once."""
        named, values = [], []
        for stage, losses in self.pending:
            steps = Counter()
            for player, terms in losses.updates:
                steps[player] += 1
                where = f"stage {stage}, {player} step {steps[player]}"
                named += [f"{where}: {t}" for t in terms]
                values += [value.reshape(()).float() for value in terms.values()]
        finite = torch.stack(values).isfinite().tolist() if values else []
        broken = [n for n, good in zip(named, finite, strict=True) if not good]
        for name, part in self.state.parts().items():
            # An attention mask, which is another buffer, may hold -inf.
            weights = part.parameters() if isinstance(part, nn.Module) else ()
            if not all(t.isfinite().all() for t in (*weights, *_statistics(part))):
                broken.append(f"stage {self.stage}: the weights of the {name}")
        if first := [line for lines in gather(broken[:1]) for line in lines]:
            raise FloatingPointError(
                f"not finite at {first[0]}; the last checkpoint is from before; begin "
                "again with a lower student_lr or generator_lr"
            )
        self.pending.clear()

    def tested(self, test: Any) -> str:
        """Add a row to the history; the result in words."""
        average([self.rows])
        scores, state, history = test.scores(self.state), self.state, self.history
        generator_loss, student_loss = self.rows.mean(0).tolist()
        row = {"stage": self.stage, "samples": state.samples * world()}
        row |= {"generator_loss": generator_loss, "student_loss": student_loss}
        history.append(seconds=self.spent, **row, **asdict(scores))
        self.rows = self.rows[:0]
        rate = history.samples[-1] / max(self.spent, 1e-9)
        kind = "agreement" if scores.accuracy is None else "accuracy"
        known = f"{kind} {getattr(scores, kind):.1f} %"
        known += "" if scores.miou is None else f", mIoU {scores.miou:.1f} %"
        return f"{known}, loss {student_loss:.3f}, {rate:,.0f} images/s"

    def save(self, keep: Keep) -> bool:
        """Write a checkpoint, of process 0, with what is each process's own."""
        parts = self.state.state_dict()
        kept = [n for n, p in self.state.parts().items() if isinstance(p, Memory)]
        own = {name: parts[name] for name in ("random", *kept)}
        own["cpu"] = torch.get_rng_state()
        if self.state.task.device.type == "cuda":
            own["cuda"] = torch.cuda.get_rng_state()
        made = {"parts": parts, "own": gather(own), "rows": self.rows}
        made |= {"history": self.history.asdict(), "cost": self.cost, "owed": self.owed}
        made |= {"stage": self.stage, "spent": self.spent}
        return bool(rank()) or keep.save(made)

    def restore(self, keep: Keep) -> bool:
        """Continue from a checkpoint, if there is one."""
        saved = keep.load()
        if saved is None:
            return False
        with told(f"resume: {keep.path} is another version's", keep.advice):
            own = saved["own"][rank()]
            self.state.load_state_dict(saved["parts"] | own)
            self.history = History(**saved["history"])
            self.rows = saved["rows"].to(self.rows.device)
            self.stage, self.spent = saved["stage"], saved["spent"]
            self.cost, self.owed = saved["cost"], saved["owed"]
        self.history.resumed.append(self.stage)
        torch.set_rng_state(own["cpu"])
        if "cuda" in own:
            torch.cuda.set_rng_state(own["cuda"])
        return True


def _statistics(part: Any) -> list[Tensor]:
    """A network's running means and variances, which processes average."""
    named = part.named_buffers() if isinstance(part, nn.Module) else ()
    return [b for name, b in named if name.endswith(("running_mean", "running_var"))]


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


def flop(settings: Any, state: State) -> int:
    """FLOP of the method's next stage, two a multiply-add; it runs on a copy.

    Of all passes, forward and backward, the convolutions and matrix products count.
    """
    from torch.utils.flop_counter import FlopCounterMode  # slow to import

    twin = copy.deepcopy(state)
    twin.observe, twin.stage = None, state.stage + 1
    with as_named(), FlopCounterMode(display=False) as counter:
        settings.stage(twin)
    return counter.get_total_flops()


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
                state.stage = 2  # what is done once, in the first, is not tried
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
