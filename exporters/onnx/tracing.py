"""From a PyTorch module to an ONNX model by PyTorch's own exporter, without what it says of itself on the way."""

import re
from collections.abc import Sequence
from typing import Any

import onnx
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from exporters.core.errors import UnavailableError
from exporters.core.interrupts import interrupts_kept
from exporters.core.process_state import quiet, silent

MIN_OPSET, MAX_OPSET = 18, 25
"""Others are silently changed by PyTorch's exporter."""


def trace(
    module: nn.Module,
    example: Tensor,
    opset: int,
    *,
    name: str,
    input_name: str,
    outputs: Sequence[str],
    folded: bool = True,
) -> onnx.ModelProto:
    """The module as an ONNX model with a dynamic batch.

    Args:
        module: in eval mode, fp32, on the CPU; takes one tensor, and gives one or a tuple.
        example: input of 2 or more images: the exporter takes a dimension of 1 for a constant.
        opset: 18 to 25.
        name: of the network, for messages.
        input_name: of the input.
        outputs: names, in the order of the tuple.
        folded: compute constants and fold batch norms into weights. Otherwise each value of the network is computed by
            nodes from its parameters and buffers as they are.

    Raises:
        UnavailableError: the network cannot be exported.
    """
    try:
        # The exporter prints its progress and warns of deprecations in its own code; users need neither.
        # MATH: the attention kernel that PyTorch chooses on a CPU returns another memory layout than the operators into
        # which the exporter decomposes it, and a view that was traced of its output would fail.
        with interrupts_kept(), quiet(), silent(), sdpa_kernel(SDPBackend.MATH):
            program = torch.onnx.export(
                module,
                (example,),
                dynamo=True,
                external_data=False,
                dynamic_shapes=({0: "batch"},),
                opset_version=opset,
                input_names=[input_name],
                output_names=list(outputs),
                optimize=folded,
                verbose=False,
            )
            assert program is not None
            return program.model_proto
    except Exception as error:  # the exporter wraps whatever the network's code raises
        raise UnavailableError(f"{name} cannot be exported to ONNX: {_reason(error)}") from error


def strip(message: Any) -> None:
    """Remove documentation and metadata from every part: they hold stack traces with the paths of this machine."""
    for descriptor, value in message.ListFields():
        if descriptor.name in {"metadata_props", "doc_string"}:
            message.ClearField(descriptor.name)
        elif descriptor.message_type is not None and descriptor.message_type.name != "TensorProto":
            for part in value if descriptor.is_repeated else [value]:
                strip(part)
        elif descriptor.message_type is not None:
            for tensor in value if descriptor.is_repeated else [value]:
                tensor.ClearField("metadata_props")
                tensor.ClearField("doc_string")


def _reason(error: BaseException) -> str:
    """The first line of the original error in the network's code; the exporter's wrapping around it does not help."""
    cause: BaseException = error
    while cause.__cause__ is not None:
        cause = cause.__cause__
    lines = str(cause).strip().splitlines() or [type(cause).__name__]
    return re.sub(r"\x1b\[[0-9;]*m", "", lines[0])[:300]
