"""A student as a program that needs nothing of this library: torch.export and ONNX."""

import contextlib
import importlib.util
import io
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import first_line
from ..files import write_atomically
from ..models.network import Images

_TOLERANCE = 1e-3  # of the largest logit: sums are taken in another order
_BATCH = ({0: torch.export.Dim("batch")},)
_Program = tuple[bytes, Callable[[Tensor], Tensor]]


def export(
    network: nn.Module, x: Images, stem: Path, *, onnx: bool = True
) -> dict[str, dict[str, Any]]:
    """Write ``<stem>.pt2`` and ``<stem>.onnx``; read each back and compare its logits.

    `network` is in evaluation mode on the CPU. The programs take any number of images
    like `x`. For each format, returns its ``file`` and the ``largest_difference`` of a
    logit, or ``not_made`` with the reason: some networks cannot be exported.
    """
    made = {} if onnx else {"onnx": {"not_made": "not asked for"}}
    formats = {"torch.export": (".pt2", _torch), "onnx": (".onnx", _onnx)}
    for name, (ending, write) in formats.items():
        path = stem.with_name(stem.name + ending)
        path.unlink(missing_ok=True)  # of an earlier student
        if name in made:
            continue
        quiet = contextlib.redirect_stdout(io.StringIO())
        try:
            with quiet, warnings.catch_warnings(action="ignore"):
                data, program = write(network, x)
                with torch.no_grad():
                    pairs = [(program(part), network(part)) for part in (x, x[:1])]
            largest = max((one - other).abs().max().item() for one, other in pairs)
            if not largest <= _TOLERANCE * max(1.0, pairs[0][1].abs().max().item()):
                raise ValueError(f"its logits are {largest:.2g} off the student's")
        except Exception as error:  # exporters fail in many ways; the student is fine
            made[name] = {"not_made": first_line(error)}
            continue
        write_atomically(path, data)
        made[name] = {"file": path.name, "largest_difference": largest}
    return made


def _torch(network: nn.Module, x: Tensor) -> _Program:
    program = torch.export.export(network, (x,), dynamic_shapes=_BATCH)
    torch.export.save(program, stream := io.BytesIO())
    data = stream.getvalue()
    return data, torch.export.load(io.BytesIO(data)).module()


def _onnx(network: nn.Module, x: Tensor) -> _Program:
    needed = ("onnx", "onnxscript", "onnxruntime")
    if missing := [name for name in needed if importlib.util.find_spec(name) is None]:
        raise ImportError(f"install what is missing: pip install {' '.join(missing)}")
    import onnxruntime

    names = {"input_names": ["images"], "output_names": ["logits"]}
    options = {"dynamo": True, "dynamic_shapes": _BATCH} | names
    data = torch.onnx.export(network, (x,), **options).model_proto.SerializeToString()
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    return data, lambda x: torch.from_numpy(session.run(None, {"images": x.numpy()})[0])
