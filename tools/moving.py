"""What the figures that move show, computed beforehand.

    python tools/moving.py

writes into book/static the data that moons.js and ema.js draw, and their posters. With
one thread, the data is the same to the byte on one kind of processor.
"""

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

    def observe(s):
        with torch.no_grad():
            watch(s)
        if frozen and s.stage == FROZEN:
            s.generator_schedule.base_lrs = [0.0]
            s.generator_optimizer.param_groups[0]["lr"] = 0.0

    test = TestSet.of(MOONS, TEACHER, "cpu")
    train(game.settings, state, test, progress=False, observe=observe)


def packed(values):
    """Numbers from 0 to 255, as bytes, in base64."""
    return base64.b64encode(np.round(values).astype(np.uint8).tobytes()).decode()


def margins(logits):
    """By how much the second class leads; 128 is the boundary."""
    return packed(128 + 127 * np.tanh(torch.cat(logits).diff(dim=1).numpy() / 6))


def places(points):
    """The square (−3, 3)² is (0, 255)²."""
    return packed((np.asarray(points) + 3) / 6 * 255)


def square(ax, points, colour, title=""):
    ax.plot(*points.T, ".", color=colour, markersize=2.5)
    ax.set(xlim=(-3, 3), ylim=(-3, 3), title=title, aspect=1, xticks=[], yticks=[])
    ax.spines[:].set_visible(True)
    ax.grid(visible=False)


def moons():
    """Four games of DFAD: the student's map and the generator's samples."""
    made, truth = [], TEACHER(MAP).detach()
    for steps, frozen in GAMES:
        maps, dots, gaps = [], [], []

        def watch(s, maps=maps, dots=dots, gaps=gaps):
            if s.stage in STAGES:
                x = s.generator(NOISE)
                maps.append(s.student(MAP))
                dots.append(x[:DOTS].flatten(1).numpy())
                d = [(s.teacher(y) - s.student(y)).abs().mean() for y in (x, MAP)]
                gaps.append([round(one.item(), 3) for one in d])

        play("dfad", steps, watch, frozen)
        game = {"steps": steps, "frozen": frozen, "gaps": gaps}
        made.append(game | {"maps": margins(maps), "dots": places(dots)})
        if len(made) == 1:  # the poster
            line, looks = np.linspace(-3, 3, SIDE), {"colors": COLOURS[:2], "alpha": 0.35}
            _, axes = plt.subplots(1, 3, figsize=(6.4, 2.4))
            for ax, k in zip(axes, (0, STAGES.index(10), -1), strict=True):
                student, teacher = (
                    one.diff(dim=1).reshape(SIDE, SIDE) for one in (maps[k], truth)
                )
                ax.contourf(line, line, student, [-99, 0, 99], **looks)
                ax.contour(line, line, teacher, [0], colors=COLOURS[-1])
                square(ax, dots[k], COLOURS[-1], f"stage {STAGES[k]}")
    real = (MOONS.x_test[:DOTS].reshape(DOTS, 2) / 255 - MOONS.mean) / MOONS.std
    told = {"side": SIDE, "stages": STAGES, "frozen": FROZEN, "real": places(real)}
    return told | {"teacher": margins([truth]), "games": made}


def ema(shown=0.95):
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
    rows = (("G", dots[0], 1), ("EMA(G)", dots[ALPHAS.index(shown)], 0))
    _, axes = plt.subplots(2, len(MOMENTS), figsize=(6.4, 3.5))  # the poster
    for line, (name, points, colour) in zip(axes, rows, strict=True):
        for ax, stage, one in zip(line, MOMENTS, points, strict=True):
            square(ax, one, COLOURS[colour], f"{name}, stage {stage}")
    told = {"alphas": ALPHAS, "usual": shown, "moments": MOMENTS}
    return told | {"dots": places(dots)}


if __name__ == "__main__":
    torch.set_num_threads(1)
    for make in (moons, ema):
        text = json.dumps(make(), separators=(",", ":"))
        (STATIC / f"{make.__name__}.data.js").write_text(
            f"window.dfkd_{make.__name__} = {text};\n"
        )
        plt.savefig(STATIC / f"{make.__name__}.svg", metadata={"Date": None})
