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
    """A TensorRT plan of the bundle that Triton can serve, for one kind of GPU.

    Args:
        file: its name in the bundle, such as `engines/model.fp16.sm89.plan`.
        precision: what tells the Triton models of a student apart, such as `fp16`.
        compute_capability: of the GPUs that it runs on, such as `8.9`.
        max_batch: of its profile.
        data: its bytes.
    """

    file: str
    precision: str
    compute_capability: str
    max_batch: int
    data: bytes


def triton_files(
    name: str, size: int, labels: Sequence[str], model: bytes, engines: Sequence[TritonEngine] = ()
) -> dict[str, bytes]:
    """The files of the repository, by their name in the bundle.

    `triton/<name>` serves `model.onnx`. The engines of a precision become `triton/<name>_tensorrt_<precision>`, with a
    plan for each compute capability, of which Triton takes the one that fits the GPU. Normalisation is part of every
    graph; decoding, resize and crop are the client's part (`preprocess.json`).

    Args:
        name: of the student.
        size: side of the input.
        labels: K class names.
        model: `model.onnx`.
        engines: of TensorRT (Triton does not run those of TensorRT for RTX).
    """
    files = _model(name, {"model.onnx": model}, _config(name, "onnxruntime", MAX_BATCH, size, labels), labels)
    for precision in sorted({engine.precision for engine in engines}):
        chosen = sorted(
            (engine for engine in engines if engine.precision == precision), key=lambda one: one.compute_capability
        )
        called = f"{name}_tensorrt_{precision}"
        plans = {_plan_name(engine): engine.data for engine in chosen}
        max_batch = min(engine.max_batch for engine in chosen)
        by_gpu = {engine.compute_capability: _plan_name(engine) for engine in chosen}
        files |= _model(called, plans, _config(called, "tensorrt", max_batch, size, labels, by_gpu), labels)
    return files


def _plan_name(engine: TritonEngine) -> str:
    return f"model.sm{engine.compute_capability.replace('.', '')}.plan"


def _model(name: str, models: Mapping[str, bytes], config: str, labels: Sequence[str]) -> dict[str, bytes]:
    return {
        f"{REPOSITORY}/{name}/config.pbtxt": config.encode(),
        f"{REPOSITORY}/{name}/labels.txt": labels_text(labels),
        **{f"{REPOSITORY}/{name}/1/{file}": data for file, data in models.items()},
    }


def labels_text(labels: Sequence[str]) -> bytes:
    """`labels.txt`: line `k` names column `k` of the logits."""
    return "".join(f"{label}\n" for label in labels).encode()


def _config(
    name: str, backend: str, max_batch: int, size: int, labels: Sequence[str], by_gpu: Mapping[str, str] | None = None
) -> str:
    """`config.pbtxt`, in protobuf's text format; the batch is not part of `dims`."""
    plans = "".join(
        f"cc_model_filenames {{ key: {_text(gpu)} value: {_text(file)} }}\n" for gpu, file in (by_gpu or {}).items()
    )
    return f"""name: {_text(name)}
backend: {_text(backend)}
max_batch_size: {max_batch}
input [ {{ name: "image" data_type: TYPE_UINT8 dims: [ {size}, {size}, 3 ] }} ]
output [ {{ name: "logits" data_type: TYPE_FP32 dims: [ {len(labels)} ] label_filename: "labels.txt" }} ]
dynamic_batching {{ max_queue_delay_microseconds: {_QUEUE_MICROSECONDS} }}
{plans}"""


def _text(value: str) -> str:
    return json.dumps(value)


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
