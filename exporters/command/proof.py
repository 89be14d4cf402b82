"""Proof of the forms that a file may have besides logits on prepared pixels: probabilities, and images of any size."""

from typing import Any

import numpy as np
import onnx

from exporters.command.task import ExportTask
from exporters.core.arrays import softmax
from exporters.images.preprocessing import Preprocessing
from exporters.onnx.resizing import add_resize, resize_parity
from exporters.parity import ParityGate, ParityMeter, judge
from exporters.runtimes import OnnxRuntime

# fp16 rounds the softmax itself, to 11 bits.
_PROBABILITY_BOUNDS = {"fp32": 1e-5, "fp16": 2e-3, "int8": 1e-5}
_LEAST_AGREEMENT, _LARGEST_DROP = 0.99, 0.01  # where pixels may already differ by a rounding


def with_resize(data: bytes, preprocessing: Preprocessing) -> bytes:
    """A model that takes the student's pixels, with its resizing in front: images of any size."""
    model = onnx.load_from_string(data)
    add_resize(model, preprocessing)
    model = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
    onnx.checker.check_model(model, full_check=True)
    resized: bytes = model.SerializeToString(deterministic=True)
    return resized


def prove_forms(
    task: ExportTask, name: str, core: bytes, shipped: bytes, precision: str
) -> tuple[dict[str, Any], list[str]]:
    """Prove probabilities and images of any size, where the export asks for them.

    Args:
        core: the file behind its resizing, uint8 `[batch, S, S, 3]`; it is proved elsewhere.
        shipped: the file.
        precision: whose gate the file must pass.

    Returns:
        What `parity.json` holds, and what is against the file.
    """
    found: dict[str, Any] = {}
    failures: list[str] = []
    if task.probabilities:
        found["probabilities"], against = _probabilities(core, precision, task.context.images, task.temperature)
        failures += against
    if task.any_size:
        sizes, against = _any_size(task, name, shipped, task.context.gates[precision])
        found |= sizes
        failures += against
    return found, failures


def _probabilities(
    data: bytes, precision: str, images: np.ndarray, temperature: float
) -> tuple[dict[str, Any], list[str]]:
    """The second output against the softmax of the first, divided by the temperature."""
    import onnxruntime

    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    logits, probabilities = session.run(["logits", "probabilities"], {"image": images})
    worst = float(np.abs(probabilities - softmax(logits, temperature)).max())
    bound = _PROBABILITY_BOUNDS[precision]
    failures = [] if worst <= bound else [f"probabilities are off by {worst:.3g}, allowed {bound:g}"]
    scaled = {} if temperature == 1 else {"temperature": temperature}
    return {"max_difference": worst if np.isfinite(worst) else None, "bound": bound, **scaled}, failures


def _any_size(task: ExportTask, name: str, data: bytes, gate: ParityGate) -> tuple[dict[str, Any], list[str]]:
    """Images as they are: the pixels against Pillow's, the answers against the student's on Pillow's pixels."""
    preprocessing = task.student.preprocessing
    pixels = resize_parity(data, preprocessing, (image for _, image, _ in task.images.opened()))
    task.say(
        f"{name} resizing {pixels.images:,} images: largest difference from Pillow {pixels.max_difference} of 255,"
        f" mean {pixels.mean_difference:.2g}"
    )
    candidate, meter = OnnxRuntime(data, task.provider), ParityMeter()
    for image_name, image, labels in task.images.opened():
        expected = task.reference.predict(preprocessing.apply(image)[None])
        meter.add(expected, candidate.predict(np.asarray(image)[None]), labels, [image_name])
    result = meter.result()
    agreement, drop = min(_LEAST_AGREEMENT, gate.min_agreement), max(_LARGEST_DROP, gate.max_accuracy_drop)
    failures = [f"images of any size: {failure}" for failure in judge(result, ParityGate(None, agreement, drop))]
    if not pixels.passed:
        failures.append(f"resized pixels differ by {pixels.max_difference} of 255, allowed {pixels.bound}")
    return {"resize": pixels.to_json(), "any_size": result.to_json()}, failures
