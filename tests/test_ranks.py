"""Two processes are one run: its gradients, its weights, its checkpoints. The processes are `ranks_worker.py`'s."""

import contextlib
from collections.abc import Iterator

import pytest
import ranks_worker
import several
import torch
from faults import EVERY, SHORT, Crash, ended_at, related_images, same
from torch import Tensor

from dfkd_lib import ranks, run
from dfkd_lib.methods.mad import MAD
from dfkd_lib.methods.method import Method
from dfkd_lib.recipe import Recipe

pytestmark = pytest.mark.slow  # two processes that import torch


@pytest.fixture(scope="module")
def found(tmp_path_factory, digits, teacher) -> dict[str, list]:
    """What both ranks have found, by scenario. There is a checkpoint of one process for them to refuse."""
    folder = tmp_path_factory.mktemp("ranks")
    (folder / "alone").mkdir()
    with pytest.raises(Crash):
        options = {"folder": folder / "alone", "every": EVERY, "observe": ended_at(5, "crash")}
        run.run("random", Recipe().replace(**SHORT), digits, teacher, seed=1, **options)
    data = related_images(folder / "data")
    scenarios = ("numbers", "resume", "agreement")
    for code, _, err in several.worker(",".join(scenarios), folder, DFKD_DATA=str(data)):
        assert (code, err) == (0, [])
    return {name: [torch.load(folder / f"{name}-{rank}.pt") for rank in range(2)] for name in scenarios}


@contextlib.contextmanager
def as_rank(number: int) -> Iterator[None]:
    """This process, as if it were one of two."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranks, "rank", lambda: number)
        patch.setattr(ranks, "count", lambda: 2)
        yield


def flat(tensors: list[Tensor]) -> Tensor:
    return torch.cat([tensor.flatten() for tensor in tensors])


# --- the numbers -----------------------------------------------------------------------------------------------------


class Joined(MAD):
    """MAD in one process, on the noise of both ranks."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.randoms = []
        for number in range(2):
            with as_rank(number):
                self.randoms.append(torch.Generator().manual_seed(ranks.own_seed(self.seed)))

    def noise(self, n: int) -> tuple[Tensor, Tensor]:
        parts = []
        for random in self.randoms:
            self.random = random
            parts.append(super().noise(n // 2))
        return torch.cat([z for z, _ in parts]), torch.cat([y for _, y in parts])


def test_without_batchnorm_it_is_one_process_on_the_joined_batch(found):
    """MAD on points of the plane: gradients of the last of 15 and 10 updates, weights, EMA, the loss that is told."""
    joined = ranks_worker.trained(ranks_worker.plane(Joined))
    ours, _ = (one["plane"] for one in found["numbers"])
    for network in ("student", "generator"):
        one, two = flat(joined["gradients"][network]), flat(ours["gradients"][network])
        assert (one - two).norm() < 1e-4 * one.norm()
    for part in ("student", "generator", "ema"):
        one, two = (flat(list(state["state"][part].values())) for state in (joined, ours))
        assert torch.allclose(one, two, rtol=1e-4, atol=1e-5)
    assert ours["losses"] == pytest.approx(joined["losses"], rel=1e-4)
    assert ours["state"]["samples"] == joined["state"]["samples"]
    # It can fail: half of the noise is another run.
    half = ranks_worker.trained(ranks_worker.plane(MAD))
    one, two = (flat(state["gradients"]["student"]) for state in (half, ours))
    assert (one - two).norm() > 0.01 * one.norm()


@pytest.mark.parametrize("statistics", ranks_worker.STATISTICS)
def test_with_batchnorm_a_rank_normalises_by_itself(found, statistics):
    """To the bit, the rule: each rank its own moments, mean gradients, running statistics averaged twice a stage."""
    players = []
    for number in range(2):
        with as_rank(number):
            players.append(ranks_worker.normed(statistics))
        players[-1].prepare()
        for optimizer in players[-1].optimizers():
            optimizer.param_groups[0]["initial_lr"] = optimizer.param_groups[0]["lr"]
    recipe = players[0].recipe
    for _ in range(recipe.stages):
        for _ in range(recipe.generator_steps):
            lockstep(players, "generator_optimizer", lambda player: player.generator_step())
        for player in players:
            player.end_generator_stage()
        averaged(players)
        for step in range(recipe.student_steps):
            lockstep(players, "student_optimizer", lambda player, step=step: player.student_step(step))
        averaged(players)
    for player, other in zip(players, found["numbers"], strict=True):
        expected = player.state() | {"samples": 2 * player.samples}
        assert [name for name in expected if not same(expected[name], other[statistics]["state"][name])] == []


def lockstep(players: list[Method], name: str, update) -> None:
    """One update of both, on the mean of their gradients."""
    for player in players:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(getattr(player, name), "step", lambda: None)
            update(player)
    optimizers = [getattr(player, name) for player in players]
    for one, two in zip(*(o.param_groups[0]["params"] for o in optimizers), strict=True):
        mean = (one.grad + two.grad) / 2
        one.grad.copy_(mean)
        two.grad.copy_(mean)
    for optimizer in optimizers:
        optimizer.step()


def averaged(players: list[Method]) -> None:
    with torch.no_grad():
        for one, two in zip(*(player.statistics() for player in players), strict=True):
            mean = (one + two) / 2
            one.copy_(mean)
            two.copy_(mean)


@pytest.mark.parametrize("name", ["plane", *ranks_worker.STATISTICS])
def test_all_but_noise_is_equal_on_both_ranks(found, name):
    """EMA(G) with its statistics, the networks, the optimisers."""
    one, two = (told[name]["state"] for told in found["numbers"])
    assert "ema" in one and [part for part in one if not same(one[part], two[part])] == ["random"]
    assert same(*(told[name]["gradients"] for told in found["numbers"]))


# --- checkpoints -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", [method for method, _ in ranks_worker.RESUMED])
def test_a_continued_run_is_the_same_run(found, method):
    """To the bit, on both ranks. A signal to rank 1 alone has stopped both, in one stage."""
    one, two = (told[method] for told in found["resume"])
    for told in (one, two):
        assert told["equal"] and told["resumed"] == [1, 4]
    apart = [part for part in one["state"] if not same(one["state"][part], two["state"][part])]
    assert set(apart) == set(one["own"])  # a memory holds other images on each rank
    assert one["ranks"] == 2 and one["command"].startswith("torchrun --nproc-per-node 2 -m dfkd_lib.run --method")


def test_all_ranks_samples_are_counted(found):
    assert found["resume"][0]["kd_ori"]["samples"] == 7 * SHORT["student_steps"] * SHORT["student_batch"]


def test_another_number_of_ranks_is_another_run(found):
    for told in found["resume"]:
        assert "is of another run (ranks is 1, here 2)" in told["refused"]


# --- agreement -------------------------------------------------------------------------------------------------------


def test_what_one_rank_refuses_all_refuse(found):
    for told in found["agreement"]:
        assert told["fails"] == "of rank 1"
        assert told["apart"].startswith("ranks: the student of rank 1 is not that of rank 0; ")
        assert told["together"] == ""


def test_where_one_rank_breaks_down_all_say_so(found):
    for told in found["agreement"]:
        assert told["broken"].startswith("the student's loss is not finite at stage 1, student step 3, term KL; ")


def test_rank_0_goes_first(found):
    assert [told["found"] for told in found["agreement"]] == [True, True]


def test_what_ranks_tell_each_other(found):
    for number, told in enumerate(found["agreement"]):
        assert same(told["mean"], [torch.full((2, 3), 0.5), torch.tensor(5.0)])
        assert told["gathered"] == [0, 1]
        assert told["collected"] == ([] if number else [{"x": torch.tensor(0)}, {"x": torch.tensor(1)}])
    assert found["agreement"][0]["seed"] == 7 != found["agreement"][1]["seed"]
