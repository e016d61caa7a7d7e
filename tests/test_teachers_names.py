"""What a teacher may be called, checked before anything is loaded."""

import pytest

from dfkd_lib import teacher_names
from dfkd_lib.errors import UserError
from dfkd_lib.teacher_names import Source, parse_teacher


@pytest.fixture
def weights(tmp_path):
    path = tmp_path / "a:b.safetensors"
    path.write_bytes(b"")
    return path


def test_names(weights, tmp_path, monkeypatch):
    assert parse_teacher("lenet5") == Source("ours", "lenet5")
    assert parse_teacher("torchvision:resnet50") == Source("torchvision", "resnet50")
    assert parse_teacher("timm:resnet50.a1_in1k") == Source("timm", "resnet50.a1_in1k")
    assert parse_teacher(f"{weights}:wrn40_2") == Source("file", "wrn40_2", weights)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert parse_teacher("~/a:b.safetensors:wrn40_2") == Source("file", "wrn40_2", weights)


def test_a_relative_file_is_looked_for_here_and_then_in_the_checkout(weights, tmp_path, monkeypatch):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.setattr(teacher_names, "project_folder", lambda: tmp_path)
    monkeypatch.chdir(elsewhere)
    assert parse_teacher("a:b.safetensors:lenet5").path.resolve() == weights.resolve()
    (elsewhere / "a:b.safetensors").write_bytes(b"")
    assert parse_teacher("a:b.safetensors:lenet5").path.resolve() == elsewhere.resolve() / "a:b.safetensors"


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("lenet", "teacher 'lenet' lenet5 wrn40_2"),
        (5, "teacher 5 lenet5"),
        (None, "teacher None lenet5"),
        ("", "teacher '' lenet5"),
        ("my/weights.safetensors", "teacher weights.safetensors:NETWORK lenet5 wrn40_2"),
        ("my/weights.pt", "teacher weights.pt:NETWORK lenet5"),
        ("WEIGHTS:lenet", "teacher a:b.safetensors 'lenet' lenet5"),
        ("/none/w.safetensors:lenet5", "teacher /none/w.safetensors no file"),
        ("torchvision:", "teacher torchvision empty"),
        ("timm: ", "teacher timm empty"),
        ("keras:resnet50", "teacher keras:resnet50 torchvision:NAME timm:NAME FILE:NETWORK .safetensors"),
        ("weights.pkl:lenet5", "teacher weights.pkl FILE:NETWORK .safetensors .pt .pth"),
        (":lenet5", "teacher ':lenet5' FILE:NETWORK"),
    ],
)
def test_one_clear_line(weights, value, words):
    if isinstance(value, str):
        value = value.replace("WEIGHTS", str(weights))
    with pytest.raises(UserError) as caught:
        parse_teacher(value)
    line = str(caught.value)
    assert len(line.splitlines()) == 1 and [word for word in words.split() if word not in line] == []
