"""Calibration of the small students, done once, and a look inside the fp32 network by ONNX Runtime alone."""

from collections.abc import Iterator

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper

from exporters.quantize import Calibration, Ranges, calibrate
from tests.exporters.conftest import Exported


def in_batches(images: np.ndarray, size: int) -> Iterator[np.ndarray]:
    return (images[start : start + size] for start in range(0, len(images), size))


def activation(data: bytes, name: str, images: np.ndarray) -> np.ndarray:
    """A value inside the network, all images in one batch."""
    model = onnx.load_from_string(data)
    model.graph.output.append(onnx.ValueInfoProto(name=name))
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run([name], {"image": images})[0]


def arrays(data: bytes) -> dict[str, np.ndarray]:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in onnx.load_from_string(data).graph.initializer}


@pytest.fixture(scope="package")
def cifar_ranges(cifar: Exported) -> Ranges:
    return calibrate(cifar.data, Calibration(lambda: iter([cifar.images])))


@pytest.fixture(scope="package")
def shufflenet_ranges(shufflenet: Exported) -> Ranges:
    return calibrate(shufflenet.data, Calibration(lambda: iter([shufflenet.images])))
