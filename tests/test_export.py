"""Exported students: run from their files, for any number of images; what cannot be told, and what tells it wrong."""

import numpy as np
import pytest
import torch
from torch import nn

from dfkd_lib import export
from dfkd_lib.models import build

X = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def network():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = build("wrn16_1", 10)
        made(X)  # BatchNorm has seen something
    return made.eval()


def test_both_programs_answer_as_the_network(network, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    made = export.export(network, X, tmp_path / "a.b")
    assert {name: told["file"] for name, told in made.items()} == {"torch.export": "a.b.pt2", "onnx": "a.b.onnx"}
    for n in (1, 5):
        x = torch.randn(n, 3, 32, 32)
        with torch.no_grad():
            wanted = network(x)
            found = torch.export.load(tmp_path / "a.b.pt2").module()(x)
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)
        (found,) = onnxruntime.InferenceSession(tmp_path / "a.b.onnx").run(None, {"images": x.numpy()})
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


class Chooses(nn.Module):
    """Looks at the pixels before it decides what to compute: no program can be told from one run."""

    def forward(self, x):
        return x.flatten(1)[:, :10] * (2 if x.sum() > 0 else 3)


def test_what_cannot_be_exported_says_why(tmp_path):
    (tmp_path / "s.pt2").write_text("an earlier student's")
    made = export.export(Chooses(), X, tmp_path / "s", onnx=False)
    assert made["torch.export"]["not_made"] and made["onnx"] == {"not_made": "not asked for"}
    assert not list(tmp_path.iterdir())


def test_a_program_that_answers_otherwise_is_not_kept(network, tmp_path, monkeypatch):
    usual = export._FORMATS["torch.export"]
    wrong = (*usual[:2], lambda data, x: usual[2](data, x) + 0.1 * (len(x) == 1))
    monkeypatch.setitem(export._FORMATS, "torch.export", wrong)
    made = export.export(network, X, tmp_path / "s", onnx=False)
    assert "answers otherwise than the student, by 0.1" in made["torch.export"]["not_made"]
    assert not list(tmp_path.iterdir())


def test_onnx_names_what_is_to_be_installed(network, tmp_path, monkeypatch):
    monkeypatch.setattr(export, "_NEEDED", ("torch", "no_such_package"))
    monkeypatch.setitem(export._FORMATS, "torch.export", (".pt2", lambda *_: b"", lambda data, x: network(x).detach()))
    made = export.export(network, X, tmp_path / "s")
    assert made["onnx"] == {"not_made": "needs no_such_package: pip install no_such_package"}
