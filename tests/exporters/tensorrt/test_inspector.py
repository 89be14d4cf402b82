import json
from pathlib import Path
from typing import Any

import onnx
import pytest

from exporters.core.errors import GateError
from exporters.tensorrt.inspector import MultiplyingLayer, check_precision, engine_layers, network_layers
from exporters.tensorrt.libraries import Library
from exporters.tensorrt.messages import collected
from exporters.tensorrt.parsing import make_builder, parse
from tests.exporters.tensorrt.conftest import Models, to_fp16


def _layers(library: Library, path: Path) -> list[MultiplyingLayer]:
    with collected(library) as (logger, messages):
        builder = make_builder(library, logger, messages)
        network = parse(library, builder, logger, path.read_bytes(), path.name)
        return network_layers(library, network)


def _multiplying(path: Path) -> set[str]:
    return {node.name for node in onnx.load(path).graph.node if node.op_type in {"Conv", "Gemm", "MatMul"}}


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_precision_of_a_network_is_recognised(rtx: Library, resnet: Models, precision: str) -> None:
    path = getattr(resnet, precision)
    layers = _layers(rtx, path)
    assert {node for layer in layers for node in layer.nodes} == _multiplying(path)
    assert {layer.precision for layer in layers} == {precision}
    assert check_precision(layers, precision, (), "network") == {"layers": {precision: len(layers)}, "apart": []}
    for other in {"fp32", "fp16", "bf16", "int8"} - {precision}:
        with pytest.raises(GateError, match=f"the network is not {other}"):
            check_precision(layers, other, (), "network")


def test_fp32_nodes_are_named_or_refused(rtx: Library, resnet: Models, tmp_path: Path) -> None:
    island = sorted(_multiplying(resnet.fp32))[0]
    layers = _layers(rtx, to_fp16(resnet.fp32, tmp_path / "mixed.onnx", [island]))
    assert check_precision(layers, "fp16", {island}, "network")["apart"] == [island]
    with pytest.raises(GateError, match=rf"{island} \(fp32\)"):
        check_precision(layers, "fp16", (), "network")


def test_int8_may_leave_sensitive_layers_in_float_but_not_all() -> None:
    quantised, plain = MultiplyingLayer(("a",), "int8"), MultiplyingLayer(("b",), "fp32")
    assert check_precision([quantised, plain], "int8", (), "engine") == {
        "layers": {"fp32": 1, "int8": 1},
        "apart": ["b"],
    }
    with pytest.raises(GateError, match=r"the engine is not int8: b \(fp32\)"):
        check_precision([plain], "int8", (), "engine")
    with pytest.raises(GateError, match="no layer of it is"):
        check_precision([], "fp16", (), "engine")


def _tensor(kind: str, **fields: Any) -> dict[str, Any]:
    return {"Name": "x", "Location": "Device", "Dimensions": [1, 8, 4, 4], **fields, "kind": kind}


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({"Format/Datatype": "Row major linear FP16 format"}, "fp16"),
        ({"Format/Datatype": "Half"}, "fp16"),
        ({"Format/Datatype": "Thirty-two wide channel vectorized row major Int8 format"}, "int8"),
        ({"Format/Datatype": "Row major linear FP32"}, "fp32"),
        ({"DataType": "BFloat16", "Format": "Row major linear (kLINEAR)"}, "bf16"),
        ({"DataType": "Float", "Format": "Row major linear FP32 format (kLINEAR)"}, "fp32"),
    ],
)
def test_precision_is_read_from_inspector_output_of_10_and_11(told: dict[str, str], expected: str) -> None:
    layer = {
        "Name": "conv1 + relu",
        "LayerType": "CaskConvolution",
        "ParameterType": "Convolution",
        "Inputs": [_tensor("in", **told)],
        "Metadata": "[ONNX Layer: node_conv1]\u001e[ONNX Layer: node_relu]",
    }
    copy = {"Name": "copy", "LayerType": "Reformat", "Inputs": [_tensor("in", **{"DataType": "Float"})]}
    found = engine_layers(json.dumps({"Layers": [copy, layer], "Bindings": ["image", "logits"]}))
    assert found == [MultiplyingLayer(("node_conv1", "node_relu"), expected)]


def test_precision_is_read_from_weights_before_inputs_and_never_from_names() -> None:
    layer = {
        "Name": "fc",
        "LayerType": "gemm",
        "Inputs": [_tensor("in", **{"Format/Datatype": "Row major linear FP32"})],
        "Weights": {"Type": "Half", "Count": 64},
    }
    assert engine_layers(json.dumps({"Layers": [layer]})) == [MultiplyingLayer(("fc",), "fp16")]
    assert engine_layers(json.dumps({"Layers": ["conv1 + relu"]})) == []
    assert engine_layers("{}") == []
