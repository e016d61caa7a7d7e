"""A run that breaks down says where, by which term, and leaves checkpoints from before."""

import pytest
import torch
from method_checks import networks
from method_checks import play as played

from dfkd_lib import checkpoint, evaluation
from dfkd_lib.recipes import Recipe
from dfkd_lib.training import Keep, train

TINY = Recipe(generator_width=2, z_dim=6, batch=8, student_batch=8, student_steps=2, stages=7, stages_per_epoch=3)


@pytest.fixture(scope="session")
def test_set(digits, teacher):
    whole = evaluation.TestSet.of(digits, teacher.network, "cpu")
    return evaluation.TestSet(whole.x[:64], whole.y[:64], whole.teacher_logits[:64])


def play(**changes):
    return played("mad", recipe=TINY, **changes)


def breaking(game, player: str, term: str, at: int, value: float):
    """Makes one term of the player's loss `value` at its `at`-th update, counted over the run from 1."""
    loss, updates = getattr(game, f"{player}_loss"), []

    def broken(*args):
        terms = loss(*args)
        updates.append(1)
        return terms | {term: terms[term] * value} if len(updates) == at else terms

    setattr(game, f"{player}_loss", broken)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize(
    ("player", "at", "term", "words"),
    [
        ("generator", 1, "-KL", "generator's loss is not finite at stage 1, generator step 1, term -KL"),
        ("generator", 8, "NLL", "generator's loss is not finite at stage 3, generator step 2, term NLL"),
        ("generator", 9, "norm", "generator's loss is not finite at stage 3, generator step 3, term norm"),
        ("generator", 21, "-KL", "generator's loss is not finite at stage 7, generator step 3, term -KL"),
        ("student", 1, "KL on G", "student's loss is not finite at stage 1, student step 1, term KL on G"),
        ("student", 9, "KL on EMA(G)", "student's loss is not finite at stage 5, student step 1, term KL on EMA(G)"),
        ("student", 14, "KL on G", "student's loss is not finite at stage 7, student step 2, term KL on G"),
    ],
)
def test_a_loss_that_is_not_finite_ends_the_run(test_set, player, at, term, words, value):
    """And says what broke first, though what follows is broken too."""
    game = play(generator_steps=3, conditional=True)
    breaking(game, player, term, at, value)
    with pytest.raises(FloatingPointError) as caught:
        train(game, test_set)
    cure = "begin anew with a lower student_lr or generator_lr, which usually cures it"
    assert str(caught.value) == f"the {words}; {cure}"


def test_of_two_terms_the_methods_first_is_named(test_set):
    game = play(conditional=True)
    for term in ("norm", "NLL"):
        breaking(game, "generator", term, 2, float("nan"))
    with pytest.raises(FloatingPointError, match="stage 2, generator step 1, term NLL"):
        train(game, test_set)


@pytest.mark.parametrize(("part", "spoken"), [("student", "student"), ("generator_optimizer", "generator's optimizer")])
def test_a_weight_that_is_not_finite_ends_the_run(test_set, part, spoken):
    """Where the last update of all broke it, and no loss has seen it."""
    game = play()

    def breaks(stage, game):
        if stage == 7:
            broken = game.parts()[part]
            tensor = next(broken.parameters()) if part == "student" else next(iter(broken.state.values()))["exp_avg"]
            tensor.data.view(-1)[3] = float("inf")

    game.student_step = lambda step: {"KL": torch.zeros(())}
    with pytest.raises(FloatingPointError, match=f"the {spoken} is not finite behind stage 7, though its losses were;"):
        train(game, test_set, observe=breaks)


@pytest.mark.parametrize("every", [1, 2, 5])
def test_checkpoints_are_from_before_a_break_down(test_set, tmp_path, every):
    """Its stage is not kept, also where it would have been kept before it is tested."""
    game, keep = play(), Keep(tmp_path / "run.ckpt", {"run": "x"}, every)
    breaking(game, "student", "KL on G", 9, float("nan"))  # of stage 5
    kept = {1: 4, 2: 4, 5: None}[every]
    before = f"; the last checkpoint from before is {keep.path}" if kept else "the last checkpoint"
    with pytest.raises(FloatingPointError, match="at stage 5, student step 1") as caught:
        train(game, test_set, keep=keep)
    assert (before in str(caught.value)) == bool(kept)
    state = checkpoint.load(keep.path, keep.identity)
    assert (state and state["stage"]) == kept
    if kept:
        game = play()
        game.load(state["method"])
        assert all(torch.isfinite(value).all() for n in networks(game).values() for value in n.state_dict().values())


def test_a_learning_rate_out_of_bounds_breaks_down(test_set, tmp_path):
    keep = Keep(tmp_path / "run.ckpt", {"run": "x"}, 1)
    with pytest.raises(FloatingPointError, match=r"not finite at stage \d, (student|generator) step \d, term "):
        train(play(student_lr=1e20), test_set, keep=keep)
