from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from exporters.audit.fp16 import audit_fp16
from exporters.audit.student import audit_bundle
from exporters.core.errors import GateError, UsageError
from exporters.fp16.convert import to_fp16
from exporters.onnx.reader import read_onnx
from tests.exporters.conftest import Exported
from tests.exporters.onnx.planting import convolutions


def test_every_tensor_is_the_fp32_tensor_or_its_rounding(cifar: Exported, shufflenet: Exported) -> None:
    for exported in (cifar, shufflenet):
        half = to_fp16(exported.data)
        entries = audit_fp16(half, exported.data, exported.entries)
        origins = {entry["name"]: entry["origin"] for entry in exported.entries}
        for entry in entries:
            base = origins[entry["name"]]
            expected = f"fp16 of {base}" if entry["dtype"] == "float16" and base != "constant" else base
            assert entry["origin"] == expected
        audit_bundle(half, entries, read_onnx(half).operators, "model.fp16.onnx")


def test_fp32_blocks_are_explained(cifar: Exported) -> None:
    base = cifar.data
    kept = convolutions(onnx.load_from_string(base))[2]
    entries = audit_fp16(to_fp16(base, keep_float=[kept.name]), base, cifar.entries)
    types = {entry["name"]: (entry["dtype"], entry["origin"]) for entry in entries}
    for entry in cifar.entries:
        dtype, origin = types[entry["name"]]
        fp32 = entry["name"] in kept.input or entry["origin"].startswith("preprocessing")
        if entry["dtype"] == "float32" and entry["origin"] != "constant":
            assert (dtype, origin) == (
                ("float32", entry["origin"]) if fp32 else ("float16", f"fp16 of {entry['origin']}")
            )


def planted(data: bytes, change: Callable[[onnx.ModelProto], None]) -> bytes:
    model = onnx.load_from_string(data)
    change(model)
    return model.SerializeToString()


def test_flipped_bit_in_any_weight_is_found(cifar: Exported) -> None:
    half = to_fp16(cifar.data)
    model = onnx.load_from_string(half)
    for index, tensor in enumerate(model.graph.initializer):
        if tensor.data_type != TensorProto.FLOAT16 or np.prod(tensor.dims) <= 4:
            continue

        def flip(model: onnx.ModelProto, index: int = index) -> None:
            tensor = model.graph.initializer[index]
            raw = bytearray(tensor.raw_data)
            raw[0] ^= 1
            tensor.raw_data = bytes(raw)

        with pytest.raises(GateError, match="does not explain") as caught:
            audit_fp16(planted(half, flip), cifar.data, cifar.entries)
        assert f"{tensor.name} float16 {list(tensor.dims)}" in str(caught.value)


def test_foreign_tensors_are_found(cifar: Exported) -> None:
    half = to_fp16(cifar.data)
    values = np.random.default_rng(0).normal(size=(7, 512))
    for dtype in (np.float16, np.float32, np.int8):
        foreign = numpy_helper.from_array((10 * values).astype(dtype), "teacher")
        with pytest.raises(GateError, match=rf"teacher {np.dtype(dtype).name} \[7, 512\]"):
            audit_fp16(planted(half, lambda m, t=foreign: m.graph.initializer.append(t)), cifar.data, cifar.entries)

    def as_attribute(model: onnx.ModelProto) -> None:
        model.graph.node.append(
            helper.make_node("Constant", [], ["spare"], "spare", value_floats=[x / 7 for x in range(100)])
        )

    with pytest.raises(GateError, match=r"spare.value_floats float32 \[100\]"):
        audit_fp16(planted(half, as_attribute), cifar.data, cifar.entries)
    with pytest.raises(GateError, match="more than a student"):
        audit_fp16(planted(half, lambda m: setattr(m, "doc_string", "secret")), cifar.data, cifar.entries)


def test_truncation_instead_of_rounding_is_found(cifar: Exported) -> None:
    def truncate(model: onnx.ModelProto) -> None:
        tensors = {tensor.name: tensor for tensor in onnx.load_from_string(cifar.data).graph.initializer}
        for tensor in model.graph.initializer:
            if tensor.data_type == TensorProto.FLOAT16 and len(tensor.dims) == 4:
                values = numpy_helper.to_array(tensors[tensor.name])
                half = values.astype(np.float16)
                towards_zero = np.where(np.abs(half.astype(np.float32)) > np.abs(values), np.nextafter(half, 0), half)
                tensor.raw_data = towards_zero.astype("<f2").tobytes()

    with pytest.raises(GateError, match="does not explain"):
        audit_fp16(planted(to_fp16(cifar.data), truncate), cifar.data, cifar.entries)


def test_a_dropped_normalisation_is_found(cifar: Exported) -> None:
    def drop(model: onnx.ModelProto) -> None:
        nodes = {node.op_type: node for node in reversed(model.graph.node)}
        mul = nodes["Mul"]
        scale = next(value for value in mul.input if value in {t.name for t in model.graph.initializer})
        for tensor in list(model.graph.initializer):
            if tensor.name == scale:
                model.graph.initializer.remove(tensor)
        model.graph.node.remove(mul)

    with pytest.raises(GateError, match="no preprocessing scale"):
        audit_fp16(planted(to_fp16(cifar.data), drop), cifar.data, cifar.entries)


def test_entries_of_another_file_are_refused(cifar: Exported, shufflenet: Exported) -> None:
    with pytest.raises(UsageError, match="not the one that the entries"):
        audit_fp16(to_fp16(cifar.data), cifar.data, shufflenet.entries)
