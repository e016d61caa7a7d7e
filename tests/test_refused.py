"""What the sweep of bad inputs has found, each by itself: it was a traceback once, or a wrong result without a word."""

import io
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from data_files import write_npz
from faults import PLACE, Crash, ended_at, observed, words
from safetensors.torch import save_file
from torch import nn

from dfkd_lib import checkpoint, files, results, run, sources, teachers
from dfkd_lib.data import load_dataset
from dfkd_lib.errors import UserError
from dfkd_lib.foreign import load_foreign
from dfkd_lib.history import History
from dfkd_lib.recipe import Recipe

TASK = {"num_classes": 10, "input_shape": (1, 32, 32)}


def refusal(call, *args, **options) -> str:
    with pytest.raises(UserError) as caught:
        call(*args, **options)
    [line] = str(caught.value).splitlines()
    return line


# --- what torch refuses -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error",
    [MemoryError(), RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried 9 bytes\n...")],
)
@pytest.mark.parametrize(("module", "arguments"), [(run, PLACE), (teachers, ["--device", "cpu", "--epochs", "1"])])
def test_too_little_memory_is_one_line(error, module, arguments, capsys, monkeypatch, tmp_path):
    def fails(*args):
        raise error

    monkeypatch.setattr(module, "load_dataset", fails)
    assert module.main(arguments) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("error: memory: ")


def test_batchnorm_and_a_single_image(capsys, monkeypatch):
    """ResNet-18 makes one number per channel of an image of 32×32."""

    def fails(*args):
        nn.BatchNorm2d(3)(torch.zeros(1, 3, 1, 1))

    monkeypatch.setattr(run, "load_dataset", fails)
    assert run.main(PLACE) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("error: batch: BatchNorm") and "student_batch" in line


def test_another_error_of_torchs_is_a_mistake_of_ours(monkeypatch):
    def fails(*args):
        raise RuntimeError("a mistake of the library's")

    monkeypatch.setattr(run, "load_dataset", fails)
    with pytest.raises(RuntimeError, match="a mistake"):
        run.main(PLACE)


# --- paths -----------------------------------------------------------------------------------------------------------


def test_a_home_is_found_where_no_shell_looks_for_it(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert files.output_folder("~/out") == tmp_path / "out"
    monkeypatch.setenv("DFKD_CACHE", "~/kept")
    assert teachers.cache() == tmp_path / "kept" / "teachers"
    monkeypatch.setenv("DFKD_RESULTS", "~/results")
    assert results.records_folder() == tmp_path / "results"


@pytest.mark.parametrize("name", ["DFKD_DATA", "DFKD_CACHE"])
def test_nobodys_home_is_named_with_what_was_given_so(monkeypatch, name):
    monkeypatch.setenv(name, "~nobody.of.that.name/x")
    assert refusal(sources.locate, "mnist").startswith(f"{name}: '~nobody.of.that.name/x' is nobody's folder")


def test_a_folder_that_can_be_none():
    assert refusal(files.output_folder, "a\0b").startswith("output_dir: cannot write to ")


def test_what_is_too_long_for_a_path(monkeypatch):
    assert "is not known" in refusal(load_dataset, "x" * 5000)
    assert "there is no folder" in refusal(results.load_records, Path("x" * 300))
    monkeypatch.setenv("DFKD_DATA", "x" * 5000)
    assert "cifar10.npz" in refusal(load_dataset, "cifar10")


# --- data sets -------------------------------------------------------------------------------------------------------

WRONG = {
    "no pixels": (
        lambda a: {f"x_{p}": np.zeros((len(a[f"y_{p}"]), 0, 0, 1), np.uint8) for p in ("train", "test")},
        "pix",
    ),
    "one class": (lambda a: {f"y_{part}": 0 * a[f"y_{part}"] for part in ("train", "test")}, "one class"),
    "a thousand million classes": (lambda a: {"y_train": 10**9 * a["y_train"]}, "65,535"),
    "a label below 0, once it is signed": (lambda a: {"y_test": _unsigned(a["y_test"])}, "labels up to 18446744073709"),
}


def _unsigned(y: np.ndarray) -> np.ndarray:
    return np.where(y == 2, np.uint64(2**64 - 1), y.astype(np.uint64))


@pytest.mark.parametrize("what", WRONG)
def test_data_that_would_mislead(what, monkeypatch, tmp_path):
    change, told = WRONG[what]
    monkeypatch.setenv("DFKD_DATA", str(tmp_path))
    made = write_npz(tmp_path / "mine.npz")
    load_dataset("mine")
    np.savez(tmp_path / "mine.npz", **made | change(made))
    line = refusal(load_dataset, "mine")
    assert "mine.npz" in line and told in line


# --- teachers --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda t: t.to(torch.int8), "is torch.int8, which is not torch.float32"),
        (lambda t: t.to(torch.complex64), "is torch.complex64"),
        (lambda t: torch.full_like(t, -torch.inf), "features.0.bias that are not finite"),
    ],
)
def test_weights_that_are_none(change, told, tmp_path, teacher):
    path, state = tmp_path / "mine.safetensors", teacher.network.state_dict()
    for made in (state, {name: value.half() for name, value in state.items()}):
        save_file(made, path)
        load_foreign(f"{path}:lenet5", **TASK)
    save_file(state | {"features.0.bias": change(state["features.0.bias"])}, path)
    assert told in refusal(load_foreign, f"{path}:lenet5", **TASK)


class Net(nn.Module):
    def __init__(self, **how):
        super().__init__()
        self.how = how

    def forward(self, x):
        return torch.zeros(len(x), 10, **self.how)


@pytest.mark.parametrize(("how", "told"), [({"dtype": torch.int64}, "torch.int64"), ({"device": "meta"}, "meta")])
def test_answers_that_are_no_logits(how, told):
    load_foreign(Net(), **TASK)
    assert told in refusal(load_foreign, Net(**how), **TASK)


def test_a_source_that_is_empty_is_named_as_the_teacher():
    assert refusal(load_foreign, " ", **TASK).startswith("teacher: ")


# --- recipes, records, checkpoints -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    [("momentum", 2.0), ("batch", 0), ("z_dim", 65_537), ("student_lr", float("nan")), ("milestones", (2.0,))],
)
def test_a_recipe_checks_its_settings_wherever_it_is_made(name, value):
    assert refusal(Recipe, **{name: value}).startswith(f"{name}: ")
    assert refusal(Recipe().replace, **{name: value}).startswith(f"{name}: ")


@pytest.fixture
def record(tmp_path) -> Path:
    """A record in a folder of its own, of a run that was made for it."""
    folder = tmp_path / "records"
    assert run.main(["--method", "mad", *PLACE, *words(), "--output-dir", str(folder), "--record-only"]) == 0
    [path] = folder.glob("*.json")
    return path


def test_a_record_whose_figures_are_none(record):
    whole = json.loads(record.read_text())
    wrong = [("accuracy_last", "98"), ("accuracy_last", float("nan")), ("seed", 0.5), ("history", []), ("method", None)]
    for key, value in wrong:
        record.write_text(json.dumps(whole | {key: value}))
        line = refusal(results.load_records, record.parent)
        assert str(record) in line and key in line
    record.write_text("[" * 100_000)
    assert "is not JSON" in refusal(results.load_records, record.parent)
    record.unlink()
    record.mkdir()
    assert f"{record} cannot be read" in refusal(results.load_records, record.parent)


def test_a_progress_that_no_run_makes():
    row = dict.fromkeys(("samples", "seconds", "generator_loss", "student_loss", "accuracy", "agreement", "kl"), 1)
    history = History()
    history.append(stage=3, **row)
    history.check(4, 1, 0.5, 7)
    for wrong in ((5, 1, 0.5, 7), (4, 1, 0.5, 3), (4, 1.0, 0.5, 7), (4, 1, "0.5", 7), (-1, -4, 0.5, 7)):
        with pytest.raises(ValueError, match="belong together"):
            history.check(*wrong)
    history.accuracy.append(3.0)
    with pytest.raises(ValueError, match="belong together"):
        history.check(4, 1, 0.5, 7)


def test_a_checkpoint_with_such_a_progress(tmp_path, monkeypatch, capsys):
    """Its hash is right: it is another version's, or made by hand. It stays, and nothing is written."""
    command = ["--method", "mad", *PLACE, *words(), "--checkpoint-every", "2", "--output-dir", str(tmp_path)]
    with monkeypatch.context() as patch, pytest.raises(Crash):
        observed(patch, ended_at(5, "crash"))
        run.main(command)
    [path] = tmp_path.glob("*.ckpt")
    whole = torch.load(io.BytesIO(path.read_bytes().partition(b"\n")[2]), weights_only=True)
    os.unlink(checkpoint.previous(path))
    for change in ({"stage": 7}, {"stage": 2.5}, {"sums": torch.zeros(5)}, {"history": {}}):
        checkpoint.save(path, whole["identity"], whole["state"] | change)
        before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
        capsys.readouterr()
        assert run.main([*command, "--resume"]) == 2, change
        [line] = capsys.readouterr().err.splitlines()
        assert line.startswith(f"error: resume: {path} is another version's; delete it")
        assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before
    checkpoint.save(path, whole["identity"], whole["state"])
    assert run.main([*command, "--resume"]) == 0
