from pathlib import Path

import pytest
import torch

from exporters.core.errors import UnavailableError
from exporters.onnx.features import export_features
from exporters.runtimes.ort_features import OnnxFeatures
from tests.exporters.onnx.test_features import Small

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("features") / "net.onnx"
    export_features(Small(), 9, ("logits", "feature_map"), path, "net")
    return path


@pytest.mark.parametrize("count", [1, 5])
def test_outputs_are_those_of_the_network(path: Path, count: int) -> None:
    images = torch.rand(count, 3, 9, 9).contiguous(memory_format=torch.channels_last)
    found = OnnxFeatures(path, CPU)(images)
    for ours, expected in zip(found, Small()(images), strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-5)


def test_outputs_of_one_batch_outlive_the_next(path: Path) -> None:
    run = OnnxFeatures(path, CPU, threads=1)
    first, second = torch.zeros(2, 3, 9, 9), torch.ones(2, 3, 9, 9)
    kept = run(first)[0]
    before = kept.clone()
    run(second)
    assert torch.equal(kept, before) and kept.is_contiguous() and not kept.is_inference()


def test_images_of_another_size_are_refused_with_a_reason(path: Path) -> None:
    with pytest.raises(UnavailableError, match=r"ONNX Runtime fails on net\.onnx: \S"):
        OnnxFeatures(path, CPU)(torch.zeros(2, 3, 8, 8))


@pytest.mark.skipif(torch.cuda.is_available(), reason="CUDA is here")
def test_missing_provider_is_unavailable(path: Path) -> None:
    with pytest.raises(UnavailableError, match=r"TensorrtExecutionProvider|tensorrt"):
        OnnxFeatures(path, CPU, "tensorrt")
