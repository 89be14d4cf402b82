"""Exports a frozen network with several outputs, such as logits, pooled features and maps, to one ONNX file.

Input `image` float32 `[batch, 3, S, S]`; the outputs are float32, each `[batch, …]`, by the names given. The file
is for the machine that makes it: it holds no labels and no preprocessing, and nothing that ships is made of it.
"""

from collections.abc import Sequence
from pathlib import Path

import onnx
import torch
from torch import nn

from exporters.core.errors import UnavailableError
from exporters.core.files import write_bytes
from exporters.onnx.tracing import strip, trace

INPUT_NAME = "image"
OPSET = 20
_MAX_BYTES = 2**31 - 1  # of a protobuf message, and so of an ONNX file without external data
_BATCH = 2


def export_features(network: nn.Module, size: int, outputs: Sequence[str], path: Path, name: str) -> None:
    """Write `path`, one self-contained file.

    Args:
        network: in eval mode, fp32, on the CPU; float `[batch, 3, S, S]` to a tuple of tensors `[batch, …]`.
        size: S.
        outputs: their names, in the order of the tuple.
        path: of the file.
        name: of the network, for messages.

    Raises:
        UnavailableError: the network cannot be exported, or does not fit into one file.
    """
    model = trace(network, torch.zeros(_BATCH, 3, size, size), OPSET, name=name, input_name=INPUT_NAME, outputs=outputs)
    strip(model)
    found = [value.name for value in model.graph.output]
    if found != list(outputs) or any(_rank(value) < 1 for value in model.graph.output):
        raise UnavailableError(f"{name} cannot be exported to ONNX: it gives {found} in place of {list(outputs)}")
    if model.ByteSize() > _MAX_BYTES:
        raise UnavailableError(f"{name} cannot be exported to ONNX: it does not fit into one file of 2 GB")
    write_bytes(path, model.SerializeToString(deterministic=True))


def _rank(value: onnx.ValueInfoProto) -> int:
    return len(value.type.tensor_type.shape.dim)
