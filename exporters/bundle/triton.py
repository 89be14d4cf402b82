"""A model repository of NVIDIA Triton in a bundle, and the KServe resource that serves it.

Fields are those of Triton's `model_config.proto` and of KServe's `serving.kserve.io/v1beta1`. Models are copied, byte
for byte: Triton wants `<model>/<version>/model.onnx`, and links do not survive every archive and upload.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

REPOSITORY = "triton"
KSERVE = "kserve/inference-service.yaml"

MAX_BATCH = 64
"""Of the ONNX model, whose batch is dynamic: what Triton may put together."""

_QUEUE_MICROSECONDS = 2000
_STORAGE = "pvc://models/{name}/triton"


@dataclass(frozen=True)
class TritonEngine:
    """A plan that Triton's TensorRT backend runs.

    Args:
        precision: what tells the Triton models of a student apart, such as `fp16`.
        max_batch: of its profile.
        file: its name in the bundle.
    """

    precision: str
    max_batch: int
    file: str


def triton_engines(engines: Mapping[str, Mapping[str, Any]]) -> list[TritonEngine]:
    """The engines that Triton serves, from a manifest's `engines`; those of TensorRT for RTX it does not run."""
    found = []
    for file, entry in sorted(engines.items()):
        if entry["library"]["name"] == "tensorrt":
            profile = entry["profile"]
            found.append(TritonEngine(entry["precision"], profile["image"]["max"][0] if profile else 1, file))
    return found


def triton_texts(
    name: str,
    size: int,
    labels: Sequence[str],
    engines: Sequence[TritonEngine] = (),
    map_size: tuple[int, int] | None = None,
) -> dict[str, bytes]:
    """The repository's files but the models, by their name in the bundle; they follow from nothing but the arguments.

    `triton/<name>` serves `model.onnx`, `triton/<name>_tensorrt_<precision>` an engine, on GPUs of the kind that it was
    built on. Normalisation is part of every graph; decoding, resize and crop are the client's part (`preprocess.json`).

    Args:
        name: of the student.
        size: side of the input.
        labels: K class names.
        engines: one of a precision.
        map_size: height and width of the output `cam`; None where there is none.
    """
    files = _texts(name, "onnxruntime", "model.onnx", MAX_BATCH, size, labels, map_size)
    for engine in engines:
        files |= _texts(_called(name, engine), "tensorrt", "model.plan", engine.max_batch, size, labels, map_size)
    return files


def triton_copies(name: str, engines: Sequence[TritonEngine] = ()) -> dict[str, str]:
    """The repository's models: the name of each copy in the bundle → the name of what it is a copy of."""
    copies = {f"{REPOSITORY}/{name}/1/model.onnx": "model.onnx"}
    return copies | {f"{REPOSITORY}/{_called(name, engine)}/1/model.plan": engine.file for engine in engines}


def _called(name: str, engine: TritonEngine) -> str:
    return f"{name}_tensorrt_{engine.precision}"


def _texts(
    name: str,
    backend: str,
    file: str,
    max_batch: int,
    size: int,
    labels: Sequence[str],
    map_size: tuple[int, int] | None,
) -> dict[str, bytes]:
    """One model's `config.pbtxt`, in protobuf's text format, and its labels; the batch is not part of `dims`."""
    cam = ""
    if map_size is not None:
        cam = f', {{ name: "cam" data_type: TYPE_FP32 dims: [ {map_size[0]}, {map_size[1]} ] }}'
    config = f"""name: {json.dumps(name)}
backend: {json.dumps(backend)}
default_model_filename: {json.dumps(file)}
max_batch_size: {max_batch}
input [ {{ name: "image" data_type: TYPE_UINT8 dims: [ {size}, {size}, 3 ] }} ]
output [ {{ name: "logits" data_type: TYPE_FP32 dims: [ {len(labels)} ] label_filename: "labels.txt" }}{cam} ]
dynamic_batching {{ max_queue_delay_microseconds: {_QUEUE_MICROSECONDS} }}
"""
    return {
        f"{REPOSITORY}/{name}/config.pbtxt": config.encode(),
        f"{REPOSITORY}/{name}/labels.txt": labels_text(labels),
    }


def labels_text(labels: Sequence[str]) -> bytes:
    """`labels.txt`: line `k` names column `k` of the logits."""
    return "".join(f"{label}\n" for label in labels).encode()


def kserve_service(name: str) -> bytes:
    """An `InferenceService` that serves the repository with KServe's runtime for Triton.

    `storageUri` is a place to be filled in: only who uploads the folder knows it.
    """
    resource: dict[str, Any] = {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": _resource_name(name)},
        "spec": {
            "predictor": {
                "model": {
                    "modelFormat": {"name": "triton", "version": "2"},
                    "runtime": "kserve-tritonserver",
                    "protocolVersion": "v2",
                    "storageUri": _STORAGE.format(name=name),
                    "resources": {
                        "requests": {"cpu": "1", "memory": "2Gi"},
                        "limits": {"cpu": "2", "memory": "4Gi"},
                    },
                }
            }
        },
    }
    note = "# Set storageUri to where the folder triton/ of this bundle lies; its runtime for Triton is named below.\n"
    return (note + yaml.safe_dump(resource, sort_keys=False)).encode()


def _resource_name(name: str) -> str:
    """A DNS label (RFC 1123) that begins with a letter, as Kubernetes wants names of services."""
    label = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:50].strip("-")
    return label if label[:1].isalpha() else f"student-{label}".strip("-")
