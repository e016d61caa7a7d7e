"""The fast path of the methods follows the public loop, and leaves out what nobody needs."""

import pytest
import torch
from method_checks import play, stage

from benchmarks import same
from dfkd_lib.models import LeNet5
from dfkd_lib.models.phases import PooledConv2d, UpsampledConv2d


@pytest.mark.parametrize("method", ["dfad", "abm", "mad"])
def test_a_run_without_reduced_precision_follows_the_public_loop(method):
    """Six stages from the same seed. Sums in another order differ by 1e-7; the game makes more of it at every step."""
    plain, fast = (play(method, precision=precision) for precision in ("plain", "float32"))
    for _ in range(6):
        for slow, quick in zip(_losses(plain), _losses(fast), strict=True):
            assert quick == pytest.approx(slow, rel=1e-3, abs=1e-5)


@pytest.mark.parametrize("method", ["dfad", "abm", "mad"])
def test_a_run_in_reduced_precision_stays_near_the_public_loop(method):
    """bfloat16 has three digits: the first losses agree to 5 %, with as much again for losses near zero."""
    plain, fast = (play(method, precision=precision) for precision in ("plain", "bfloat16"))
    for slow, quick in zip(_losses(plain), _losses(fast), strict=True):
        assert quick == pytest.approx(slow, rel=0.05, abs=0.01)


def _losses(game) -> list[float]:
    [taken] = same.losses(game, stages=1)
    return taken["generator"] + taken["student"]


def test_the_public_loop_builds_every_graph_and_has_torchs_own_layers(monkeypatch):
    game = play("dfad", precision="plain")
    assert game.dtype == torch.float32 and game.teacher.features[0].weight.is_contiguous()
    assert not [m for m in game.generator.modules() if isinstance(m, UpsampledConv2d)]
    built = []
    generate = game.generate
    monkeypatch.setattr(game, "generate", lambda *a: built.append(generate(*a)) or built[-1])
    stage(game)
    assert all(x.requires_grad for x in built)
    assert game.teacher(built[-1]).requires_grad and not game.answers(built[-1]).requires_grad
    assert all(p.grad is not None for p in game.teacher.parameters())  # as nobody needs


def test_the_fast_path_builds_no_graph_that_nobody_needs(monkeypatch):
    game = play("dfad")
    built = []
    generate = game.generate
    monkeypatch.setattr(game, "generate", lambda *a: built.append(generate(*a)) or built[-1])
    stage(game)
    assert [x.requires_grad for x in built] == [True] * game.recipe.generator_steps + [False] * (
        len(built) - game.recipe.generator_steps
    )
    assert all(p.grad is None for p in game.teacher.parameters())


def test_the_student_comes_out_with_the_layers_of_its_name():
    game = play("mad")
    assert any(isinstance(m, PooledConv2d) for m in game.student.modules())
    student = game.result()
    assert [type(m) for m in student.modules()] == [type(m) for m in LeNet5(half=True).modules()]
    x = torch.randn(2, 1, 32, 32)
    torch.testing.assert_close(student(x), game.student(x))
