"""`torch.compile` for the networks of a game, where it works; where it does not, a sentence that says why."""

import copy

import torch
from torch import nn

from .methods.game import Game

# CUDA graphs first: a small network's kernels end sooner than Python can start the next.
MODES = {"cuda": ("reduce-overhead", "default"), "cpu": ("default",)}


def compile_networks(game: Game) -> tuple[str, str]:
    """Compile a game's networks in place, tried on one stage, behind which its state is what it was.

    Returns
    -------
    the mode that works, or "none"; and why the modes before it do not, or "". A failure is no error: the networks then
    run as they did.
    """
    before = copy.deepcopy(game.state())
    refused = []
    for mode in MODES[game.device.type]:
        for network in _networks(game):
            network.compile(mode=mode)
        try:
            _try(game)
            return mode, "; ".join(refused)
        except Exception as error:  # compilers fail in many ways, and none of them is the run's fault
            refused.append(f"{mode}: {_first_line(error)}")
            for network in _networks(game):
                network._compiled_call_impl = None  # what nn.Module.compile sets; torch has no way back
            torch._dynamo.reset()
        finally:
            game.load(before)
    return "none", "; ".join(refused)


def _networks(game: Game) -> list[nn.Module]:
    averaged = getattr(game, "ema", None)
    return [*game.networks(), *([averaged.network] if averaged else [])]


def _try(game: Game) -> None:
    with torch.random.fork_rng(devices=[game.device] if game.device.type == "cuda" else []):
        for _ in range(2):  # CUDA graphs are recorded at a later call than the first
            game.generator_step()
            game.end_generator_stage()
            terms = [game.student_step(step) for step in range(min(game.recipe.student_steps, 3))]
        float(sum(terms[-1].values()))  # a GPU is waited for: what fails there fails here


def _first_line(error: Exception) -> str:
    error = getattr(error, "inner_exception", error)  # torch wraps what its compiler says in what called it
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
