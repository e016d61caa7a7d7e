"""The memory of images, DFKD-Mem, and DeepInversion, which fills one without a generator."""

import pytest
import torch
from method_checks import TINY, colour, content, generator_stage, numbers, play, played, random_images, stage
from torch import nn

from dfkd_lib.methods.memory import Memory


def coloured(*values: float) -> torch.Tensor:
    """Images of one pixel that can be told from each other."""
    return torch.tensor(values, dtype=torch.float32).reshape(-1, 1, 1, 1)


def held(memory: Memory) -> list[float]:
    return memory.images[: int(memory.filled)].flatten().tolist()


@pytest.fixture
def random():
    return torch.Generator().manual_seed(0)


@pytest.fixture
def memory():
    return Memory(5, (1, 1, 1), torch.device("cpu"))


# --- the memory ------------------------------------------------------------------------------------------------------


def test_free_places_are_filled_first(memory, random):
    memory.add(coloured(1, 2), random)
    assert held(memory) == [1, 2]
    memory.add(coloured(3, 4), random)
    assert held(memory) == [1, 2, 3, 4]


def test_then_random_ones_are_replaced(memory, random):
    """No new image takes another new one's place; and every place has its turn."""
    memory.add(coloured(1, 2, 3, 4, 5), random)
    places = torch.zeros(5)
    for _ in range(200):
        before = held(memory)
        memory.add(coloured(6, 7), random)
        assert {6, 7} <= set(held(memory)) and int(memory.filled) == 5
        places += torch.tensor([a != b for a, b in zip(before, held(memory), strict=True)])
        memory.images.copy_(coloured(1, 2, 3, 4, 5))
    assert ((places - 80).abs() < 4 * (200 * 0.4 * 0.6) ** 0.5).all()


def test_a_batch_may_be_what_is_left_and_more(memory, random):
    memory.add(coloured(1, 2, 3, 4), random)
    memory.add(coloured(5, 6, 7), random)
    assert {6, 7} < set(held(memory)) and len(held(memory)) == 5


@pytest.mark.parametrize("already", [0, 3, 5])
def test_a_batch_may_replace_everything(memory, random, already):
    memory.add(coloured(*range(already)), random)
    memory.add(coloured(*range(10, 30)), random)
    assert len(set(held(memory))) == 5 and min(held(memory)) >= 10


def test_draws_are_uniform_over_what_is_there(memory, random):
    memory.add(coloured(1, 2, 3, 4), random)
    drawn = memory.draw(8000, random).flatten()
    counts = torch.bincount(drawn.long(), minlength=6)
    assert counts[[0, 5]].tolist() == [0, 0]
    assert ((counts[1:5] - 2000).abs() < 4 * (8000 * 0.25 * 0.75) ** 0.5).all()


# --- DFKD-Mem --------------------------------------------------------------------------------------------------------


def test_each_stage_one_batch_of_the_generators_is_remembered():
    """The generator's as it stands behind its last step; the memory is full behind three stages."""
    game, entered = play("dfkd_mem", generator_steps=2), []
    add = game.memory.add
    game.memory.add = lambda x, random: entered.append(x) or add(x, random)
    for filled in (8, 16, 24, 24, 24):
        for _ in range(2):
            game.generator_step()
        random = game.random.get_state()
        expected = game.draw(game.generator, 8)
        game.random.set_state(random)
        game.end_generator_stage()
        assert torch.equal(entered[-1], expected) and int(game.memory.filled) == filled
        for step in range(4):
            game.student_step(step)
    assert len(entered) == 5

    def there(x: torch.Tensor) -> bool:
        return bool((game.memory.images == x).flatten(1).all(1).any())

    assert all(there(x) for x in entered[-1])
    kept = [sum(there(x) for x in batch) for batch in entered]
    assert sum(kept) == 24 and 0 < sum(kept[:3]) < 24


def test_dfkd_mems_student_sees_the_generator_and_the_memory():
    game = played(play("dfkd_mem"))
    random = game.random.get_state()
    fresh, remembered = game.student_images()
    game.random.set_state(random)
    assert torch.equal(fresh, game.draw(game.generator, 8))
    index = torch.randint(16, (8,), generator=game.random)
    assert torch.equal(remembered, game.memory.images[index])


def test_without_its_memory_dfkd_mem_is_abm():
    abm, alone = play("abm"), play("dfkd_mem", lambda1=0.0)
    generator_stage(alone)
    x, remembered = alone.student_images()
    abm.generator_step()
    assert sum(alone.student_loss([x, remembered]).values()) == sum(abm.student_loss([x]).values())


# --- DeepInversion ---------------------------------------------------------------------------------------------------

WEIGHTS = {"lambda_tv": 0.01, "lambda_l2": 0.02, "lambda_bn": 0.3, "lambda_compete": 0.4}


def entropy(p: torch.Tensor) -> torch.Tensor:
    return -(p * p.log()).sum(1)


@torch.no_grad()
def test_the_loss_of_inverted_images():
    """Term by term, on a teacher with BatchNorm: norms of the gaps between moments, not their squares."""
    game = play("deepinversion", **colour(), **WEIGHTS)
    game.student.eval()
    x, y = random_images(8, 3), torch.arange(8)
    inputs, handles = [], []
    for layer in game.teacher.modules():
        if isinstance(layer, nn.BatchNorm2d):
            handles.append(layer.register_forward_pre_hook(lambda m, i: inputs.append((m, i[0]))))
    p, q = game.teacher(x).softmax(1), game.student(x).softmax(1)
    for handle in handles:
        handle.remove()
    bn = sum(
        (f.mean((0, 2, 3)) - m.running_mean).norm() + (f.var((0, 2, 3), correction=0) - m.running_var).norm()
        for m, f in inputs
    )
    right, below = x.diff(dim=3), x.diff(dim=2)
    falling, rising = x[..., 1:, 1:] - x[..., :-1, :-1], x[..., 1:, :-1] - x[..., :-1, 1:]
    js = (entropy((p + q) / 2) - (entropy(p) + entropy(q)) / 2).mean()
    expected = {
        "label": -p[range(8), y].log().mean(),
        "total variation": 0.01 * sum(d.square().sum().sqrt() for d in (right, below, falling, rising)),
        "norm": 0.02 * x.square().sum((1, 2, 3)).sqrt().mean(),
        "BatchNorm": 0.3 * bn,
        "competition": 0.4 * (1 - js),
    }
    assert len(inputs) > 5
    assert numbers(game.image_loss(x, y)) == pytest.approx(numbers(expected), rel=1e-3)
    assert "competition" not in play("deepinversion", **colour(), lambda_compete=0.0).image_loss(x, y)


def test_inversion_leaves_the_student_alone():
    """Its BatchNorm statistics, its mode and its gradients; whether it ends well or not."""
    game = played(play("deepinversion", **colour()), stages=1)
    before, gradients = content(game.student), [p.grad.clone() for p in game.student.parameters()]
    seen = []
    game.student.register_forward_pre_hook(lambda network, _: seen.append(network.training))
    game.generator_step()
    game.image_loss = lambda x, y: {"wrong": game.student(x).no_such_thing}
    with pytest.raises(AttributeError, match="no_such_thing"):
        game.generator_step()
    assert seen and not any(seen)
    assert game.student.training and all(p.requires_grad for p in game.student.parameters())
    assert torch.equal(content(game.student), before)
    assert all(torch.equal(p.grad, g) for p, g in zip(game.student.parameters(), gradients, strict=True))


def test_inverted_images_enter_the_memory():
    """Each batch found from fresh noise by Adam on the pixels; the terms are those of the last update."""
    game, losses = play("deepinversion", inversion_steps=30), []
    loss = game.image_loss
    game.image_loss = lambda x, y: losses.append(loss(x, y)) or losses[-1]
    start = game.random.get_state()
    terms = game.generator_step()
    assert len(losses) == 30 and numbers(terms) == numbers(losses[-1])
    assert terms["label"] < 0.5 * losses[0]["label"]
    assert int(game.memory.filled) == 8

    y = torch.randint(10, (8,), generator=game.random.set_state(start))
    x = torch.randn(8, 1, 32, 32, generator=game.random).requires_grad_()
    optimizer = torch.optim.Adam([x], game.recipe.inversion_lr)
    game.student.eval()
    for _ in range(30):
        optimizer.zero_grad()
        sum(loss(x, y).values()).backward()
        optimizer.step()
    torch.testing.assert_close(game.memory.images[:8], x.detach())


def test_deepinversions_student_sees_its_memory():
    game = play("deepinversion", student_batch=50)
    generator_stage(game)
    (x,) = game.student_images()
    there = game.memory.images[: TINY.batch]
    assert len(x) == 50 and all((there == image).flatten(1).all(1).any() for image in x)
    stage(game)
    assert int(game.memory.filled) == 2 * TINY.batch
