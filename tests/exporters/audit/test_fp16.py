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
from tests.exporters.audit.by_hand import CONSTANTS, file, with_origins
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


# Files made by hand: what is explained and what is not follows from the values alone.


def origins_of(data: bytes, base: bytes, **origins: str) -> dict[str, str]:
    entries = audit_fp16(data, base, with_origins(base, **origins))
    return {entry["name"]: entry["origin"] for entry in entries}


THIRDS = (np.arange(1, 97, dtype=np.float32) / 3).reshape(8, 12)
HALVES = THIRDS.astype(np.float16)


def test_fp32_kept_and_fp16_rounded_have_their_origins() -> None:
    base = file(w=THIRDS, index=np.array([5, 2, 9] * 30))
    assert origins_of(base, base) == {"w": "copy of w", "index": "copy of index"}
    assert origins_of(file(w=HALVES, index=np.array([5, 2, 9] * 30)), base) == {
        "w": "fp16 of copy of w",
        "index": "copy of index",
    }


@pytest.mark.parametrize(
    "foreign",
    [
        numpy_helper.from_array(np.nextafter(HALVES, np.float16(0)), "w"),
        numpy_helper.from_array(HALVES.reshape(12, 8), "w"),  # the same bytes, of another shape
        numpy_helper.from_array(HALVES.view(np.int16), "w"),  # and of another type
        numpy_helper.from_array(THIRDS.view(np.int32), "w"),
        helper.make_tensor("w", TensorProto.BFLOAT16, [8, 12], HALVES.tobytes(), raw=True),
        numpy_helper.from_array(THIRDS.astype(np.float64), "w"),
        numpy_helper.from_array(-THIRDS, "w"),
    ],
    ids=["not nearest", "reshaped", "int16", "int32", "bfloat16", "float64", "negative"],
)
def test_same_bytes_as_something_else_are_not_explained(foreign: onnx.TensorProto) -> None:
    with pytest.raises(GateError, match="does not explain: w "):
        origins_of(file(foreign), file(w=THIRDS))


def test_rounding_is_that_of_fp32_alone() -> None:
    with pytest.raises(GateError, match="does not explain: w "):
        origins_of(file(w=HALVES), file(w=THIRDS.astype(np.float64)))


def test_tensor_of_the_same_name_comes_before_others_of_the_same_values() -> None:
    base = file(decoy=np.zeros((8, 12), np.int8), first=THIRDS, second=THIRDS)
    assert origins_of(file(third=HALVES), base) == {"third": "fp16 of copy of first"}
    assert origins_of(file(second=HALVES, third=THIRDS), base) == {
        "second": "fp16 of copy of second",
        "third": "copy of first",
    }


@pytest.mark.parametrize(("values", "explained"), CONSTANTS)
def test_constants_are_tiny_or_ranges(values: np.ndarray, explained: bool) -> None:
    if explained:
        assert origins_of(file(w=HALVES, c=values), file(w=THIRDS))["c"] == "constant"
    else:
        with pytest.raises(GateError, match="does not explain: c "):
            origins_of(file(w=HALVES, c=values), file(w=THIRDS))


def test_rounded_constant_is_a_constant() -> None:
    base = file(c=np.linspace(0.1, 0.9, 8, dtype=np.float32))
    half = file(c=np.linspace(0.1, 0.9, 8, dtype=np.float32).astype(np.float16))
    assert origins_of(half, base, c="constant") == {"c": "constant"}


def test_normalisation_may_be_rounded_and_may_not_be_lost() -> None:
    scale = np.array([0.1, 0.2, 0.3], np.float32)
    base, named = file(a=scale, b=-scale), {"a": "preprocessing scale", "b": "preprocessing shift"}
    assert origins_of(file(a=scale.astype(np.float16), b=-scale), base, **named) == {
        "a": "fp16 of preprocessing scale",
        "b": "preprocessing shift",
    }
    with pytest.raises(GateError, match=r"as the student was trained: no preprocessing scale$"):
        origins_of(file(b=-scale), base, **named)
    with pytest.raises(GateError, match="as the student was trained: no preprocessing scale and no preprocessing sh"):
        origins_of(file(), base, **named)


def test_error_says_what_to_do() -> None:
    with pytest.raises(GateError) as caught:
        origins_of(file(w=HALVES.view(np.int16)), file(w=THIRDS))
    assert caught.value.message.startswith("the exported model holds")
    assert caught.value.remedy == "Export again from the student; nothing but the student may ship."
    with pytest.raises(UsageError, match="not the one that the entries"):
        audit_fp16(file(w=HALVES), file(w=THIRDS), with_origins(file(w=-THIRDS)))
