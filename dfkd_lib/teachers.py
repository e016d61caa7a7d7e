"""Trained teachers: shipped in the package, or cached; and the command that trains one.

``python -m dfkd_lib.teachers --dataset digits --teacher lenet5`` trains the shipped teacher again.
"""

import hashlib
import json
import math
import os
import shlex
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as to_bytes
from torch import nn
from torch.nn import functional as F
from tqdm import tqdm

from .data import Dataset, check_fits, load_dataset
from .errors import Parser, UserError, one_of, real, whole
from .evaluation import accuracy, logits_of
from .files import writable_folder, write_atomically
from .models import build
from .recipes import DATASETS, NETWORKS

SHIPPED = Path(__file__).parent / "assets"

# Epochs and learning rate. LeNet-5's are ours: at 0.1 it learns as well, but in our trials students followed it far
# worse. The wide ResNets': MAD's appendix A.2, with cosine in place of its two steps.
_SCHEDULES = {
    "lenet5": (100, 0.01),
    "lenet5_half": (100, 0.01),
    "wrn40_2": (160, 0.1),
    "wrn16_2": (160, 0.1),
}


@dataclass(frozen=True)
class Teacher:
    """A trained network in evaluation mode, and what is known of it."""

    name: str
    network: nn.Module
    accuracy: float  # percent, on the data set's test split
    hash: str  # SHA-256 of its weights file


def cache() -> Path:
    """Where teachers trained on this machine are kept: ``$DFKD_CACHE``, or the user's cache folder."""
    return Path(os.environ.get("DFKD_CACHE") or Path.home() / ".cache" / "dfkd_lib") / "teachers"


def command(dataset: str, name: str, folder: Path | None = None) -> str:
    """The command that trains this teacher, into the cache or into a folder."""
    where = f" --folder {shlex.quote(str(folder))}" if folder else ""
    return f"python -m dfkd_lib.teachers --dataset {dataset} --teacher {name}{where}"


def _here(line: str) -> str:
    """A command as it can be pasted on this machine, where "python" may be another one than this."""
    return line.replace("python", shlex.quote(sys.executable), 1)


def load_teacher(dataset: Dataset, name: str) -> Teacher:
    """The trained teacher `name` for a data set, shipped or cached. Weights are safetensors: nothing is unpickled.

    Raises
    ------
    UserError
        if it was never trained (says the command that trains it), or its files do not belong together.
    """
    check_fits(dataset, "teacher", one_of("teacher", name, NETWORKS))
    file = f"{dataset.name}-{name}"
    folder = next((f for f in (SHIPPED, cache()) if (f / f"{file}.safetensors").is_file()), None)
    if folder is None:
        raise UserError(
            f"teacher: there is no trained {name} for {dataset.name}, neither shipped nor in {cache()}; "
            f"train it with: {_here(command(dataset.name, name))}"
        )
    weights, record = folder / f"{file}.safetensors", folder / f"{file}.json"
    network = build(name, dataset.num_classes)
    try:
        known = json.loads(record.read_text())
        digest = hashlib.sha256(weights.read_bytes()).hexdigest()
        if digest != known["hash"]:
            raise ValueError("its hash is not the one in its record")
        score = float(known["accuracy"])
        network.load_state_dict(load_file(weights))
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise UserError(
            f"teacher: {weights} and its record {record.name} cannot be used ({str(error).partition(chr(10))[0]}); "
            f"train it again with: {_here(command(dataset.name, name, folder))}"
        ) from error
    return Teacher(name, network.eval().requires_grad_(False), score, digest)


def train_teacher(dataset: Dataset, name: str, *, epochs: int, lr: float, seed: int) -> nn.Module:
    """Supervised training: SGD, batch 128, Nesterov momentum 0.9, weight decay 5e-4, cosine; random shifts of up to two
    pixels, and random flips for colour images. It returns the last network, not the best on the test split.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    x = torch.from_numpy(dataset.normalise(dataset.x_train)).to(device)
    y = torch.from_numpy(dataset.y_train).to(device)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        network = build(name, dataset.num_classes).to(device).train()
    random = torch.Generator(device).manual_seed(seed)
    optimizer = torch.optim.SGD(network.parameters(), lr, momentum=0.9, weight_decay=5e-4, nesterov=True)
    batch = min(128, len(x))
    steps = epochs * (len(x) // batch)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda s: (1 + math.cos(math.pi * s / steps)) / 2)
    hidden = not sys.stderr.isatty()
    for _ in tqdm(range(epochs), desc=f"{name} on {dataset.name}", unit="epoch", disable=hidden):
        order = torch.randperm(len(x), generator=random, device=device)
        for index in order.split(batch)[: len(x) // batch]:
            loss = F.cross_entropy(network(_augment(x[index], random)), y[index])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return network.cpu().eval()


def _augment(x: torch.Tensor, random: torch.Generator) -> torch.Tensor:
    """One random shift for the batch's images each, padded with the border; one random flip each for colour images."""
    n, channels, height, width = x.shape
    shift = torch.randint(0, 5, (2, n, 1), generator=random, device=x.device)
    rows = shift[0] + torch.arange(height, device=x.device)  # (n, height)
    columns = shift[1] + torch.arange(width, device=x.device)
    if channels == 3:
        flip = torch.rand(n, 1, generator=random, device=x.device) < 0.5
        columns = torch.where(flip, columns.flip(1), columns)
    padded = F.pad(x, (2, 2, 2, 2), mode="replicate").permute(0, 2, 3, 1)  # (n, height + 4, width + 4, channels)
    picked = padded[torch.arange(n, device=x.device)[:, None, None], rows[:, :, None], columns[:, None, :]]
    return picked.permute(0, 3, 1, 2).contiguous()


def save_teacher(dataset: Dataset, name: str, network: nn.Module, folder: Path, **recipe: object) -> dict:
    """Write weights and record, each whole or not at all; the record last, since it vouches for the weights."""
    score = accuracy(
        logits_of(network, torch.from_numpy(dataset.normalise(dataset.x_test))),
        torch.from_numpy(dataset.y_test),
    )
    data = to_bytes({k: v.contiguous() for k, v in network.state_dict().items()})
    record = {
        "dataset": dataset.name,
        "teacher": name,
        "accuracy": score,
        "hash": hashlib.sha256(data).hexdigest(),
        "recipe": recipe,
        "command": " ".join([command(dataset.name, name), *(f"--{k} {recipe[k]}" for k in ("epochs", "lr", "seed"))]),
        "versions": {"torch": torch.__version__},
    }
    write_atomically(folder / f"{dataset.name}-{name}.safetensors", data)
    write_atomically(folder / f"{dataset.name}-{name}.json", json.dumps(record, indent=2) + "\n")
    return record


def main(argv: list[str] | None = None) -> int:
    """The command line: train a teacher, keep it in the cache (or in `--folder`), print its record."""
    parser = Parser(prog="python -m dfkd_lib.teachers", description=main.__doc__)
    parser.add_argument("--dataset", default="digits", help=f"one of {', '.join(DATASETS)}")
    parser.add_argument("--teacher", default="lenet5", help=f"one of {', '.join(NETWORKS)}")
    parser.add_argument("--epochs", type=int, help="default: by architecture")
    parser.add_argument("--lr", type=float, help="initial learning rate; default: by architecture")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help=f"where to write; default: {cache()}")
    try:
        args = parser.parse_args(argv)
        epochs, lr = _SCHEDULES[one_of("teacher", args.teacher, NETWORKS)]
        epochs = whole("epochs", epochs if args.epochs is None else args.epochs, 1)
        lr = real("lr", lr if args.lr is None else args.lr, 1e-8)
        whole("seed", args.seed)
        dataset = load_dataset(args.dataset)
        check_fits(dataset, "teacher", args.teacher)
        folder = writable_folder("folder", args.folder or cache())
        started = time.perf_counter()
        network = train_teacher(dataset, args.teacher, epochs=epochs, lr=lr, seed=args.seed)
        record = save_teacher(
            dataset,
            args.teacher,
            network,
            folder,
            epochs=epochs,
            lr=lr,
            seed=args.seed,
            seconds=round(time.perf_counter() - started, 1),
        )
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(json.dumps(record, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
