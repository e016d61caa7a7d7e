# ruff: noqa: F401, I001  (long imports in a few lines)
"""Trained teachers: shipped, cached, trained now, or your own (`names`).

``python -m dfkd_lib.teachers --dataset digits --teacher lenet5`` trains one.
"""

import json
import math
from pathlib import Path

import torch
from safetensors.torch import load_file

from ..data import Dataset, check_fits
from ..errors import UserError, told
from ..files import cache_folder, writable_folder
from ..models import build
from .foreign import load_foreign, renormalised
from .machine import commit, hardware, resolve_device, resolve_precision, tree, versions
from .names import parse_teacher
from .recipes import TeacherRecipe, teacher_recipe
from .trained import (
    Constants, Scores, Teacher, accuracy, accuracy_on, confusion, digest, logits_of,
    miou, segmentation, weights,
)  # fmt: skip
from .training import command, train_teacher


SHIPPED = Path(__file__).parent / "assets"
CPU_LIMIT = 30 * 60  # seconds; on a CPU, only the command trains for longer


def cache() -> Path:
    """The folder of the teachers trained on this machine."""
    return cache_folder() / "teachers"


def load_teacher(
    dataset: Dataset, name: str, *, train: bool = True, device: str = "auto"
) -> Teacher:
    """The teacher `name`: shipped, cached, or else trained now and cached.

    Two processes that ask at once train it once; `train=False` trains none. `name` may
    also be a teacher of your own (`names`). A UserError if it may not be trained, or
    not in `CPU_LIMIT` on a CPU, if training failed, or if its files were changed.
    """
    if parse_teacher(name).kind != "ours":
        return load_foreign(name, dataset, device=device)
    check_fits(dataset, "teacher", name)
    for folder in (cache(), SHIPPED):  # what was trained here prevails
        # The record is written last: weights without one are a killed process's.
        if (folder / f"{dataset.name}-{name}.json").is_file():
            return _read(dataset, name, folder)
    recipe = teacher_recipe(dataset.name, name, len(dataset.y_train))
    if not train:
        line = f"teacher: there is no trained {name} for {dataset.name}, neither "
        line += f"shipped nor in {cache()}; train it with: "
        raise UserError(line + command(dataset.name, name))
    device = resolve_device("device", device)
    folder = writable_folder("DFKD_CACHE", cache())
    limit = CPU_LIMIT if device == "cpu" else math.inf
    train_teacher(dataset, name, recipe, folder, device=device, limit=limit)
    return _read(dataset, name, folder)


def _read(dataset: Dataset, name: str, folder: Path) -> Teacher:
    path = folder / f"{dataset.name}-{name}.safetensors"
    with torch.random.fork_rng(devices=[]):  # its first weights are drawn
        network = build(name, dataset.num_classes)
    again = f"train it again with: {command(dataset.name, name, folder)}"
    with told(f"teacher: {path} and its record cannot be used", again):
        record = json.loads(path.with_suffix(".json").read_text())
        found, score = digest(path.read_bytes()), float(record["accuracy"])
        if found != record["hash"]:
            raise ValueError("its hash is not the one in its record")
        network.load_state_dict(load_file(path))
    return Teacher(name, network.eval().requires_grad_(False), score, found)
