"""What each of several processes does for test_ranks.py: `python tests/ranks_worker.py SCENARIO FOLDER`."""

import os
import signal
import sys
from pathlib import Path
from typing import Any

import conftest  # noqa: F401  checks annotations here, too
import method_checks
import torch
from faults import EVERY, SHORT, Crash, ended_at, same, told

from dfkd_lib import ranks, run
from dfkd_lib.breakage import check_equal
from dfkd_lib.data import load_dataset
from dfkd_lib.errors import UserError
from dfkd_lib.evaluation import TestSet
from dfkd_lib.methods import METHODS
from dfkd_lib.methods.method import Method
from dfkd_lib.methods.random_images import Random
from dfkd_lib.models import build
from dfkd_lib.recipe import Recipe
from dfkd_lib.recipes import recipe_for
from dfkd_lib.teachers import load_teacher
from dfkd_lib.training import Interrupted, train

NORMED = method_checks.TINY.replace(
    teacher="wrn16_1", student="wrn16_1", schedule="constant", generator_steps=2, student_steps=2, stages=3
)
STATISTICS = ("batch", "averaged", "reestimated")
# One of each kind of state: EMA; two kinds of memory; real images; a GAN with counters; layers trained beforehand.
RESUMED = [("mad", {"ema_statistics": "reestimated"}), ("dfkd_mem", {}), ("deepinversion", {}), ("kd_ori", {})]
RESUMED += [("ft", {}), ("hidfd", {"gan_momentum": 0.5})]


# --- numbers ---------------------------------------------------------------------------------------------------------


def plane(kind: type[Method]) -> Method:
    """A method on points of the plane: the library's networks without BatchNorm, generator included."""
    recipe = recipe_for("moons", "mad").replace(
        stages=5, generator_steps=2, student_steps=3, batch=32, student_batch=32
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        teacher = build(recipe.teacher, 2).eval()
    return kind(teacher, ranks.share(recipe, kind.uses), 2, 2, seed=3, size=1)


def normed(statistics: str) -> Method:
    """MAD on networks with BatchNorm, all of them."""
    recipe = ranks.share(NORMED.replace(ema_statistics=statistics), METHODS["mad"].uses)
    return method_checks.play("mad", seed=3, teacher=method_checks.with_batchnorm(), recipe=recipe)


def trained(method: Method) -> dict[str, Any]:
    """The state behind training, and the gradients of the last updates."""
    x = torch.zeros(2, *method.shape)
    history = train(method, TestSet(x, torch.zeros(2, dtype=torch.int64), method.teacher(x)), progress=False)
    return {"state": method.state(), "gradients": gradients(method), "losses": history.student_loss}


def gradients(method: Method) -> dict[str, list[torch.Tensor]]:
    return {name: [p.grad for p in getattr(method, name).parameters()] for name in ("student", "generator")}


def numbers(folder: Path) -> dict[str, Any]:
    found = {"plane": trained(plane(METHODS["mad"]))}
    return found | {statistics: trained(normed(statistics)) for statistics in STATISTICS}


# --- resume ----------------------------------------------------------------------------------------------------------


def play(method: str, *, folder: Path | None = None, resume: bool = False, observe: Any = None, **changes: Any):
    digits = load_dataset("digits")
    recipe, teacher = Recipe().replace(**SHORT | changes), load_teacher(digits, "lenet5")
    return run.run(method, recipe, digits, teacher, seed=1, folder=folder, every=EVERY, resume=resume, observe=observe)


def resume(folder: Path) -> dict[str, Any]:
    """Stopped by a signal to one rank only, and by a crash of all, in the middle of an epoch."""
    found = {}
    for method, changes in RESUMED:
        whole, out = play(method, **changes), folder / method
        out.mkdir(exist_ok=True)
        try:
            play(method, folder=out, observe=ended_at(1, "SIGTERM") if ranks.rank() else None, **changes)
        except Interrupted as stopped:
            assert (stopped.number, stopped.args[0][:31]) == (signal.SIGTERM, "stopped by SIGTERM behind stage")
        try:
            play(method, folder=out, resume=True, observe=ended_at(5, "crash"), **changes)
        except Crash:
            pass
        continued = play(method, folder=out, resume=True, **changes)
        found[method] = {
            "equal": same(whole.method.state(), continued.method.state())
            and told(whole.record) == told(continued.record),
            "resumed": continued.history.resumed,
            "state": continued.method.state(),
            "own": list(continued.method.own),
            "ranks": continued.record["ranks"],
            "samples": continued.record["samples"],
            "command": continued.record["command"],
        }
    return found | {"refused": refused(lambda: play("random", folder=folder / "alone", resume=True))}


# --- agreement -------------------------------------------------------------------------------------------------------


def refused(work: Any) -> str:
    try:
        work()
    except UserError as error:
        return str(error)
    return ""


def agreement(folder: Path) -> dict[str, Any]:
    def one_fails() -> None:
        with ranks.agreed():
            if ranks.rank() == 1:
                raise UserError("of rank 1")

    def in_turn() -> bool:
        path = folder / "made by rank 0"
        if not ranks.rank():
            path.write_text("")
        return path.exists()

    class Breaks(Random):
        """Noise, whose loss is no number on rank 1, once."""

        def student_loss(self, images: list[torch.Tensor]) -> dict[str, torch.Tensor]:
            self.steps = getattr(self, "steps", 0) + 1
            terms = super().student_loss(images)
            factor = float("nan") if self.steps == 3 and ranks.rank() else 1
            return {name: factor * term for name, term in terms.items()}

    try:
        trained(Breaks(method_checks.lenet(), method_checks.TINY, 10, 1, seed=0))
    except FloatingPointError as error:
        broken = str(error)
    tensors = [torch.full((2, 3), float(ranks.rank())), torch.tensor(10.0 * ranks.rank())]
    ranks.average(tensors)
    different = {"student": {"weight": tensors[0] + ranks.rank()}, "random": ranks.rank()}
    return {
        "broken": broken,
        "fails": refused(one_fails),
        "found": ranks.in_turn(in_turn),
        "mean": tensors,
        "gathered": ranks.gather(ranks.rank()),
        "collected": ranks.collect({"x": torch.tensor(ranks.rank())}),
        "apart": refused(lambda: check_equal(different, ("random",))),
        "together": refused(lambda: check_equal({"random": ranks.rank(), "x": tensors}, ("random",))),
        "seed": ranks.own_seed(7),
    }


if __name__ == "__main__":
    os.environ["DFKD_OFFLINE"] = "1"
    with ranks.session():
        place = Path(sys.argv[2])
        for scenario in sys.argv[1].split(","):
            torch.save(globals()[scenario](place), place / f"{scenario}-{ranks.rank()}.pt")
