"""A wrong value ends chapter 3 at once, with one line that says what would be right."""

import time

import pytest
from chapters import ROOT, shell

# What is passed, and the words the line must hold: the parameter, and what it may be.
CASES = [
    ("dataset cifar1000", ["dataset", "cifar1000", "digits", "cifar100"]),
    ("momentum 1.5", ["momentum", "1.5", "0", "1"]),
    ("seed abc", ["seed", "abc"]),
    ("budget false", ["budget", "false", "auto"]),
    ("datset digits", ["datset", "dataset"]),
    ("device cuda", ["device", "cuda", "cpu"]),  # shell() hides any GPU
    ("dataset cifar100", ["cifar100.npz", "DFKD_DATA"]),  # a right value, but no data
    ("student lenet6", ["student", "lenet6", "lenet5_half"]),
    ("overrides bach=3", ["overrides", "bach", "batch"]),
]


@pytest.mark.parametrize(("parameter", "words"), CASES, ids=[case[0] for case in CASES])
def test_one_clear_line(parameter, words, tmp_path):
    command = f"DFKD_OFFLINE=1 papermill {ROOT}/book/03_mad.ipynb ran.ipynb -p output_dir {tmp_path}/students"
    started = time.perf_counter()
    result = shell(f"{command} -p {parameter}", cwd=tmp_path)
    seconds = time.perf_counter() - started

    assert result.returncode != 0, result.stdout
    # papermill's command line shows where papermill itself stopped; what it then quotes from the
    # chapter has to be one line, the last.
    _, from_chapter = result.stdout.split("Exception encountered at", 1)
    lines = [line for line in from_chapter.splitlines()[1:] if line.strip()]
    assert len(lines) == 1, from_chapter
    assert [word for word in words if word not in lines[0]] == [], lines[0]
    assert [path.name for path in tmp_path.iterdir()] == ["ran.ipynb"], "something was written"
    assert seconds < 60  # on a busy machine; a run would take minutes
