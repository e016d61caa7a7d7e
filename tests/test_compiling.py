"""Compiled networks compute the same; where compiling fails, the run goes on and says why."""

import copy

import jaxtyping
import pytest
import torch
from method_checks import play, stage

from dfkd_lib import compiling, run
from dfkd_lib.compiling import compile_classifier, compile_networks, restore
from dfkd_lib.losses.mad import bn_moments
from dfkd_lib.models import build

# torch's own compiler looks at gradients that it warns of.
pytestmark = pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")


@pytest.fixture(autouse=True)
def forget(monkeypatch):
    """What the tests check at run time, the shapes of tensors, is nothing that can be compiled."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    yield
    torch._dynamo.reset()


def use_backend(monkeypatch, backend) -> None:
    """torch's own is slow to start: what stands between is what is tested."""
    usual = torch.nn.Module.compile
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self, mode: usual(self, backend=backend))


def equal(one, other) -> bool:
    def values(tree):
        return [v for t in tree.values() for v in (values(t) if isinstance(t, dict) else [t])]

    pairs = zip(values(one), values(other), strict=True)
    return all(torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b for a, b in pairs)


@pytest.mark.parametrize("method", ["dfad", "mad"])
def test_the_trial_leaves_no_trace_and_the_numbers_are_the_same(monkeypatch, method):
    use_backend(monkeypatch, "eager")
    usual, compiled = play(method), play(method)
    before, chance = copy.deepcopy(compiled.state()), torch.get_rng_state()
    assert compile_networks(compiled) == ("default", "")
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] > 0
    assert equal(compiled.state(), before) and torch.equal(torch.get_rng_state(), chance)
    for _ in range(2):
        stage(usual)
        stage(compiled)
    for one, other in zip(usual.student.parameters(), compiled.student.parameters(), strict=True):
        torch.testing.assert_close(other, one)


def test_a_classifier_in_training_is_compiled_without_a_trace(monkeypatch):
    use_backend(monkeypatch, "eager")
    torch.manual_seed(0)
    network, x = build("wrn16_2", 3), torch.randn(4, 3, 16, 16)
    twin, before = copy.deepcopy(network), copy.deepcopy(network.state_dict())
    assert compile_classifier(network, x, torch.bfloat16) == ("default", "")
    assert equal(network.state_dict(), before) and all(p.grad is None for p in network.parameters())
    torch.testing.assert_close(network(x), twin(x))
    restore([network])
    torch.testing.assert_close(network(x), twin(x))  # running statistics have moved, as in the twin


def test_a_compiled_teacher_knows_of_hooks_that_come_and_go(monkeypatch):
    """BNmm hangs hooks on the teacher for one pass; the passes between have none."""
    use_backend(monkeypatch, "eager")
    torch.manual_seed(0)
    network, x = build("wrn16_2", 3).eval(), torch.randn(4, 3, 16, 16)
    twin = copy.deepcopy(network)
    assert compile_classifier(network, x, torch.bfloat16)[0] == "default"
    network.eval(), network(x)
    torch.testing.assert_close(bn_moments(network, x), bn_moments(twin, x))
    torch.testing.assert_close(network(x), twin(x))


def test_where_compiling_fails_the_reason_is_told_and_the_networks_run_as_they_did(monkeypatch):
    def fails(graph, inputs):
        raise RuntimeError("no compiler\nand a long trace")

    use_backend(monkeypatch, fails)
    usual, game = play("mad"), play("mad")
    mode, reason = compile_networks(game)
    assert mode == "none" and reason.startswith("default: ") and "no compiler" in reason and "\n" not in reason
    stage(usual)
    stage(game)
    assert equal(game.state(), usual.state())


def test_the_first_mode_that_works_is_taken(monkeypatch):
    asked = []
    usual = torch.nn.Module.compile

    def compile_(self, mode):
        asked.append(mode)
        usual(self, backend="eager" if mode == "default" else lambda graph, inputs: 1 / 0)

    monkeypatch.setattr(torch.nn.Module, "compile", compile_)
    monkeypatch.setitem(compiling.MODES, "cpu", ("reduce-overhead", "default"))
    mode, reason = compile_networks(play("dfad"))
    assert mode == "default" and reason.startswith("reduce-overhead: ")
    assert list(dict.fromkeys(asked)) == ["reduce-overhead", "default"]


def test_a_run_that_cannot_compile_says_so_and_ends_well(monkeypatch, capsys, tmp_path):
    def fails(graph, inputs):
        raise RuntimeError("no compiler")

    use_backend(monkeypatch, fails)
    quick = "--budget 2 --device cpu --set batch=16 --set student_batch=16 --record-only --method dfad".split()
    assert run.main([*quick, "--compile", "on", "--output-dir", str(tmp_path)]) == 0
    [line] = [line for line in capsys.readouterr().err.splitlines() if "torch.compile" in line]
    assert "no compiler" in line and line.endswith("networks are compiled: none")
    [record] = run.results.load_records(tmp_path)
    assert record["compiled"] == "none" and record["command"].endswith("--compile on")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--compile", "maybe"], "auto, off, on"),
        (["--compile", "on", "--plain"], "leave out --compile"),
        (["--compile", "on", "--method", "kd_ori"], "no game"),
    ],
)
def test_what_cannot_be_is_told_before_any_work(capsys, tmp_path, arguments, told):
    assert run.main([*arguments, "--device", "cpu", "--output-dir", str(tmp_path / "out")]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert told in line and not (tmp_path / "out").exists()


def test_a_cpu_is_not_made_to_compile(monkeypatch, tmp_path):
    monkeypatch.setattr(run, "compile_or_say_why", lambda game: pytest.fail("compiled"))
    quick = "--budget 1 --device cpu --set batch=16 --set student_batch=16 --record-only --method dfad".split()
    assert run.main([*quick, "--output-dir", str(tmp_path)]) == 0
