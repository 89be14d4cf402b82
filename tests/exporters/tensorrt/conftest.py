"""Three students as fp32, fp16 and int8 ONNX, and TensorRT for RTX, which builds engines without a GPU."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("onnxruntime")

from exporters.onnx.export import export_onnx
from exporters.student.architectures import Architecture
from exporters.tensorrt.libraries import Library, find
from tests.exporters.conftest import Exported, make_student, random_images


@dataclass(frozen=True)
class Models:
    """ONNX files of one student by precision; `int8_bias` is int8 with quantised biases."""

    size: int
    fp32: Path
    fp16: Path
    int8: Path
    int8_bias: Path


@pytest.fixture(scope="session")
def rtx() -> Library:
    pytest.importorskip("tensorrt_rtx")
    return find("tensorrt_rtx")


@pytest.fixture(scope="session")
def resnet(cifar: Exported, tmp_path_factory: pytest.TempPathFactory) -> Models:
    return _variants(cifar.export.path, 32, tmp_path_factory.mktemp("resnet"), bias=True)


@pytest.fixture(scope="session")
def students(resnet: Models, shufflenet: Exported, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Models]:
    folder = tmp_path_factory.mktemp("vgg")
    student = make_student(folder, Architecture("vgg8", "cifar"), 32)
    vgg = export_onnx(student, folder / "model.onnx").path
    return {
        "cifar:resnet8": resnet,
        "shufflenet_v2_x0_5": _variants(shufflenet.export.path, 64, tmp_path_factory.mktemp("shufflenet")),
        "cifar:vgg8": _variants(vgg, 32, folder),
    }


def to_fp16(path: Path, out: Path, blocked: list[str] | None = None) -> Path:
    """Fp16 inside, the same input and output; the nodes `blocked` stay in fp32."""
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16

    model = convert_float_to_float16(onnx.load(path), keep_io_types=True, node_block_list=blocked)
    onnx.save(model, out)
    return out


def to_int8(path: Path, out: Path, size: int, *, bias: bool = False) -> Path:
    """Symmetric S8S8 for TensorRT, or with int32 biases, which it refuses."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._batches: Iterator[dict[str, np.ndarray]] = iter([{"image": random_images(4, size)}])

        def get_next(self) -> Any:
            return next(self._batches, None)

    quantize_static(
        str(path),
        str(out),
        Reader(),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        op_types_to_quantize=["Conv", "Gemm", "MatMul"],
        activation_type=QuantType.QInt8,
        weight_type=QuantType.QInt8,
        extra_options={"ActivationSymmetric": True, "WeightSymmetric": True, "QuantizeBias": bias},
    )
    return out


def _variants(fp32: Path, size: int, folder: Path, *, bias: bool = False) -> Models:
    biased = folder / "bias.onnx"
    return Models(
        size,
        fp32,
        to_fp16(fp32, folder / "fp16.onnx"),
        to_int8(fp32, folder / "int8.onnx", size),
        to_int8(fp32, biased, size, bias=True) if bias else biased,
    )
