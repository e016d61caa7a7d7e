"""The example in one file computes what the library's MAD computes from equal noise."""

import ast
from pathlib import Path

import pytest
import torch

from dfkd_lib import load_dataset, load_teacher, recipe_for
from dfkd_lib.methods import State
from dfkd_lib.run import run

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "mad_in_one_file.py"
TEXT = EXAMPLE.read_text()
STAGES = 3


def noise_without_classes(self, n):
    """The library also draws a class an image, which this generator ignores."""
    size = (n, self.generator.z_dim)
    return torch.randn(size, generator=self.random), torch.zeros(n, dtype=torch.int64)


def test_losses_are_those_of_the_library(monkeypatch, capsys):
    """In which every setting shows, but the number of stages."""
    recipe = recipe_for("digits", "mad")
    told = f"\nSTAGES = {recipe.settings.stages}"
    assert told in TEXT
    short = TEXT.replace(told, f"\nSTAGES = {STAGES}")
    example = {}
    exec(compile(short, str(EXAMPLE), "exec"), example)

    monkeypatch.setattr(State, "noise", noise_without_classes)
    data = load_dataset("digits")
    recipe = recipe.replace(stages=STAGES, stages_per_epoch=1)
    history = run(recipe, data, load_teacher(data, "lenet5")).history

    assert example["losses"] == pytest.approx(history.student_loss, rel=1e-4)
    accuracy = example["accuracy"](example["student"])
    assert accuracy == pytest.approx(history.accuracy[-1], abs=0.5)  # two images
    assert f"student {accuracy:.2f} %" in capsys.readouterr().out


def test_is_short_and_takes_only_data_teacher_and_networks():
    assert len(TEXT.splitlines()) <= 100
    imports = [n for n in ast.walk(ast.parse(TEXT)) if isinstance(n, ast.ImportFrom)]
    ours = [n for n in imports if n.module.startswith("dfkd_lib")]
    names = {alias.name for node in ours for alias in node.names}
    assert names == {"load_dataset", "load_teacher", "GeneratorA", "build"}
