"""Converts an fp32 file to int8: QuantizeLinear and DequantizeLinear around the nodes that compute in 8 bits."""

from collections.abc import Collection
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from exporters import __version__
from exporters.core.errors import GateError, UsageError
from exporters.core.files import sha256_bytes
from exporters.core.process_state import quiet
from exporters.onnx.graph import checked, copy_of, opsets, replace_all
from exporters.quantize.calibration import Calibration, Ranges, calibrate
from exporters.quantize.passthrough import pass_through
from exporters.quantize.selection import LAYERS, OPERATORS, Network, Target

_INFERRED = ("onnx.infer", "onnxruntime.quant")  # tells the library that shapes are known: it then writes no files
_ZERO_POINT_FIELDS = ("int32_data", "float_data", "int64_data")


def quantize(
    model: bytes,
    calibration: Calibration | Ranges,
    *,
    target: Target,
    keep_float: Collection[str] = (),
) -> bytes:
    """Quantize statically with onnxruntime.quantization; the same arguments give the same bytes.

    Weights are int8, symmetric, with a scale for each output channel. For `cpu` activations are uint8 with a zero point
    and biases int32. ONNX Runtime adds two products of a uint8 and an int8 in 16 bits on x86 CPUs without VNNI, and
    saturates: the same file would give other logits on another machine than the one that proved it.
    Two products of a weight of at most 64 always fit, so weights take the values -64 to 64 there, at the cost of one
    bit. Depthwise convolutions have a kernel without such sums and keep all 8 bits. For `tensorrt` activations are
    int8 without a zero point, biases stay float32, and only the inputs of layers are quantized.

    The normalization and the logits stay in float.

    Args:
        model: the fp32 file, as `export_onnx` writes it.
        calibration: images, or the ranges that `calibrate` has measured on them.
        target: the runtime that the file is for.
        keep_float: names of nodes that stay in float.

    Raises:
        UsageError: ranges of another model, unknown names, no layer left, or as `calibrate`.
        GateError: the result would not be valid ONNX of the same opset.
    """
    ranges = calibration if isinstance(calibration, Ranges) else calibrate(model, calibration)
    if ranges.model_sha256 != sha256_bytes(model):
        raise UsageError("int8: the ranges were measured on another model", remedy="Calibrate this one.")
    network = Network(onnx.load_from_string(model))
    chosen = network.select(target, keep_float)
    quantized = _insert(network, ranges, target, chosen)
    return _finished(quantized, network.model)


def _insert(network: Network, ranges: Ranges, target: Target, chosen: list[str]) -> onnx.ModelProto:
    from onnxruntime.quantization import CalibrationMethod, QuantType
    from onnxruntime.quantization.calibrate import TensorData, TensorsData
    from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

    class Quantizer(QDQQuantizer):
        """onnxruntime's quantizer, which would quantize the logits too."""

        def quantize_activation_tensor(self, tensor_name: str) -> None:
            if tensor_name not in network.outputs:
                super().quantize_activation_tensor(tensor_name)

    cpu = target == "cpu"
    options: dict[str, Any] = {
        "ActivationSymmetric": not cpu,
        "WeightSymmetric": True,
        "QuantizeBias": cpu,
        # A coarser weight so that its bias fits int32 is needed only where the bias is int32.
        "QDQDisableWeightAdjustForInt32Bias": not cpu,
        "OpTypesToExcludeOutputQuantization": ["MatMul"] if cpu else list(LAYERS),
    }
    if cpu:
        full = {"axis": 0, "reduce_range": False}
        weights = {node.input[1] for node in network.model.graph.node if node.name in chosen and len(node.input) > 1}
        options["TensorQuantOverrides"] = {name: [full] for name in network.depthwise() if name in weights}
    model = copy_of(network.model)
    model.metadata_props.add(key=_INFERRED[0], value=_INFERRED[1])
    data = {
        name: TensorData(lowest=np.array(low, np.float32), highest=np.array(high, np.float32))
        for name, (low, high) in ranges.values.items()
    }
    with quiet():  # the library logs advice for its developers
        quantizer = Quantizer(
            model,
            True,  # per channel
            cpu,  # reduced range
            QuantType.QInt8,
            QuantType.QUInt8 if cpu else QuantType.QInt8,
            TensorsData(CalibrationMethod.MinMax, data),
            chosen,
            [],
            list(OPERATORS),
            options,
        )
        quantizer.quantize_model()
        quantizer.model.topological_sort()
    _keep_float(quantizer.model.model.graph)
    return quantizer.model.model


def _keep_float(graph: onnx.GraphProto) -> None:
    """Keep the layers that were left in float from being quantized when the file is loaded; see `pass_through`."""
    floats = {node.output[0] for node in graph.node if node.op_type == "DequantizeLinear"}
    nodes = []
    for node in graph.node:
        if node.op_type in LAYERS and node.input[0] in floats and node.input[1] not in floats:
            value = f"{node.name}_input"
            nodes.append(pass_through(node.input[0], value, f"{node.name}_stays_float"))
            node.input[0] = value
        nodes.append(node)
    replace_all(graph, "node", nodes)


def _finished(model: onnx.ModelProto, base: onnx.ModelProto) -> bytes:
    """The bytes of the model with the metadata of `base` in place of the library's, checked."""
    for field in ("producer_name", "model_version", "ir_version"):
        setattr(model, field, getattr(base, field))
    model.producer_version = __version__
    for properties in (model.metadata_props, model.graph.metadata_props, model.graph.value_info):
        del properties[:]
    model.metadata_props.extend(base.metadata_props)
    model.graph.name = base.graph.name
    for part in [model, model.graph, *model.graph.node]:
        part.ClearField("doc_string")
    for tensor in model.graph.initializer:
        if any(getattr(tensor, name) for name in _ZERO_POINT_FIELDS):
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor), tensor.name))
    model = checked(model, "the int8 model")
    written, expected = opsets(model), opsets(base)
    if written != expected:
        raise GateError(f"the int8 model has operator sets {written}, not {expected}")
    return model.SerializeToString(deterministic=True)
