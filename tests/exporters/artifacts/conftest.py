"""ONNX files and engines of a small network, and the evidence to judge them on."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from exporters.artifacts.engines import MadeEngine, build_engines
from exporters.bundle.manifest import ENGINE_SOURCES
from exporters.fp16.convert import to_fp16
from exporters.parity import Evidence
from exporters.quantize import Calibration, quantize
from exporters.runtimes import TorchRuntime
from exporters.tensorrt import EngineSettings
from tests.exporters.conftest import Exported

SETTINGS = EngineSettings((1, 4, 20))


@pytest.fixture(scope="session")
def models(cifar: Exported, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """ONNX files by precision."""
    calibration = Calibration(lambda: iter([cifar.images]))
    data = {
        "fp32": cifar.data,
        "fp16": to_fp16(cifar.data),
        "int8": quantize(cifar.data, calibration, target="tensorrt"),
    }
    folder = tmp_path_factory.mktemp("models")
    for precision, content in data.items():
        (folder / ENGINE_SOURCES[precision]).write_bytes(content)
    return {precision: folder / name for precision, name in ENGINE_SOURCES.items()}


@pytest.fixture(scope="session")
def made(models: Mapping[str, Path]) -> dict[str, MadeEngine]:
    """An engine of each, in the folder `engines` beside the models."""
    folder = models["fp32"].parent / "engines"
    return build_engines(ENGINE_SOURCES, models, folder, SETTINGS, library="tensorrt_rtx")


@pytest.fixture
def evidence(cifar: Exported) -> Evidence:
    names = [f"image{index}.jpg" for index in range(len(cifar.images))]
    batches = [(cifar.images, cifar.logits.argmax(axis=1), names)]
    return Evidence(TorchRuntime(cifar.student), lambda: batches, part=8)
