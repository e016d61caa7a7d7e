"""Trained teachers: shipped in the package, cached, or trained now; and the command that trains one.

``python -m dfkd_lib.teachers --dataset digits --teacher lenet5`` trains the shipped teacher again.
"""

import json
import shlex
import sys
import time
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from . import catalogue, parameters
from .data import Dataset, check_fits, load_dataset
from .errors import Parser, UserError, of_settings, one_of, real, whole
from .evaluation import TestSet, accuracy
from .files import at_home, cache_folder, locked, writable_folder, write_atomically
from .foreign import load_foreign
from .machine import hardware, versions
from .models import build
from .supervised import precision_on, seconds_needed, train_teacher
from .teacher_names import parse_teacher
from .teacher_recipes import TeacherRecipe, check_trainable, teacher_recipe
from .trained import Teacher, accuracy_on, digest, least_accuracy, weights

SHIPPED = Path(__file__).parent / "assets"
CPU_LIMIT = 30 * 60  # seconds; what takes longer on a CPU is trained by the command only
_ROUNDING = 1.0  # points of accuracy that another processor or precision may change; or this many images:
_IMAGES = 1.5


def cache() -> Path:
    """Where teachers trained on this machine are kept: in ``$DFKD_CACHE``, or in the user's cache folder."""
    return cache_folder() / "teachers"


def command(dataset: str, name: str, folder: Path | None = None) -> str:
    """The command that trains this teacher, into the cache or into a folder."""
    where = f" --folder {shlex.quote(str(folder))}" if folder else ""
    return f"python -m dfkd_lib.teachers --dataset {shlex.quote(dataset)} --teacher {name}{where}"


def load_teacher(dataset: Dataset, name: str, *, train: bool = True, device: str = "auto") -> Teacher:
    """The trained teacher `name` for a data set: shipped, or cached, or else trained now and cached.

    Two processes that ask at once train it once. With `train=False`, none is trained. `name` may also be a teacher of
    the user's own, as `teacher_names` describes them. Weights are never unpickled as code.

    Raises
    ------
    UserError
        if it is not there and may not be trained, or would train for more than `CPU_LIMIT` on a CPU (says the command
        that trains it); if training went wrong; or if its files do not belong together.
    """
    if parse_teacher(name).kind != "ours":
        return load_foreign(name, dataset, device=device)
    check_fits(dataset, "teacher", name)
    if found := _find(dataset, name, SHIPPED, cache()):
        return found
    check_trainable(dataset.name)
    if not train:
        raise UserError(
            f"teacher: there is no trained {name} for {dataset.name}, neither shipped nor in {cache()}; "
            f"train it with: {_here(command(dataset.name, name))}"
        )
    device = parameters.device("device", device)
    folder = writable_folder("DFKD_CACHE", cache())
    with _alone(folder, dataset, name):
        if found := _find(dataset, name, folder):  # by whom we waited for
            return found
        recipe = _recipe(dataset, name)
        seconds = _announce(dataset, name, recipe, device)
        if device == "cpu" and seconds > CPU_LIMIT:
            raise UserError(
                f"teacher: training {name} for {dataset.name} on this CPU would take about {_spoken(seconds)}, more "
                f"than {_spoken(CPU_LIMIT)}; use a machine with a GPU, or train it nevertheless with: "
                f"{_here(command(dataset.name, name))}"
            )
        _make(dataset, name, recipe, folder, seed=0, device=device)
    return _read(dataset, name, folder)


def check_accuracy(teacher: Teacher, test: TestSet, dataset: str) -> None:
    """A teacher is kept under its data set's name: it may be that of other images, which had that name before.

    Raises
    ------
    UserError
        if it gets another share of the test images right than by its record.
    """
    measured = accuracy(test.teacher_logits, test.y)
    if teacher.accuracy is not None and abs(measured - teacher.accuracy) > max(_ROUNDING, 100 * _IMAGES / len(test.y)):
        raise UserError(
            f"teacher: {teacher.name} gets {measured:.2f} % of {dataset}'s test images right, by its record "
            f"{teacher.accuracy:.2f} %: it was trained on other images of that name; give this data another name, or "
            f"train the teacher again with: {command(dataset, teacher.name)}"
        )


def save_teacher(dataset: Dataset, name: str, network: nn.Module, folder: Path, **known: Any) -> dict[str, Any]:
    """Write weights and record, each whole or not at all; the record last, since it vouches for the weights.

    `known` is what else the record should hold.

    Raises
    ------
    UserError
        for a network that is hardly better than chance on the test split: nothing is written.
    """
    score, least = accuracy_on(network, dataset), least_accuracy(dataset.y_test)
    if score < least:
        raise UserError(
            f"teacher: {name} on {dataset.name} ended at {score:.1f} % of the test images, where less than {least:.1f} "
            "is next to chance; nothing was saved; train it with a lower learning rate, or for more epochs"
        )
    data = weights(network)
    record = {"dataset": dataset.name, "teacher": name, "accuracy": score, "hash": digest(data)} | known
    (folder / f"{dataset.name}-{name}.json").unlink(missing_ok=True)  # it does not vouch for other weights
    write_atomically(folder / f"{dataset.name}-{name}.safetensors", data)
    write_atomically(folder / f"{dataset.name}-{name}.json", json.dumps(record, indent=2) + "\n")
    return record


def _find(dataset: Dataset, name: str, *folders: Path) -> Teacher | None:
    """The teacher of the first folder that has one. Weights without a record are a killed process's: they are none."""
    folder = next((f for f in folders if (f / f"{dataset.name}-{name}.json").is_file()), None)
    return _read(dataset, name, folder) if folder else None


def _read(dataset: Dataset, name: str, folder: Path) -> Teacher:
    path, record = (folder / f"{dataset.name}-{name}.{ending}" for ending in ("safetensors", "json"))
    with torch.random.fork_rng(devices=[]):  # its first weights are drawn, and overwritten
        network = build(name, dataset.num_classes)
    try:
        known = json.loads(record.read_text())
        found = digest(path.read_bytes())
        if found != known["hash"]:
            raise ValueError("its hash is not the one in its record")
        score = float(known["accuracy"])
        network.load_state_dict(load_file(path))
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise UserError(
            f"teacher: {path} and its record {record.name} cannot be used ({str(error).partition(chr(10))[0]}); "
            f"train it again with: {_here(command(dataset.name, name, folder))}"
        ) from error
    return Teacher(name, network.eval().requires_grad_(False), score, found)


def _recipe(dataset: Dataset, name: str) -> TeacherRecipe:
    return teacher_recipe(dataset.name, name, images=len(dataset.y_train), size=dataset.x_train.shape[1])


def _make(
    dataset: Dataset, name: str, recipe: TeacherRecipe, folder: Path, *, seed: int, device: str
) -> dict[str, Any]:
    """Train a teacher, save it, and return its record."""
    started = time.perf_counter()
    network = train_teacher(dataset, name, recipe, seed=seed, device=device)
    return save_teacher(
        dataset,
        name,
        network,
        folder,
        recipe=vars(recipe) | {"seed": seed},
        seconds=round(time.perf_counter() - started, 1),
        device=device,
        hardware=hardware(device),
        threads=torch.get_num_threads(),
        precision=precision_on(device, recipe),
        command=_repeat(dataset, name, recipe, seed, device),
        versions=versions(),
    )


def _repeat(dataset: Dataset, name: str, recipe: TeacherRecipe, seed: int, device: str) -> str:
    """The command that trains the very same teacher."""
    line = f"{command(dataset.name, name)} --epochs {recipe.epochs} --lr {recipe.lr} --seed {seed}"
    return f"{line} --device {device}"


def _alone(folder: Path, dataset: Dataset, name: str) -> AbstractContextManager[None]:
    """Hold this teacher's lock; wait for another process that holds it, and say so."""
    return locked(
        folder / f"{dataset.name}-{name}.lock",
        f"waiting for another process, which is training {name} for {dataset.name}",
        wait=True,
    )


def _made_since(asked: float, path: Path, order: str) -> dict[str, Any] | None:
    """The record that another process left, while this one waited for it, by the same command."""
    try:
        record = json.loads(path.read_text())
        return record if path.stat().st_mtime > asked and record["command"] == order else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _announce(dataset: Dataset, name: str, recipe: TeacherRecipe, device: str) -> float:
    """Say on stderr how long training will take, and return it, in seconds."""
    seconds = seconds_needed(dataset, name, recipe, device)
    where = hardware(device) if device == "cuda" else f"this CPU, threads: {torch.get_num_threads()}"
    slow = "; a GPU needs minutes" if device == "cpu" and seconds > CPU_LIMIT else ""
    print(
        f"training {name} for {dataset.name} on {where}: {recipe.epochs} epochs, about {_spoken(seconds)}{slow}",
        file=sys.stderr,
        flush=True,
    )
    return seconds


def _spoken(seconds: float) -> str:
    """A time in one unit: '40 seconds', '12 minutes', '31 hours'."""
    for unit, length in (("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(1, seconds):.0f} seconds"


def _here(line: str) -> str:
    """A command as it can be pasted on this machine, where "python" may be another one than this."""
    return line.replace("python", shlex.quote(sys.executable), 1)


def main(argv: list[str] | None = None) -> int:
    """The command line: train a teacher, keep it in the cache (or in `--folder`), print its record."""
    parser = Parser(prog="python -m dfkd_lib.teachers", description=main.__doc__)
    parser.add_argument("--dataset", default="digits", help=f"one of {', '.join(catalogue.DATASETS)}, or your own")
    parser.add_argument("--teacher", default="lenet5", help=f"one of {', '.join(catalogue.NETWORKS)}")
    parser.add_argument("--epochs", type=int, help="default: by network and data set")
    parser.add_argument("--lr", type=float, help="initial learning rate; default: by network and data set")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument(
        "--folder", type=Path, help="where to write; default: teachers/ in DFKD_CACHE, or in ~/.cache/dfkd_lib"
    )
    try:
        args = parser.parse_args(argv)
        one_of("teacher", args.teacher, catalogue.NETWORKS)
        changes = {}
        if args.epochs is not None:
            changes["epochs"] = whole("epochs", args.epochs, 1)
        if args.lr is not None:
            changes["lr"] = real("lr", args.lr, 1e-8)
        whole("seed", args.seed)
        device = parameters.device("device", args.device)
        check_trainable(args.dataset)
        dataset = load_dataset(args.dataset)
        check_fits(dataset, "teacher", args.teacher)
        folder = writable_folder("folder", at_home("folder", args.folder) if args.folder else cache())
        recipe = _recipe(dataset, args.teacher).replace(**changes)
        order, asked = _repeat(dataset, args.teacher, recipe, args.seed, device), time.time()
        with _alone(folder, dataset, args.teacher):
            record = _made_since(asked, folder / f"{dataset.name}-{args.teacher}.json", order)
            if record is None:
                _announce(dataset, args.teacher, recipe, device)
                record = _make(dataset, args.teacher, recipe, folder, seed=args.seed, device=device)
    except (MemoryError, RuntimeError, ValueError) as error:
        print(f"error: {error if isinstance(error, UserError) else of_settings(error)}", file=sys.stderr)
        return 2
    print(json.dumps(record, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
