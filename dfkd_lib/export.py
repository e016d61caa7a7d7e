"""A student by itself, as a program that needs no line of this library: `torch.export` and ONNX, each run once."""

import contextlib
import importlib.util
import io
import os
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .errors import first_line
from .files import write_atomically

_NEEDED = ("onnx", "onnxscript", "onnxruntime")
_TOLERANCE = 1e-3  # of the largest logit: sums are taken in another order


def export(
    network: nn.Module, x: Float[Tensor, "n channels height width"], stem: Path, *, onnx: bool = True
) -> dict[str, dict[str, Any]]:
    """Write ``<stem>.pt2`` and, with `onnx`, ``<stem>.onnx``; read each back, and run it beside the network.

    Parameters
    ----------
    network
        in evaluation mode, on the CPU.
    x
        a few images as the network takes them. Exported programs take any number of such images.
    stem
        the files' path without its ending.

    Returns
    -------
    for each format either its ``file`` and the ``largest_difference`` of a logit from the network's, or ``not_made``:
    why there is none. A network may be one that a format cannot tell; the student is no worse for it.
    """
    made = {}
    for name, (ending, write, run) in _FORMATS.items():
        path = stem.with_name(stem.name + ending)
        path.unlink(missing_ok=True)  # an earlier student's
        if name == "onnx" and not onnx:
            made[name] = {"not_made": "not asked for"}
            continue
        try:
            with _quiet():
                data = write(network, x)
                largest = max(_difference(network, run(data, part), part) for part in (x, x[:1]))
        except Exception as error:  # compilers fail in many ways, and none of them is the student's fault
            made[name] = {"not_made": first_line(error)}
            continue
        write_atomically(path, data)
        made[name] = {"file": path.name, "largest_difference": largest}
    return made


def _difference(network: nn.Module, logits: Tensor, x: Tensor) -> float:
    with torch.no_grad():
        wanted = network(x)
    largest = (logits - wanted).abs().max().item()
    if not largest <= _TOLERANCE * max(1.0, wanted.abs().max().item()):
        raise ValueError(f"what was exported answers otherwise than the student, by {largest:.2g}")
    return largest


def _write_torch(network: nn.Module, x: Tensor) -> bytes:
    program = torch.export.export(network, (x,), dynamic_shapes=({0: torch.export.Dim("batch")},))
    stream = io.BytesIO()
    torch.export.save(program, stream)
    return stream.getvalue()


def _run_torch(data: bytes, x: Tensor) -> Tensor:
    with torch.no_grad():
        return torch.export.load(io.BytesIO(data)).module()(x)


def _write_onnx(network: nn.Module, x: Tensor) -> bytes:
    if lacking := [name for name in _NEEDED if importlib.util.find_spec(name) is None]:
        raise ImportError(f"needs {', '.join(lacking)}: pip install {' '.join(lacking)}")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "student.onnx"
        torch.onnx.export(
            network,
            (x,),
            path,
            dynamo=True,
            external_data=False,  # one file, that can be moved
            input_names=["images"],
            output_names=["logits"],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
        )
        return path.read_bytes()


def _run_onnx(data: bytes, x: Tensor) -> Tensor:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    (logits,) = session.run(None, {"images": x.numpy()})
    return torch.from_numpy(logits)


_FORMATS = {"torch.export": (".pt2", _write_torch, _run_torch), "onnx": (".onnx", _write_onnx, _run_onnx)}


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Exporters print their progress, and warn of their own future."""
    with warnings.catch_warnings(), open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        warnings.simplefilter("ignore")
        yield
