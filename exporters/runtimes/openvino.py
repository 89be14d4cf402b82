"""OpenVINO IR on the CPU."""

from typing import Any

import numpy as np

from exporters.core.errors import GateError, UnavailableError, UsageError
from exporters.core.interrupts import interrupts_kept
from exporters.core.outputs import CAM_NAME
from exporters.openvino.library import find, reason_of
from exporters.runtimes.base import Explained, check_images


class OpenVinoRuntime:
    """Both files of an IR, given as bytes, so that no other file is opened.

    Computes in fp32. Left to itself, OpenVINO computes in bf16 on processors that can, and in fp16 on ARM: an error of
    half a percent of the logits' scale, which is no longer the student.

    Args:
        xml, weights: the files; from strangers only after `exporters.audit.openvino.audit_openvino`.
        threads: None leaves the choice to OpenVINO.

    Attributes:
        version: of OpenVINO.
        map_size: height and width of the class activation maps; None where the files give none.

    Raises:
        UnavailableError: no OpenVINO, or one that does not compute in fp32 here.
        GateError: the files cannot be loaded, or do not have the input and output of a bundle's model.
    """

    def __init__(self, xml: bytes, weights: bytes, threads: int | None = None) -> None:
        library = find()
        module, core, self.version = library.module, library.core, library.version
        options: dict[str, Any] = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
        if threads is not None:
            options["INFERENCE_NUM_THREADS"] = threads
        try:
            with interrupts_kept():
                network = core.read_model(xml, module.Tensor(np.frombuffer(weights, np.uint8)))
                compiled = core.compile_model(network, "CPU", options)
        except RuntimeError as error:
            raise GateError(f"the model cannot be loaded by {library.title}: {reason_of(error)}") from error
        if compiled.get_property("INFERENCE_PRECISION_HINT") != module.Type.f32:
            raise UnavailableError(f"{library.title} does not compute in fp32 on this processor")
        inputs, outputs = (
            {port.get_any_name(): port for port in ports} for ports in (compiled.inputs, compiled.outputs)
        )
        known = {"logits"}, {"logits", CAM_NAME}
        if (
            set(inputs) != {"image"}
            or inputs["image"].get_element_type() != module.Type.u8
            or set(outputs) not in known
        ):
            raise GateError("the model does not take `image` (uint8) and give `logits`")
        height, width = (inputs["image"].get_partial_shape()[axis] for axis in (1, 2))
        if height.is_dynamic or height != width:
            raise GateError("the model does not take images of one size")
        self._size = int(height.get_length())
        self.map_size: tuple[int, int] | None = None
        if CAM_NAME in outputs:
            shape = outputs[CAM_NAME].get_partial_shape()
            if len(shape) != 3 or shape[1].is_dynamic or shape[2].is_dynamic:
                raise GateError(f"the model gives `{CAM_NAME}` as {shape}, not [batch, h, w]")
            self.map_size = int(shape[1].get_length()), int(shape[2].get_length())
        self._request = compiled.create_infer_request()

    def predict(self, images: np.ndarray) -> np.ndarray:
        """See `Runtime.predict`."""
        return self._run(images)["logits"]

    def explain(self, images: np.ndarray) -> Explained:
        """See `Explainer.explain`."""
        if self.map_size is None:
            raise UsageError("the model gives no class activation maps")
        found = self._run(images)
        return Explained(found["logits"], found[CAM_NAME])

    def _run(self, images: np.ndarray) -> dict[str, np.ndarray]:
        check_images(images, self._size)
        found = self._request.infer({"image": np.ascontiguousarray(images)})
        # The request's own memory is written to again by the next call.
        return {port.get_any_name(): np.array(value, np.float32) for port, value in found.items()}
