"""`torch.compile` for networks, where it works; where it does not, a sentence that says why."""

import copy
import sys
from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .errors import first_line
from .methods.game import Game

# CUDA graphs first: a small network's kernels end sooner than Python can start the next.
MODES = {"cuda": ("reduce-overhead", "default"), "cpu": ("default",)}


def compile_networks(game: Game) -> tuple[str, str]:
    """Compile a game's networks in place, tried on a few steps, behind which its state is what it was.

    Returns
    -------
    the mode that works, or "none"; and why the modes before it do not, or "". A failure is no error: the networks then
    run as they did.
    """
    averaged = getattr(game, "ema", None)
    networks = [*game.networks(), *([averaged.network] if averaged else [])]
    before = copy.deepcopy(game.state())

    def trial() -> None:
        try:
            for _ in range(2):  # CUDA graphs are recorded at a later call than the first
                game.generator_step()
                game.end_generator_stage()
                terms = [game.student_step(step) for step in range(min(game.recipe.student_steps, 3))]
            float(sum(terms[-1].values()))  # a GPU is waited for: what fails there fails here
        finally:
            game.load(before)

    return _compile(networks, trial, game.device)


def compile_or_say_why(game: Game) -> str:
    """The mode in which a game's networks are compiled, or "none"; what was refused goes to stderr."""
    mode, refused = compile_networks(game)
    if refused:
        print(f"torch.compile: {refused}; networks are compiled: {mode}", file=sys.stderr, flush=True)
    return mode


def compile_classifier(
    network: nn.Module, x: Float[Tensor, "batch channels height width"], dtype: torch.dtype
) -> tuple[str, str]:
    """The same for a network in training under autocast, tried on a batch like those that will come."""
    before = copy.deepcopy(network.state_dict())

    def trial() -> None:
        try:
            for _ in range(3):
                with torch.autocast(x.device.type, dtype):
                    logits = network(x)
                logits.float().square().mean().backward()
            float(logits.detach().sum())
        finally:
            network.zero_grad()
            network.load_state_dict(before)

    return _compile([network], trial, x.device)


def restore(networks: Sequence[nn.Module]) -> None:
    """Networks run by Python again."""
    for network in networks:
        network._compiled_call_impl = None  # what nn.Module.compile sets; torch has no way back


def _compile(networks: Sequence[nn.Module], trial: Callable[[], None], device: torch.device) -> tuple[str, str]:
    torch._dynamo.config.skip_nnmodule_hook_guards = False  # BNmm listens to the teacher by hooks, now and then
    refused = []
    for mode in MODES[device.type]:
        for network in networks:
            network.compile(mode=mode)
        try:
            with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
                trial()
            return mode, "; ".join(refused)
        except Exception as error:  # compilers fail in many ways, and none of them is the run's fault
            refused.append(f"{mode}: {first_line(getattr(error, 'inner_exception', error))}")
            restore(networks)
            torch._dynamo.reset()
    return "none", "; ".join(refused)
