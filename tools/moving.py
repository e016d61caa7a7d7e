"""Compute what moons.js and ema.js draw, and their posters: python tools/moving.py."""

import base64
import json
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from dfkd_lib import run, theory
from dfkd_lib.data import load_dataset
from dfkd_lib.lab.pictures import COLOURS
from dfkd_lib.models import grid
from dfkd_lib.recipes import recipe_for
from dfkd_lib.teachers import load_teacher
from dfkd_lib.train import TestSet, train

STATIC = Path(__file__).resolve().parents[1] / "book" / "static"
MOONS = load_dataset("moons")
TEACHER = load_teacher(MOONS, "mlp", device="cpu").network
SIDE, DOTS, FROZEN = 31, 100, 10  # FROZEN: the last stage in which that G moves
MAP = grid(SIDE)  # from below, by rows
NOISE = torch.randn(1000, 2, generator=torch.Generator().manual_seed(9))
STAGES = [*range(1, 11), *range(12, 21, 2), *range(25, 51, 5), *range(60, 201, 20)]
GAMES = [(1, False), (10, False), (1, True), (10, True)]  # steps of G; frozen or not
ALPHAS = [0, 0.2, 0.4, 0.6, 0.7, 0.8, 0.85, 0.9, 0.93, 0.95, 0.97, 0.98, 0.99]
MOMENTS = [30, 40, 50, 60]  # stages of which samples of G and EMA(G) are kept


def play(method, steps, watch, frozen=False):
    """A game in 2-D; `watch` is given its state in each stage, when G has moved."""
    game = recipe_for("moons", method).replace(generator_steps=steps)
    state = run.begin(game, TEACHER, MOONS, seed=0)

    @torch.no_grad()
    def observe(s):
        watch(s)
        if frozen and s.stage == FROZEN:
            s.generator_schedule.base_lrs = [0.0]  # from the next stage on

    test = TestSet.of(MOONS, TEACHER, "cpu")
    train(game.settings, state, test, progress=False, observe=observe)


def packed(values):
    """Numbers from −1 to 1 as bytes from 0 to 255, in base64."""
    return base64.b64encode(np.uint8(128 + 127.5 * np.asarray(values))).decode()


def margin(logits):
    """By how much the second class leads, on the map: −1 to 1."""
    made = logits.diff(dim=1).numpy().reshape(SIDE, SIDE)
    return np.tanh(made / np.abs(made).mean())


def square(ax, points, colour, title):
    ax.plot(*points.T, ".", color=colour, markersize=2.5)
    ax.set(xlim=(-3, 3), ylim=(-3, 3), title=title, aspect=1, xticks=[], yticks=[])
    ax.grid(visible=False)


def moons():
    """Four games of DFAD: the student's map and the generator's samples."""
    made, truth, line = (
        [],
        margin(TEACHER(MAP).detach()),
        MAP[:SIDE, 0].flatten().numpy(),
    )
    for steps, frozen in GAMES:
        maps, dots, gaps = [], [], []

        def watch(s, maps=maps, dots=dots, gaps=gaps):
            if s.stage in STAGES:
                x = s.generator(NOISE)
                maps.append(margin(s.student(MAP)))
                dots.append(x[:DOTS].flatten(1).numpy())
                d = [(s.teacher(y) - s.student(y)).abs().mean() for y in (x, MAP)]
                gaps.append([round(one.item(), 3) for one in d])

        play("dfad", steps, watch, frozen)
        game = {"steps": steps, "frozen": frozen, "gaps": gaps}
        made.append(game | {"maps": packed(maps), "dots": packed(np.array(dots) / 3)})
        if len(made) == 1:  # the poster
            _, axes = plt.subplots(1, 3, figsize=(6.4, 2.4))
            for ax, k in zip(axes, (0, STAGES.index(10), -1), strict=True):
                ax.contourf(line, line, maps[k], [-2, 0, 2], colors=COLOURS, alpha=0.35)
                ax.contour(line, line, truth, [0], colors=COLOURS[-1])
                square(ax, dots[k], COLOURS[-1], f"stage {STAGES[k]}")
    real = (MOONS.x_test[:DOTS].reshape(DOTS, 2) / 255 - MOONS.mean) / MOONS.std
    told = {"side": SIDE, "stages": STAGES, "frozen": FROZEN, "real": packed(real / 3)}
    return told | {"teacher": packed(truth), "games": made}


def ema():
    """One game of ABM: samples of G and, for each α, of the average of its weights."""
    weights, players = [], []

    def watch(s):
        players[:] = [s.generator]
        weights.append(parameters_to_vector(s.generator.parameters()).numpy())

    play("abm", 10, watch)  # the first stage is weights[0], where the average starts
    dots = np.empty((len(ALPHAS), len(MOMENTS), DOTS, 2))
    for row, alpha in zip(dots, ALPHAS, strict=True):
        averages = torch.tensor(theory.ema(np.stack(weights), alpha)).float()
        for k, stage in enumerate(MOMENTS):
            vector_to_parameters(averages[stage - 1], players[0].parameters())
            row[k] = players[0](NOISE)[:DOTS].detach().flatten(1)
    _, axes = plt.subplots(2, len(MOMENTS), figsize=(6.4, 3.5))  # the poster
    for k, stage in enumerate(MOMENTS):
        square(axes[0, k], dots[0, k], COLOURS[1], f"G, stage {stage}")
        square(axes[1, k], dots[ALPHAS.index(0.95), k], COLOURS[0], f"EMA(G), {stage}")
    return {"alphas": ALPHAS, "moments": MOMENTS, "dots": packed(dots / 3)}


if __name__ == "__main__":
    torch.set_num_threads(1)  # then the files are the same to the byte
    for make in (moons, ema):
        name, text = make.__name__, json.dumps(make(), separators=(",", ":"))
        (STATIC / f"{name}.data.js").write_text(f"window.dfkd_{name} = {text};\n")
        plt.savefig(STATIC / f"{name}.svg", metadata={"Date": None})
