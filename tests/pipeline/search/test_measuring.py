"""Graph digests, and latency that is measured once for each graph."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.search import measuring
from pipeline.search.journal import Journal
from pipeline.search.measuring import graph_digest, measured, untrained_files
from tests.pipeline.search.making import asked_on

onnx = pytest.importorskip("onnx")


def made(weight: float, width: int = 3, operator: str = "Relu", name: str = "w") -> bytes:
    """A graph of a product and an activation, with the input and output of a bundle's model."""
    from onnx import TensorProto, helper, numpy_helper

    nodes = [
        helper.make_node("Cast", ["image"], ["x"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["x"], ["means"], keepdims=0, axes=[1, 2]),
        helper.make_node("MatMul", ["means", name], ["product"]),
        helper.make_node(operator, ["product"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["batch", 8, 8, 3])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", width])],
        [numpy_helper.from_array(np.full((3, width), weight, np.float32), name)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    return bytes(model.SerializeToString())


def test_digest_follows_operators_and_shapes_and_neither_weights_nor_names() -> None:
    first = graph_digest(made(1.0))
    assert graph_digest(made(2.0)) == first and graph_digest(made(1.0, name="weight")) == first
    assert len({first, graph_digest(made(1.0, width=4)), graph_digest(made(1.0, operator="Sigmoid"))}) == 3


def test_latency_of_a_graph_is_measured_once(
    tiny_recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measuring, "SECONDS", 0.01)
    journal = Journal(tmp_path, asked_on(tiny_recipe))
    one = measured(made(1.0), 8, 1, journal)
    assert one.latency_ms > 0 and one.p95_ms >= one.latency_ms and one.size == len(made(1.0))
    assert measured(made(2.0), 8, 1, journal) == one
    calls: list[int] = []
    monkeypatch.setattr(measuring, "_timed", lambda *_: calls.append(1) or {"p50_ms": 9.0, "p95_ms": 9.0})
    measured(made(3.0), 8, 1, journal)
    assert calls == []
    assert measured(made(1.0), 8, 2, journal).latency_ms == 9.0
    assert measured(made(1.0, width=4), 8, 1, journal).latency_ms == 9.0 and len(calls) == 2


def test_untrained_int8_file_is_smaller_and_another_graph() -> None:
    pytest.importorskip("torch")
    from exporters.images.preprocessing import Preprocessing
    from exporters.student.architectures import Architecture
    from pipeline.preflight.exporting import untrained_student

    preprocessing = Preprocessing(32, 32, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)).to_json()
    student = untrained_student(Architecture("resnet8", "cifar"), ("a", "b", "c"), preprocessing)
    files, refused = untrained_files(student, 20, ("fp32", "int8"))
    assert set(files) == {"fp32", "int8"} and refused == {}
    assert len(files["int8"]) < len(files["fp32"]) and graph_digest(files["int8"]) != graph_digest(files["fp32"])
