"""A process by itself is one rank, of which nothing is asked; and what a rank's part is."""

import io

import pytest
import torch
from faults import SHORT, Crash, ended_at

from dfkd_lib import checkpoint, ranks, results, run
from dfkd_lib.errors import UserError
from dfkd_lib.methods import METHODS
from dfkd_lib.recipe import Recipe


@pytest.fixture
def several(monkeypatch):
    """This process, as if it were a rank of several: `several(rank, count)`."""

    def pretend(rank: int, count: int) -> None:
        monkeypatch.setattr(ranks, "rank", lambda: rank)
        monkeypatch.setattr(ranks, "count", lambda: count)
        monkeypatch.setattr(ranks, "together", lambda: True)

    return pretend


@pytest.mark.parametrize("size", [None, "1"])
def test_one_process_joins_nobody(monkeypatch, size):
    """Also where torchrun starts it, as one of one."""
    for name, value in [("RANK", "0"), ("LOCAL_RANK", "0"), ("MASTER_ADDR", "nowhere"), ("MASTER_PORT", "1")]:
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("WORLD_SIZE", size) if size else monkeypatch.delenv("WORLD_SIZE", raising=False)
    with ranks.session():
        assert not torch.distributed.is_initialized()
        assert (ranks.rank(), ranks.count(), ranks.gather("x"), ranks.collect("x")) == (0, 1, ["x"], ["x"])


def test_one_process_is_as_it_was():
    weight = torch.nn.Parameter(torch.ones(2))
    optimizer = ranks.averaging(torch.optim.SGD([weight]))
    assert not optimizer._optimizer_step_pre_hooks
    assert ranks.own_seed(7) == 7
    assert ranks.share(Recipe(batch=7), METHODS["mad"].uses) == Recipe(batch=7)
    assert results.command("mad", Recipe(), 0, "cpu", "float32").startswith("python -m dfkd_lib.run")
    with pytest.raises(UserError, match="as it was") as caught, ranks.agreed():
        raise UserError("as it was")
    assert caught.value.__cause__ is None


def test_an_older_checkpoint_is_continued(tmp_path, digits, teacher):
    """From before there were ranks."""
    options = {"seed": 1, "folder": tmp_path, "every": 2}
    with pytest.raises(Crash):
        run.run("random", Recipe().replace(**SHORT), digits, teacher, observe=ended_at(5, "crash"), **options)
    [path] = tmp_path.glob("*.ckpt")
    identity = torch.load(io.BytesIO(path.read_bytes().partition(b"\n")[2]), weights_only=True)["identity"]
    assert identity.pop("ranks") == 1
    state = checkpoint.load(path, identity)
    del state["others"]
    checkpoint.save(path, identity, state)
    done = run.run("random", Recipe().replace(**SHORT), digits, teacher, resume=True, **options)
    assert done.history.resumed == [4]


def test_noise_is_each_ranks_own(several):
    """torch reads 32 bits of a seed: all must tell."""
    first = set()
    for seed in range(4):
        for rank in range(16):
            several(rank, 16)
            first.add(torch.randn((), generator=torch.Generator().manual_seed(ranks.own_seed(seed))).item())
    assert len(first) == 64


def test_a_part_of_each_batch(several):
    several(1, 4)
    part = ranks.share(Recipe(), METHODS["dfkd_mem"].uses)
    assert (part.batch, part.student_batch, part.memory) == (32, 32, 2048)
    assert ranks.share(Recipe(), METHODS["kd_ori"].uses) == Recipe(student_batch=32)
    with pytest.raises(UserError, match="student_batch: 3 cannot be shared equally by 4 ranks; .*student_batch=4"):
        ranks.share(Recipe(student_batch=3), METHODS["kd_ori"].uses)


def test_more_ranks_than_gpus(several, monkeypatch):
    several(1, 2)
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(UserError, match="more processes than GPUs on a machine; give --nproc-per-node 1"):
        ranks.take_gpu()


def test_a_recorded_command_says_how_many(several):
    several(0, 2)
    assert results.command("mad", Recipe(), 0, "cpu", "float32").startswith(
        "torchrun --nproc-per-node 2 -m dfkd_lib.run --method mad"
    )
