"""A network of one weight, written by hand: logits = weight · image."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from exporters.onnx.reader import Node, OnnxFile, Tensor, Value
from exporters.openvino.document import Document, Layer, Port, write_document

WEIGHT = np.arange(12, dtype=np.float32).reshape(2, 2, 3) / 7 - 1
_IMAGE, _BATCH = (2, 2, 3), (-1, 2, 2, 3)


def document(weight: np.ndarray = WEIGHT, dtype: str = "f32") -> Document:
    """Image → Convert → Multiply ← Const; for `f16` with a Convert behind the constant."""
    compressed = dtype == "f16"
    shape, precision = ", ".join(map(str, weight.shape)), "FP16" if compressed else "FP32"
    data = {"element_type": dtype, "shape": shape, "offset": "0", "size": str(weight.nbytes)}
    layers = [
        Layer(0, "image", "Parameter", "opset1", {"shape": "?,2,2,3", "element_type": "u8"}, (), (),
              (Port(0, "U8", _BATCH, "image"),)),
        Layer(1, "Convert_1", "Convert", "opset1", {"destination_type": "f32"}, (), (Port(0, "U8", _BATCH),),
              (Port(1, "FP32", _BATCH),)),
        Layer(2, "Const_2" if compressed else "weight", "Const", "opset1", data, (), (),
              (Port(0, precision, weight.shape),)),
    ]  # fmt: skip
    edges = [(0, 0, 1, 0)]
    if compressed:
        port = Port(0, "FP16", weight.shape)
        hints = (("decompression", ""),)
        layers.append(
            Layer(3, "weight", "Convert", "opset1", {"destination_type": "f32"}, hints, (port,),
                  (Port(1, "FP32", weight.shape),))
        )  # fmt: skip
        edges.append((2, 0, 3, 0))
    last = len(layers)
    ports = (Port(0, "FP32", _BATCH), Port(1, "FP32", weight.shape))
    layers.append(
        Layer(last, "scaled", "Multiply", "opset1", {"auto_broadcast": "numpy"}, (), ports,
              (Port(2, "FP32", _BATCH, "logits"),))
    )  # fmt: skip
    layers.append(Layer(last + 1, f"Result_{last + 1}", "Result", "opset1", {}, (), (Port(0, "FP32", _BATCH),)))
    edges += [(1, 1, last, 0), (last - 1, 1 if compressed else 0, last, 1), (last, 2, last + 1, 0)]
    return Document(tuple(layers), tuple(edges))


def files(weight: np.ndarray = WEIGHT, dtype: str = "f32") -> tuple[bytes, bytes]:
    """Both files."""
    return write_document(document(weight, dtype)), weight.tobytes()


def changed(index: int, change: Callable[[Layer], Layer]) -> bytes:
    """The XML with one of its layers changed."""
    whole = document()
    layers = list(whole.layers)
    layers[index] = change(layers[index])
    return write_document(Document(tuple(layers), whole.edges))


def with_data(index: int, **data: str) -> bytes:
    """The XML with other attributes of one layer."""
    return changed(index, lambda layer: replace(layer, data={**layer.data, **data}))


def onnx_file(weight: np.ndarray = WEIGHT) -> OnnxFile:
    """The ONNX file that it was made from, as it is read."""
    return OnnxFile(
        inputs=[Value("image", "uint8", ("batch", *_IMAGE))],
        outputs=[Value("logits", "float32", ("batch", *_IMAGE))],
        tensors=[Tensor("weight", "float32", weight.shape, weight.tobytes(), "initializer")],
        nodes=[
            Node("cast", "Cast", ("image",), ("pixels",)),
            Node("scaled", "Mul", ("pixels", "weight"), ("logits",)),
        ],
    )
