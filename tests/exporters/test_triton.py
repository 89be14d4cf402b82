"""The model repository, against Triton's own protobuf schema; the KServe resource, field by field."""

import json
from pathlib import Path

import pytest
import yaml
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from exporters.files import sha256_file
from exporters.onnx.reader import read_onnx
from exporters.triton import TritonEngine, kserve_service, triton_files

from .conftest import LABELS

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
    for told, values in ((config.input, model.inputs), (config.output, model.outputs)):
        assert [(one.name, one.data_type, ("batch", *one.dims)) for one in told] == [
            (value.name, NUMPY_OF[value.dtype], value.dims) for value in values
        ]
    assert config.output[0].label_filename == "labels.txt"
    assert (folder / "labels.txt").read_text("utf-8").splitlines() == LABELS
    assert sha256_file(folder / "1" / "model.onnx") == sha256_file(packed / "model.onnx")
    versions = [path.name for path in folder.iterdir() if path.is_dir()]
    assert versions == ["1"]


def test_engines_become_models_of_their_own() -> None:
    engines = [
        TritonEngine("engines/a.plan", "fp16", "8.9", 64, b"ada"),
        TritonEngine("engines/b.plan", "fp16", "8.0", 16, b"ampere"),
        TritonEngine("engines/c.plan", "int8", "9.0", 8, b"hopper"),
    ]
    files = triton_files("a.b", 224, LABELS, b"onnx", engines)
    assert files["triton/a.b/1/model.onnx"] == b"onnx"
    half = "triton/a.b_tensorrt_fp16"
    config = parsed(files[f"{half}/config.pbtxt"])
    assert config.name == "a.b_tensorrt_fp16" and config.backend == "tensorrt"
    assert config.max_batch_size == 16  # what every one of them takes
    assert {gpu: files[f"{half}/1/{file}"] for gpu, file in config.cc_model_filenames.items()} == {
        "8.0": b"ampere",
        "8.9": b"ada",
    }
    assert parsed(files["triton/a.b_tensorrt_int8/config.pbtxt"]).max_batch_size == 8
    assert list(config.input[0].dims) == [224, 224, 3] and list(config.output[0].dims) == [len(LABELS)]
    assert json.loads(json.dumps(sorted(files))) == sorted(files) and len(files) == 3 + 4 + 3


def test_kserve(packed: Path) -> None:
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
def test_names_that_kubernetes_takes(name: str, expected: str) -> None:
    assert yaml.safe_load(kserve_service(name))["metadata"]["name"] == expected
