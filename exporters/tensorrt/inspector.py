"""Checks the precision of a network before the build, and of the engine after it.

TensorRT may silently build fp32 where fp16 was requested. The layers that multiply decide: convolutions and matrix
products.
"""

import json
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from exporters.core.errors import GateError
from exporters.core.wording import first_of
from exporters.tensorrt.libraries import Library

PRECISIONS = ("fp32", "fp16", "bf16", "int8")
_MULTIPLYING = ("CONVOLUTION", "DECONVOLUTION", "MATRIX_MULTIPLY", "EINSUM")
_OF_TYPE = {"FLOAT": "fp32", "HALF": "fp16", "BF16": "bf16", "INT8": "int8"}
_TRANSPARENT = ("SHUFFLE", "SQUEEZE", "UNSQUEEZE", "IDENTITY")  # between a dequantization and its use
_ONNX_NODE = re.compile(r"\[ONNX Layer: ([^\]]*)\]")
_MULTIPLYING_IN_ENGINE = re.compile(r"conv|gemm|matmul|matrix_?multiply|fullyconnected|einsum", re.IGNORECASE)
_WORDS = (  # of the inspector, in the order to look for them
    ("bf16", re.compile(r"bf16|bfloat16", re.IGNORECASE)),
    ("fp16", re.compile(r"fp16|half|float16", re.IGNORECASE)),
    ("int8", re.compile(r"(?<![a-z])int8", re.IGNORECASE)),
    ("fp32", re.compile(r"fp32|float", re.IGNORECASE)),
)
_MOST_NAMES = 5


@dataclass(frozen=True)
class MultiplyingLayer:
    """A convolution or a matrix product: the ONNX nodes that it came from, and the precision that it works in."""

    nodes: tuple[str, ...]
    precision: str


def network_layers(library: Library, network: Any) -> list[MultiplyingLayer]:
    """Of a parsed, strongly typed network: what its tensors' types demand. Needs no GPU.

    A layer is int8 if all it multiplies was dequantized just before: TensorRT then multiplies int8.
    """
    layers = [network.get_layer(index) for index in range(network.num_layers)]
    kind = {id(layer): layer.type.name for layer in layers}
    producer = {layer.get_output(k).name: layer for layer in layers for k in range(layer.num_outputs)}

    def dequantized(tensor: Any) -> bool:
        layer = producer.get(tensor.name)
        while layer is not None and kind[id(layer)] in _TRANSPARENT:
            layer = producer.get(layer.get_input(0).name)
        return layer is not None and kind[id(layer)] == "DEQUANTIZE"

    found = []
    for layer in layers:
        if kind[id(layer)] not in _MULTIPLYING:
            continue
        inputs = [tensor for k in range(layer.num_inputs) if (tensor := layer.get_input(k)) is not None]
        # A kernel that is no tensor was never quantized.
        quantized = len(inputs) >= 2 and all(dequantized(tensor) for tensor in inputs[:2])
        precision = "int8" if quantized else _OF_TYPE.get(inputs[0].dtype.name, inputs[0].dtype.name.lower())
        found.append(MultiplyingLayer(_nodes(layer.metadata, layer.name), precision))
    return found


def engine_layers(information: str) -> list[MultiplyingLayer]:
    """Of the engine inspector's JSON, TensorRT 10 or 11: layers that it describes as multiplying.

    Fused regions that the inspector does not look into are left out, so that the list may be empty.
    """
    found = []
    for layer in json.loads(information).get("Layers", []):
        if not isinstance(layer, dict):  # names alone: the engine was built without details
            continue
        if not any(_MULTIPLYING_IN_ENGINE.search(str(layer.get(key, ""))) for key in ("ParameterType", "LayerType")):
            continue
        weights = layer.get("Weights")
        types = [weights.get("Type")] if isinstance(weights, dict) else []
        for tensor in layer.get("Inputs", []):
            types += [tensor.get(key) for key in ("DataType", "Format/Datatype", "Format")]
        precision = next((word for text in types if text for word in _word(str(text))), None)
        if precision is not None:
            found.append(MultiplyingLayer(_nodes(layer.get("Metadata", ""), str(layer.get("Name", ""))), precision))
    return found


def _word(text: str) -> Iterator[str]:
    yield from [precision for precision, pattern in _WORDS if pattern.search(text)][:1]


def _nodes(metadata: str, name: str) -> tuple[str, ...]:
    return tuple(_ONNX_NODE.findall(metadata or "")) or (name,)


def check_precision(
    layers: Sequence[MultiplyingLayer], precision: str, fp32_nodes: Collection[str], where: str
) -> dict[str, Any]:
    """Refuse layers that do not work in the precision asked for.

    fp32, fp16, bf16: every layer, except `fp32_nodes`. int8: at least one layer.

    Args:
        fp32_nodes: ONNX nodes that stay in fp32 on purpose.
        where: `network` or `engine`, for messages.

    Returns:
        {"layers": {precision: count}, "apart": names of layers in another precision than the one asked for}.

    Raises:
        GateError: names the layers.
    """
    counts: dict[str, int] = {}
    for layer in layers:
        counts[layer.precision] = counts.get(layer.precision, 0) + 1
    apart = [layer for layer in layers if layer.precision != precision]
    if precision == "int8":
        wrong = [] if "int8" in counts else apart
    else:
        wrong = [layer for layer in apart if layer.precision != "fp32" or not set(layer.nodes) & set(fp32_nodes)]
    if wrong or not (precision == "fp32" or precision in counts):
        names = first_of([f"{layer.nodes[0]} ({layer.precision})" for layer in wrong], _MOST_NAMES)
        raise GateError(
            f"the {where} is not {precision}: {names if wrong else 'no layer of it is'}",
            remedy=f"The precision is in the ONNX file: build from one that is {precision}.",
        )
    return {"layers": dict(sorted(counts.items())), "apart": [layer.nodes[0] for layer in apart]}


def inspect_engine(
    library: Library, logger: Any, plan: bytes, precision: str, fp32_nodes: Collection[str]
) -> dict[str, Any]:
    """`check_precision` on the engine itself, or {"not_inspected": why}: reading it back needs a GPU that runs it."""
    trt = library.module
    runtime = trt.Runtime(logger)
    if runtime is None:
        return {"not_inspected": "TensorRT's runtime does not start here"}
    if not library.is_rtx:
        runtime.engine_host_code_allowed = True  # a version-compatible engine brings its own runtime; we just built it
    engine = runtime.deserialize_cuda_engine(plan)
    if engine is None:
        return {"not_inspected": "the engine cannot be loaded on this machine"}
    information = engine.create_engine_inspector().get_engine_information(trt.LayerInformationFormat.JSON)
    layers = engine_layers(information)
    if not layers:
        return {"not_inspected": "the inspector shows no convolution and no matrix product"}
    return check_precision(layers, precision, fp32_nodes, "engine")
