"""Supervised training of a teacher: continued where it was stopped, saved if sound."""

import io
import json
import math
import shlex
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from ..data import VOID, Dataset, Images
from ..errors import UserError, first_line
from ..files import locked, remove_leftovers, write_atomically
from ..losses import Labels, Logits, Scalar
from ..models import build, place
from .machine import commit, hardware, resolve_precision, versions
from .recipes import TeacherRecipe, teacher_recipe
from .trained import accuracy_on, digest, least_accuracy, segmentation, weights


def command(dataset: str, name: str, folder: Path | None = None) -> str:
    """The command that trains this teacher, into the cache or into a folder."""
    where = f" --folder {shlex.quote(str(folder))}" if folder else ""
    words = f"--dataset {shlex.quote(dataset)} --teacher {name}{where}"
    return f"python -m dfkd_lib.teachers {words}"


def train_teacher(
    dataset: Dataset, name: str, recipe: TeacherRecipe, folder: Path, *,
    seed: int = 0, device: str = "cpu", limit: float = math.inf,
) -> dict[str, Any]:  # fmt: skip
    """Train a teacher, write its weights and then its record, and return the record.

    If another process trains the same teacher, its result is waited for and returned.
    A UserError if it would take more than `limit` seconds, if the loss is not finite,
    or if the teacher is hardly better than chance; none is saved then.
    """
    asked, sha = time.time(), commit()  # the checkout may move on
    order = f"{command(dataset.name, name)} --epochs {recipe.epochs} --lr {recipe.lr}"
    usual = teacher_recipe(dataset.name, name, len(dataset.y_train))
    order += " --paper" * (recipe.schedule != usual.schedule)
    order += "" if recipe.shift is None else f" --shift {recipe.shift}"
    order += f" --seed {seed} --device {device}"
    endings, stem = ("safetensors", "json", "ckpt", "lock"), f"{dataset.name}-{name}"
    path, record, checkpoint, lock = (folder / f"{stem}.{end}" for end in endings)
    busy = f"waiting for another process, which is training {name} for {dataset.name}"
    with locked(lock, busy, wait=True):
        if record.is_file() and record.stat().st_mtime > asked:
            if (made := json.loads(record.read_text()))["command"] == order:
                return made
        for file in (path, record, checkpoint):
            remove_leftovers(file)
        cuda = [torch.cuda.current_device()] if device == "cuda" else []
        with torch.random.fork_rng(devices=cuda):
            torch.manual_seed(seed)  # of first weights and dropout
            network = _trained(dataset, name, recipe, seed, device, limit, checkpoint)
        precision = str(network.dtype).removeprefix("torch.")
        network.dtype = torch.float32  # as others will use it
        network.half().float()  # as the file holds it
        score, scores = accuracy_on(network, dataset, device), {}
        if dataset.crop:
            images = Images.of(dataset, device, "test")
            scores = {"miou": segmentation(network, network, images).miou}
        if score < (least := least_accuracy(dataset.y_test)):
            checkpoint.unlink()
            raise UserError(
                f"teacher: {name} on {dataset.name} ended at {score:.1f} % of the test "
                f"images; below {least:.1f} % is next to chance; nothing was saved; "
                "train it with a lower lr, or for more epochs"
            )
        seconds, data = round(time.time() - asked, 1), weights(network.half())
        made = {
            "dataset": dataset.name, "teacher": name, "accuracy": score, **scores,
            "hash": digest(data), "recipe": vars(recipe) | {"seed": seed},
            "commit": sha,
            "seconds": seconds, "device": device, "hardware": hardware(device),
            "threads": torch.get_num_threads(), "precision": precision,
            "command": order, "versions": versions(),
        }  # fmt: skip
        record.unlink(missing_ok=True)  # it describes other weights
        write_atomically(path, data)
        write_atomically(record, json.dumps(made, indent=2) + "\n")
        checkpoint.unlink()
    return made


def _trained(dataset, name, recipe, seed, device, limit, checkpoint) -> nn.Module:
    """The network after the recipe's epochs, without their last, smaller batches.

    Where the device has bfloat16 instructions, a network that gains computes in it. On
    one kind of CPU, with one thread, a seed gives the same weights to the last bit.
    """
    random = torch.Generator(device).manual_seed(seed)
    images = Images.of(dataset, device)
    dtype = getattr(torch, resolve_precision("auto", device))
    network = build(name, dataset.num_classes).train()
    network = place(network, device, dtype, dataset.shape)
    options = {n: getattr(recipe, n) for n in ("momentum", "weight_decay", "nesterov")}
    optimizer = torch.optim.SGD(network.parameters(), recipe.lr, **options)
    batch = min(recipe.batch, len(images))
    per_epoch, title = len(images) // batch, f"{name} on {dataset.name}"
    changes = {} if recipe.shift is None else {"pad": recipe.shift}
    first = torch.Generator(device).manual_seed(seed)
    first = torch.rand(len(images), generator=first, device=device) < 0.5
    identity = repr((name, recipe, seed, device, digest(dataset.y_train.tobytes())))
    done = 0
    if state := _state_in(checkpoint, identity):
        done = state["epoch"]
        network.load_state_dict(state["network"])
        optimizer.load_state_dict(state["optimizer"])
        random.set_state(state["random"])
        torch.set_rng_state(state["dropout"])
    _say(f"training {title}: epochs {done + 1} to {recipe.epochs}")
    clock = time.perf_counter()
    for epoch in range(done, recipe.epochs):
        order = torch.randperm(len(images), generator=random, device=device)
        total = torch.zeros((), device=device)
        for step, index in enumerate(order.split(batch)[:per_epoch], epoch * per_epoch):
            (group,) = optimizer.param_groups
            group["lr"] = recipe.lr * recipe.lr_factor(step, per_epoch)
            if recipe.alternate and images.usual["flip"]:
                changes["flip"] = first[index] ^ bool(epoch % 2)
            x, y = images.labelled(index, random, **changes)
            loss = focal(network(x), y, recipe.gamma)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.detach()
            taken = step - done * per_epoch
            if taken in (0, 5):  # the first step is slower than the others
                total.item()  # waits for the device
                before, clock = clock, time.perf_counter()
            if taken == 5:
                left = (clock - before) / 5 * (recipe.epochs * per_epoch - step)
                spoken = f"about {timedelta(seconds=math.ceil(left))} (h:mm:ss)"
                _say(f"training {title} takes {spoken}")
                if left > limit:
                    line = f"teacher: training {title} would take {spoken} on this CPU;"
                    line += f" the limit is {timedelta(seconds=limit)}; use a GPU, or "
                    order = command(dataset.name, name)
                    raise UserError(f"{line}train it nevertheless by: {order}")
        if not math.isfinite(mean := total.item() / per_epoch):
            checkpoint.unlink(missing_ok=True)
            raise UserError(
                f"teacher: the loss of {title} is {mean} in epoch {epoch + 1} of "
                f"{recipe.epochs}; nothing was saved; train it with a lower lr than "
                f"{recipe.lr:g}"
            )
        state = {"identity": identity, "epoch": epoch + 1}
        state |= {"network": network.state_dict(), "optimizer": optimizer.state_dict()}
        state |= {"random": random.get_state(), "dropout": torch.get_rng_state()}
        torch.save(state, stream := io.BytesIO())
        write_atomically(checkpoint, stream.getvalue())
        if (epoch + 1) % math.ceil(recipe.epochs / 10) == 0:
            _say(f"{title}: epoch {epoch + 1} of {recipe.epochs}, loss {mean:.3f}")
    with torch.no_grad():
        for parameter in network.classifier.parameters():
            parameter.mul_(recipe.scale)
    return network


def focal(logits: Logits, y: Labels, gamma: float) -> Scalar:
    """−(1 − p_y)^γ log p_y (Lin et al. 2017), averaged over all but void pixels."""
    if gamma == 0:
        return F.cross_entropy(logits, y, ignore_index=VOID if y.ndim > 1 else -1)
    each = F.cross_entropy(logits, y, ignore_index=VOID, reduction="none")
    return ((1 - (-each).exp()) ** gamma * each).sum() / (y != VOID).sum().clamp_min(1)


def _state_in(checkpoint: Path, identity: str) -> dict[str, Any] | None:
    """A checkpoint's content, if it is whole and of the same training."""
    try:
        state = torch.load(checkpoint, map_location="cpu", weights_only=True)
        return state if state["identity"] == identity else None
    except FileNotFoundError:
        return None
    except Exception as error:  # a damaged file fails in many ways
        _say(f"{checkpoint} cannot be read ({first_line(error)}); starting again")
        return None


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
