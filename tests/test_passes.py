"""Passes counted by hooks, against torch's count of floating-point operations and against what the equations say."""

import copy

import pytest
import torch
from method_checks import GAMES, play
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from dfkd_lib.errors import UserError
from dfkd_lib.flops import cost
from dfkd_lib.methods import METHODS
from dfkd_lib.passes import Passes, count, networks, per_update

NOTHING = Passes()
GANS = ("hidfd", "degan")  # whose stages are of two kinds
WITHOUT_HELPERS = [name for name in METHODS if name not in ("fitnet", "ft", *GANS)]  # their layers are no networks


def first_layer(network: nn.Module) -> nn.Module:
    return next(m for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear))


def multiply_adds(method, name: str) -> tuple[int, int]:
    """Of a whole network, and of its first layer, for one image."""
    network = copy.deepcopy(networks(method)[name])
    layer, shape = first_layer(network), (method.recipe.z_dim,) if name in ("generator", "EMA(G)") else method.shape
    seen = []
    layer.register_forward_hook(lambda module, _, output: seen.append(output[0].numel() * module.weight[0].numel()))
    return cost(network, *shape).multiply_adds, seen[0]


@pytest.mark.parametrize("name", WITHOUT_HELPERS)
def test_passes_explain_every_operation(name):
    """All floating-point operations of a phase are the passes times what a pass takes; a first layer that is trained
    does not carry the gradient on to its inputs.
    """
    method, twin = play(name, fast_layers=False), play(name, fast_layers=False)
    method.prepare(), twin.prepare()
    steps = {
        "generator step": twin.generator_step,
        "end of stage": twin.end_generator_stage,
        "student step": twin.student_step,
    }
    counted = count(method)
    assert counted.keys() == steps.keys()
    for phase, step in steps.items():
        with FlopCounterMode(display=False) as counter:
            step()
        expected = 0
        for network, passes in counted[phase].items():
            whole, first = multiply_adds(method, network)
            expected += passes.units * whole - passes.training * first
        assert counter.get_total_flops() == 2 * 8 * expected, phase


@pytest.mark.parametrize("name", [name for name in METHODS if name not in (*GAMES, *GANS, "deepinversion")])
def test_without_a_generator_there_is_only_the_student_step(name):
    counted = count(play(name))
    assert counted["generator step"] == counted["end of stage"] == {"teacher": NOTHING, "student": NOTHING}
    assert counted["student step"] == {"teacher": Passes(1), "student": Passes(1, training=1)}


def test_mad_sees_two_batches_and_trains_no_average():
    counted = count(play("mad"))
    assert counted["student step"] == {
        "teacher": Passes(2),
        "student": Passes(2, training=2),
        "generator": Passes(1),
        "EMA(G)": Passes(1),
    }
    assert counted["generator step"] == {
        "teacher": Passes(1, through=1),
        "student": Passes(1, through=1),
        "generator": Passes(1, training=1),
        "EMA(G)": NOTHING,
    }


def test_reestimated_statistics_cost_a_pass_of_the_average():
    assert count(play("mad", ema_statistics="reestimated"))["end of stage"]["EMA(G)"] == Passes(1)


def test_the_class_is_no_pass():
    conditional, plain = count(play("mad", conditional=True)), count(play("mad"))
    assert conditional == plain


def test_mixtures_labelled_by_the_teacher_cost_a_pass_of_it():
    chord, own = (count(play("arvi", mixup_labels=labels))["student step"] for labels in ("chord", "teacher"))
    assert chord["student"] == own["student"] == Passes(2, training=2)
    assert (chord["teacher"].forward, own["teacher"].forward) == (1, 2)


def test_deepinversion_passes_once_per_update_of_its_images():
    counted = count(play("deepinversion", inversion_steps=5))
    assert counted["generator step"] == {"teacher": Passes(5, through=5), "student": Passes(5, through=5)}


def test_a_stage_is_shared_by_its_student_steps():
    method = play("dfad", generator_steps=3, student_steps=6)
    share = per_update(method, count(method))
    assert share == pytest.approx({"teacher": 1 + 2 * 3 / 6, "student": 3 + 2 * 3 / 6, "generator": 1 + 3 * 3 / 6})


def test_nothing_stays_behind():
    method = play("mad")
    count(method)
    assert not any(m._forward_hooks for network in networks(method).values() for m in network.modules())
    with torch.no_grad():
        method.teacher(torch.zeros(1, *method.shape))


@pytest.mark.parametrize("name", GANS)
def test_stages_of_two_kinds_are_not_counted(name):
    with pytest.raises(UserError, match="two kinds"):
        count(play(name))


def test_reused_images_are_not_counted():
    method = play("mad", student_steps=4, reuse=2)
    with pytest.raises(UserError, match="give 1"):
        per_update(method, {})
