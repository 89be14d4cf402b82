"""A frozen network with several outputs in OpenVINO on the CPU, from and to tensors of PyTorch without copies."""

from pathlib import Path

import torch
from torch import Tensor

from exporters.core.errors import GateError, UnavailableError
from exporters.core.interrupts import interrupts_kept
from exporters.openvino.library import find, reason_of


class OpenVinoFeatures:
    """A file of `exporters.onnx.features` in OpenVINO: in fp32, in one stream, with nothing cached on the disk.

    Args:
        model: the path of the file.
        threads: None: as many as PyTorch has in this process.

    Raises:
        UnavailableError: no OpenVINO, or one that does not compute in fp32 here or cannot run the network.
        GateError: the file cannot be read, or has dimensions that are not known.
    """

    def __init__(self, model: Path, threads: int | None = None) -> None:
        self._library, self._name = find(), model.name
        module, title = self._library.module, self._library.title
        options = {
            "INFERENCE_PRECISION_HINT": "f32",
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": 1,
            "INFERENCE_NUM_THREADS": threads or torch.get_num_threads(),
            "ENABLE_CPU_PINNING": False,  # processes that train together would all be pinned to the first cores
        }
        with interrupts_kept():
            try:
                network = self._library.core.read_model(str(model))
            except RuntimeError as error:
                raise GateError(f"{model} cannot be loaded by {title}: {reason_of(error)}") from error
            try:
                compiled = self._library.core.compile_model(network, "CPU", options)
            except RuntimeError as error:
                raise UnavailableError(f"{title} cannot run {self._name}: {reason_of(error)}") from error
        if compiled.get_property("INFERENCE_PRECISION_HINT") != module.Type.f32:
            raise UnavailableError(f"{title} does not compute in fp32 on this processor")
        self._shapes: list[tuple[int, ...]] = []
        for port in compiled.outputs:
            sides = list(port.get_partial_shape())[1:]
            if any(side.is_dynamic for side in sides):
                shape = port.get_partial_shape()
                raise GateError(f"{model}: the output {port.get_any_name()} has a shape that is not known: {shape}")
            self._shapes.append(tuple(side.get_length() for side in sides))
        self._request = compiled.create_infer_request()

    def __call__(self, images: Tensor) -> tuple[Tensor, ...]:
        """Images float32 `[n, 3, S, S]` on the CPU to the outputs in the order of the file, float32 `[n, …]`.

        Raises:
            UnavailableError: OpenVINO cannot compute them.
        """
        images = images.detach().to(torch.float32).contiguous()
        outputs = tuple(torch.empty((len(images), *shape)) for shape in self._shapes)
        tensor = self._library.module.Tensor
        try:
            self._request.set_input_tensor(tensor(images.numpy(), shared_memory=True))
            for number, found in enumerate(outputs):
                self._request.set_output_tensor(number, tensor(found.numpy(), shared_memory=True))
            self._request.infer()
        except RuntimeError as error:
            raise UnavailableError(
                f"{self._library.title} fails on {self._name}: {reason_of(error)}",
                remedy="Use --set teacher.runtime=auto",
            ) from error
        return outputs
