"""The one loop: alternate generator and student, schedule, log, evaluate. It does not know which paper it runs."""

import math
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field

import torch
from tqdm import tqdm

from .evaluation import TestSet, evaluate
from .methods.game import Game


@dataclass
class History:
    """One row per evaluation: what the figures draw. Losses are means over the stages since the row before."""

    stage: list[int] = field(default_factory=list)
    samples: list[int] = field(default_factory=list)  # images the student has been trained on, reused ones each time
    seconds: list[float] = field(default_factory=list)  # of training, without evaluation and observation
    generator_loss: list[float] = field(default_factory=list)
    student_loss: list[float] = field(default_factory=list)
    accuracy: list[float] = field(default_factory=list)  # percent
    agreement: list[float] = field(default_factory=list)  # percent
    kl: list[float] = field(default_factory=list)  # nats

    asdict = asdict

    @property
    def throughput(self) -> float:
        """Images per second that the student was trained on."""
        return self.samples[-1] / self.seconds[-1]

    def append(self, **row: float) -> None:
        for name, value in row.items():
            getattr(self, name).append(value)


def learning_rate_factor(schedule: str, milestones: tuple[float, ...], progress: float) -> float:
    """What the initial learning rate is multiplied by when a share `progress` in [0, 1) of the stages is done."""
    if schedule == "cosine":
        return (1 + math.cos(math.pi * progress)) / 2
    if schedule == "step":
        return 0.1 ** sum(progress >= m for m in milestones)
    return 1.0  # constant


def train(
    method: Game,
    test: TestSet,
    *,
    title: str = "",
    progress: bool | None = None,
    report: int = 0,
    observe: Callable[[int, Game], None] | None = None,
) -> History:
    """Run a method for its recipe's stages; test the student every `stages_per_epoch`, and at the end.

    Parameters
    ----------
    observe
        called behind each generator stage with the stage's number, from 1, and the method; for measurements.
    progress
        whether to draw a bar on stderr; by default where stderr is a terminal.

    report
        print a line at every evaluation whose stage divides by this; for notebooks, which show no bar.

    Raises
    ------
    FloatingPointError
        where a loss is not finite: with the stage and the loss's name.
    """
    recipe, history = method.recipe, History()
    stages = recipe.stages
    optimizers = (method.generator_optimizer, method.student_optimizer)
    initial = [o.param_groups[0]["lr"] for o in optimizers]
    sums = torch.zeros(2, device=method.device)  # generator's and student's loss; read once per epoch
    since, spent, started = 0, 0.0, time.perf_counter()
    hidden = not sys.stderr.isatty() if progress is None else not progress
    with tqdm(total=stages, desc=title, unit="stage", disable=hidden) as bar:
        for stage in range(1, stages + 1):
            factor = learning_rate_factor(recipe.schedule, recipe.milestones, (stage - 1) / stages)
            for optimizer, lr in zip(optimizers, initial, strict=True):
                optimizer.param_groups[0]["lr"] = lr * factor
            for _ in range(recipe.generator_steps):
                sums[0] += method.generator_step() / recipe.generator_steps
            method.end_generator_stage()
            if observe:
                spent += time.perf_counter() - started
                observe(stage, method)
                started = time.perf_counter()
            for step in range(recipe.student_steps):
                sums[1] += method.student_step(step) / recipe.student_steps
            since += 1
            bar.update()
            if stage % recipe.stages_per_epoch and stage < stages:
                continue
            generator_loss, student_loss = (sums / since).tolist()
            spent += time.perf_counter() - started
            _refuse_nan(stage, generator=generator_loss, student=student_loss)
            scores = evaluate(method.student, test)
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
                    f"{title}: stage {stage} of {stages}, accuracy {scores.accuracy:.1f} %, loss {student_loss:.3f}, "
                    f"{history.throughput:,.0f} images/s",
                    flush=True,
                )
            bar.set_postfix(accuracy=f"{scores.accuracy:.1f} %", loss=f"{student_loss:.3f}")
            sums.zero_()
            since, started = 0, time.perf_counter()
    for optimizer, lr in zip(optimizers, initial, strict=True):
        optimizer.param_groups[0]["lr"] = lr  # a further run of the same game starts its own schedule
    return history


def _refuse_nan(stage: int, **losses: float) -> None:
    """Losses are read once per epoch: by then one network's NaN may have reached the other's loss."""
    broken = [f"the {name}'s loss is {value}" for name, value in losses.items() if not math.isfinite(value)]
    if broken:
        raise FloatingPointError(
            f"{' and '.join(broken)} at or before stage {stage}; a lower student_lr or generator_lr usually cures it"
        )
