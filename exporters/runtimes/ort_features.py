"""A frozen network with several outputs in ONNX Runtime, from and to tensors of PyTorch without copies."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from exporters.core.errors import GateError, UnavailableError
from exporters.runtimes.ort import Provider, open_session


class OnnxFeatures:
    """A file of `exporters.onnx.features` in ONNX Runtime.

    Args:
        model: the path of the file.
        device: where images are and outputs go: the CPU, or CUDA for the other providers.
        provider: of ONNX Runtime.
        threads: of one operator on the CPU; None: as many as PyTorch has in this process.

    Raises:
        UnavailableError: onnxruntime is not installed, or the provider is not there or did not start.
        GateError: the model cannot be loaded, or has dimensions that are not known.
    """

    def __init__(
        self, model: Path, device: torch.device, provider: Provider = "cpu", threads: int | None = None
    ) -> None:
        self._name, self._device = model.name, device
        self._session = open_session(model, provider, threads or torch.get_num_threads(), spin=False)
        self._shapes: dict[str, tuple[int, ...]] = {}
        for value in self._session.get_outputs():
            if not all(isinstance(side, int) for side in value.shape[1:]):
                raise GateError(f"{model}: the output {value.name} has a shape that is not known: {value.shape}")
            self._shapes[value.name] = tuple(value.shape[1:])

    def __call__(self, images: Tensor) -> tuple[Tensor, ...]:
        """Images float32 `[n, 3, S, S]` on the device to the outputs in the order of the file, float32 `[n, …]`.

        Raises:
            UnavailableError: the runtime cannot compute them.
        """
        images = images.to(torch.float32).contiguous()
        binding = self._session.io_binding()
        place = (self._device.type, self._device.index or 0, np.float32)
        binding.bind_input("image", *place, tuple(images.shape), images.data_ptr())
        outputs = []
        for name, shape in self._shapes.items():
            found = torch.empty((len(images), *shape), dtype=torch.float32, device=self._device)
            binding.bind_output(name, *place, tuple(found.shape), found.data_ptr())
            outputs.append(found)
        if self._device.type == "cuda":  # ONNX Runtime has a stream of its own
            torch.cuda.current_stream(self._device).synchronize()
        try:
            self._session.run_with_iobinding(binding)
            binding.synchronize_outputs()
        except Exception as error:  # onnxruntime's exceptions share no base class
            reason = str(error).split("\n")[0][:300]
            raise UnavailableError(f"ONNX Runtime fails on {self._name}: {reason}") from error
        return tuple(outputs)
