"""The model repository, against Triton's own protobuf schema; the KServe resource, field by field."""

from pathlib import Path

import pytest
import yaml
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from exporters.bundle.triton import kserve_service, triton_copies, triton_engines, triton_texts
from exporters.core.files import sha256_file
from exporters.onnx.reader import read_onnx
from tests.exporters.conftest import LABELS

NUMPY_OF = {"uint8": model_config_pb2.TYPE_UINT8, "float32": model_config_pb2.TYPE_FP32}


def parsed(data: bytes) -> "model_config_pb2.ModelConfig":
    """Unknown fields and wrong types are errors."""
    return text_format.Parse(data.decode(), model_config_pb2.ModelConfig())


def test_the_configuration_fits_the_model(packed: Path) -> None:
    folder = packed / "triton" / "finches"
    config, model = (
        parsed((folder / "config.pbtxt").read_bytes()),
        read_onnx((folder / "1" / "model.onnx").read_bytes()),
    )
    assert config.name == folder.name and config.backend == "onnxruntime" and config.max_batch_size == 64
    assert config.HasField("dynamic_batching") and config.dynamic_batching.max_queue_delay_microseconds > 0
    for configured, values in ((config.input, model.inputs), (config.output, model.outputs)):
        assert [(one.name, one.data_type, ("batch", *one.dims)) for one in configured] == [
            (value.name, NUMPY_OF[value.dtype], value.dims) for value in values
        ]
    assert config.output[0].label_filename == "labels.txt"
    assert (folder / "labels.txt").read_text("utf-8").splitlines() == LABELS
    assert sha256_file(folder / "1" / "model.onnx") == sha256_file(packed / "model.onnx")
    versions = [path.name for path in folder.iterdir() if path.is_dir()]
    assert versions == ["1"]


def engine(precision: str, library: str = "tensorrt", batch: int | None = 16) -> dict:
    """The part of a manifest's entry that counts here."""
    sides = [224, 224, 3]
    shapes = None if batch is None else {"image": {"min": [1, *sides], "opt": [8, *sides], "max": [batch, *sides]}}
    return {"library": {"name": library, "version": "10.13"}, "precision": precision, "profile": shapes}


def test_engines_become_models_of_their_own() -> None:
    engines = triton_engines(
        {
            "engines/model.plan": engine("fp32", "tensorrt_rtx"),  # Triton's backend runs none of these
            "engines/model.fp16.plan": engine("fp16"),
            "engines/model.int8.trt.plan": engine("int8", batch=None),
        }
    )
    texts, copies = triton_texts("a.b", 224, LABELS, engines), triton_copies("a.b", engines)
    assert copies["triton/a.b/1/model.onnx"] == "model.onnx" and len(copies) == 3 and len(texts) == 6
    for name, source, batch in (
        ("a.b_tensorrt_fp16", "engines/model.fp16.plan", 16),
        ("a.b_tensorrt_int8", "engines/model.int8.trt.plan", 1),
    ):
        config = parsed(texts[f"triton/{name}/config.pbtxt"])
        assert (config.name, config.backend, config.max_batch_size) == (name, "tensorrt", batch)
        assert copies[f"triton/{name}/1/{config.default_model_filename}"] == source
        assert list(config.input[0].dims) == [224, 224, 3] and list(config.output[0].dims) == [len(LABELS)]


def test_kserve_resource_serves_the_model_repository(packed: Path) -> None:
    resource = yaml.safe_load((packed / "kserve" / "inference-service.yaml").read_text("utf-8"))
    assert (resource["apiVersion"], resource["kind"]) == ("serving.kserve.io/v1beta1", "InferenceService")
    assert resource["metadata"] == {"name": "finches"}
    model = resource["spec"]["predictor"]["model"]
    assert set(model) == {"modelFormat", "runtime", "protocolVersion", "storageUri", "resources"}
    assert model["modelFormat"] == {"name": "triton", "version": "2"} and model["protocolVersion"] == "v2"
    assert model["runtime"] == "kserve-tritonserver" and model["storageUri"].endswith("/triton")


@pytest.mark.parametrize(
    ("name", "expected"),
    [("CUB_mobilenet.v2", "cub-mobilenet-v2"), ("9", "student-9"), ("a" * 90, "a" * 50), ("x" * 49 + "__y", "x" * 49)],
)
def test_names_are_made_valid_for_kubernetes(name: str, expected: str) -> None:
    assert yaml.safe_load(kserve_service(name))["metadata"]["name"] == expected
