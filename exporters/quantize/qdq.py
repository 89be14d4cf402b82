"""An fp32 file to its int8 form: QuantizeLinear and DequantizeLinear around what computes in 8 bits."""

from collections.abc import Collection
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from exporters import __version__
from exporters.core.errors import GateError, UsageError
from exporters.core.files import sha256_bytes
from exporters.core.process_state import quiet
from exporters.quantize.barrier import barrier
from exporters.quantize.calibration import Calibration, Ranges, calibrate
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
    """Static int8 by onnxruntime.quantization, one self-contained file; the same arguments give the same bytes.

    Weights are int8, symmetric, with a scale for each output channel. For `cpu` activations are uint8 with a zero point
    and biases int32. ONNX Runtime adds two products of a uint8 and an int8 in 16 bits on x86 CPUs without VNNI, and
    cuts off what does not fit: the same file would answer differently on another machine than the one that proved it.
    Two products of a weight of at most 64 always fit, so weights take the values -64 to 64 there, at the price of one
    bit. Depthwise convolutions have a kernel without such sums and keep all 8 bits. For `tensorrt` activations are
    int8 without a zero point, biases stay float32, and only the inputs of layers are quantised.

    The normalisation in front and the logits stay in float.

    Args:
        model: the fp32 file, as `export_onnx` writes it.
        calibration: images, or what `calibrate` measured on them, which saves measuring again.
        target: what the file is for.
        keep_float: names of nodes that stay in float.

    Raises:
        UsageError: ranges of another model, unknown names, no layer left, or what `calibrate` refuses.
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
        """The library's, which would quantise the logits too."""

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
    model = onnx.ModelProto()
    model.CopyFrom(network.model)
    model.metadata_props.add(key=_INFERRED[0], value=_INFERRED[1])
    data = {
        name: TensorData(lowest=np.array(low, np.float32), highest=np.array(high, np.float32))
        for name, (low, high) in ranges.values.items()
    }
    with quiet():  # the library gives advice to its developers through the root logger
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
    """What is in float stays there: see `barrier`."""
    floats = {node.output[0] for node in graph.node if node.op_type == "DequantizeLinear"}
    nodes = []
    for node in graph.node:
        if node.op_type in LAYERS and node.input[0] in floats and node.input[1] not in floats:
            value = f"{node.name}_input"
            nodes.append(barrier(node.input[0], value, f"{node.name}_stays_float"))
            node.input[0] = value
        nodes.append(node)
    kept = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(kept)


def _finished(model: onnx.ModelProto, base: onnx.ModelProto) -> bytes:
    """The model with our names on it and nothing of the library's, checked."""
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
    try:
        model = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise GateError(f"the int8 model is not valid ONNX: {str(error).splitlines()[0]}") from error
    written, expected = ({entry.domain: entry.version for entry in each.opset_import} for each in (model, base))
    if written != expected:
        raise GateError(f"the int8 model has operator sets {written}, not {expected}")
    return model.SerializeToString(deterministic=True)
