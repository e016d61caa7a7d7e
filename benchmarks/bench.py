"""Measure a stage's speed: `make bench`. Keeps a record in benchmarks/records.

What is compared takes turns, each variant in its own process: all suffer alike from
whatever else the machine does, so read ratios, not times. `--quick` keeps nothing.
"""

import argparse
import json
import multiprocessing
import re
import statistics
import sys
import time
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import torch

from dfkd_lib import records
from dfkd_lib.files import write_atomically
from dfkd_lib.losses import mae
from dfkd_lib.methods import Losses, State, Task
from dfkd_lib.models import build
from dfkd_lib.models.network import UpsampledConv2d
from dfkd_lib.recipes import Recipe, recipe_for
from dfkd_lib.teachers import hardware, versions
from dfkd_lib.train import compile_networks, kept_memory

RECORDS = Path(__file__).parent / "records"
# The parts of the fast path: without all of them, a stage runs as in the public code.
PARTS = ("graphs", "bfloat16", "channels-last", "memory", "upsampling")
LIBRARY, PUBLIC = frozenset(), frozenset((*PARTS, "fused optimisers"))
WRN, RESNET = ("wrn40_2", "wrn16_2"), ("resnet34_8x", "resnet18_8x")


def public_stage(settings, s: State) -> Losses:
    """A stage of DFAD as its public code computes it: all graphs, all gradients.

    The generator's step comes first, as in the library, so that losses can be compared.
    """
    losses = Losses()
    for player in "generator", *["student"] * settings.student_steps:
        learns = player == "student"
        optimizer = s.student_optimizer if learns else s.generator_optimizer
        optimizer.zero_grad()
        x = s.generator(*s.noise(settings.batch))
        x = x.detach() if learns else x
        answers = s.teacher(x)
        distance = mae(answers.detach() if learns else answers, s.student(x))
        loss = losses.add(player, {"mae": distance if learns else -distance})
        loss.backward()
        optimizer.step()
    return losses


@dataclass(frozen=True)
class Case:
    """A method's recipe, with some settings changed, for images of `shape`."""

    name: str
    method: str
    dataset: str
    pair: tuple[str, str] = ("auto", "auto")
    paper: str = "auto"
    settings: dict = field(default_factory=dict)
    channels: int = 1
    classes: int = 10
    rounds: int = 3
    stages: int = 1  # in a round

    @property
    def recipe(self) -> Recipe:
        made = recipe_for(self.dataset, self.method, *self.pair, self.paper)
        return made.replace(**self.settings)

    def stage(self, without: frozenset, device: str):
        """A function that runs a stage without some parts of the fast path."""
        torch.manual_seed(0)
        recipe, settings = self.recipe, self.recipe.settings
        dtype = torch.float32 if "bfloat16" in without else torch.bfloat16
        shape = (self.channels, 32, 32)
        task = Task(self.classes, shape, torch.device(device), dtype)
        networks = (build(n, self.classes) for n in (recipe.teacher, recipe.student))
        s = settings.start(*networks, task, seed=0)
        for network in (s.teacher, s.student, s.generator):
            if "channels-last" in without:
                network.to(memory_format=torch.contiguous_format)
            for module in network.modules():
                if isinstance(module, UpsampledConv2d):
                    module.phases = "upsampling" not in without
        for optimizer in (s.student_optimizer, s.generator_optimizer):
            for group in optimizer.param_groups:
                group["fused"] = "fused optimisers" not in without
        s.teacher.requires_grad_("graphs" in without)
        run = partial(public_stage, settings) if "graphs" in without else settings.stage
        if device == "cuda" and not without:
            print(self.name, "compiled:", *compile_networks(settings, s))

        def stage() -> Losses:
            s.stage += 1
            losses = run(s)
            if device == "cuda":
                torch.cuda.synchronize()
            return losses

        return stage


def cases(device: str) -> list[Case]:
    """What the library is measured on; colour with few images on a CPU."""
    few = {} if device == "cuda" else {"batch": 64, "student_batch": 64}
    wide = {"student_steps": 5, "generator_steps": 1, **few}
    colour = {"settings": wide, "channels": 3, "classes": 100}
    return [
        Case("digits", "dfad", "digits", rounds=9, stages=2),
        Case("MNIST", "dfad", "mnist", paper="dfad"),
        Case("WRN-40-2 → WRN-16-2", "dfad", "cifar100", WRN, **colour),
        Case("ResNet-34 → ResNet-18", "dfad", "cifar100", RESNET, **colour),
    ]


def reuse_cases() -> dict[str, Case]:
    """ABM, and MAD by how often it uses its images: 20 student steps a stage."""
    steps = {"student_steps": 20}
    tried = {f"mad, reuse {r}": steps | {"reuse": r} for r in (1, 2, 4, 5, 10, 20)}
    return {
        name: Case(name, name[:3], "digits_half", settings=settings, rounds=9)
        for name, settings in ({"abm": steps} | tried).items()
    }


def serve(pipe, case: Case, without: frozenset, device: str) -> None:
    """Run a round's stages whenever asked; answer with the time of one of them."""
    stage = case.stage(without, device)
    with kept_memory(device == "cpu" and "memory" not in without):
        stage()  # chooses kernels and fills caches
        pipe.send(None)
        while pipe.recv():
            wall, processor = time.perf_counter(), time.process_time()
            for _ in range(case.stages):
                stage()
            taken = time.perf_counter() - wall, time.process_time() - processor
            pipe.send([seconds / case.stages for seconds in taken])


def taking_turns(tried: dict[str, tuple[Case, frozenset]], device: str) -> dict:
    """For each name, the seconds and the processor's seconds of each round."""
    context, pipes = multiprocessing.get_context("spawn"), {}
    for name, asked in tried.items():
        pipes[name], theirs = context.Pipe()
        arguments = (theirs, *asked, device)
        context.Process(target=serve, args=arguments, daemon=True).start()
        theirs.close()  # so that a process that dies is noticed
        pipes[name].recv()
    taken, names = {name: [] for name in tried}, list(tried)
    for turn in range(tried[names[0]][0].rounds):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            pipes[name].send(True)
            taken[name].append(pipes[name].recv())
    for pipe in pipes.values():
        pipe.send(False)
    return taken


def spread(values) -> dict[str, float]:
    """Median and quartiles."""
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return {"median": median, "low": low, "high": high}


def compare(title: str, tried: dict, device: str) -> dict:
    """Measure and print: times, and how many times as long the first one takes."""
    taken = taking_turns(tried, device)
    base, found = next(iter(taken.values())), {}
    for name, rounds in taken.items():
        row = found[name] = {}
        for clock, prefix in enumerate(("", "processor_")):
            own, first = ([r[clock] for r in each] for each in (rounds, base))
            ratios = [a / b for a, b in zip(first, own, strict=True)]
            row |= {f"{prefix}seconds": spread(own), f"{prefix}ratio": spread(ratios)}
        seconds, times, processor = row["seconds"], row["ratio"], row["processor_ratio"]
        print(
            f"{title:22s} {name:22s} {1e3 * seconds['median']:9.1f} ms "
            f"{times['median']:6.2f} ({times['low']:.2f}–{times['high']:.2f}), "
            f"by the processor {processor['median']:.2f}",
            flush=True,
        )
    return found


def main(argv: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser("python -m benchmarks.bench", description=__doc__)
    here = "cuda" if torch.cuda.is_available() else "cpu"
    parser.add_argument("--device", choices=("cpu", "cuda"), default=here)
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args(argv)
    device, ways = args.device, {"public": PUBLIC, "library": LIBRARY}
    if args.quick:
        case = replace(cases(device)[0], rounds=2, stages=1)
        compare(case.name, {n: (case, without) for n, without in ways.items()}, device)
        return 0
    made = {"hardware": hardware(device), "device": device, "versions": versions()}
    made |= {"threads": torch.get_num_threads(), "commit": records.commit()}
    made |= {"command": f"python -m benchmarks.bench --device {device}", "ratios": []}
    for case in cases(device):
        tried = ways | {f"without {part}": frozenset([part]) for part in PARTS}
        tried = {name: (case, without) for name, without in tried.items()}
        row = {"case": case.name, "pair": case.recipe.pair, "rounds": case.rounds}
        row |= {"batch": case.recipe.settings.batch}
        made["ratios"].append(row | {"ways": compare(case.name, tried, device)})
    tried = {name: (case, LIBRARY) for name, case in reuse_cases().items()}
    made["reuse"] = compare("MAD's images", tried, device)
    name = re.sub(r"[^a-z0-9]+", "-", f"{made['hardware']} {device}".lower())
    write_atomically(RECORDS / f"{name}.json", json.dumps(made, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
