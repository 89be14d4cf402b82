"""A TensorRT engine on the GPU."""

from pathlib import Path
from typing import Any

import numpy as np

from exporters.core.errors import GateError, UnavailableError, UsageError
from exporters.core.outputs import CAM_NAME
from exporters.runtimes.base import Explained, check_images
from exporters.tensorrt.gpu import current_gpu
from exporters.tensorrt.libraries import Flavour, find
from exporters.tensorrt.messages import collected
from exporters.tensorrt.sidecar import read_plan


class TensorRTRuntime:
    """An engine, loaded only after its sha256 was compared: a plan is executable code.

    Batches larger than the engine's profile are split; one that is too small is filled up with its last image, and the
    surplus answers are thrown away.

    Args:
        plan: a path, or the bytes of the file.
        sha256: what the plan must have, from a manifest or sidecar that is trusted.
        flavour: the library that built it.

    Attributes:
        gpu: name of the GPU that it runs on.
        map_size: height and width of the class activation maps; None where the engine gives none.

    Raises:
        UsageError: no such file.
        GateError: another sha256, or not the input and output of a bundle's model.
        UnavailableError: no TensorRT, no GPU, or an engine that this GPU or this TensorRT does not load.
    """

    def __init__(self, plan: Path | bytes, sha256: str, flavour: Flavour = "auto") -> None:
        data = read_plan(plan, sha256)
        library = find(flavour)
        gpu = current_gpu()
        if gpu is None:
            raise UnavailableError(
                f"{library.title} runs engines on NVIDIA GPUs alone, and torch finds none here",
                remedy="`nvidia-smi` must answer, and torch must be a CUDA build.",
            )
        import torch

        self._torch, self._trt = torch, library.module
        torch.cuda.current_stream()  # makes the CUDA context that TensorRT joins
        with collected(library) as (logger, messages):
            self._runtime = self._trt.Runtime(logger)
            if not library.is_rtx:
                self._runtime.engine_host_code_allowed = True  # version-compatible engines bring code; its hash fits
            self._engine = self._runtime.deserialize_cuda_engine(data)
            if self._engine is None:
                raise UnavailableError(
                    f"{library.title} does not load this engine: {messages.errors}",
                    remedy="Build it again on this machine, with this TensorRT.",
                )
            self._context = self._engine.create_execution_context()
            if self._context is None:
                raise UnavailableError(f"{library.title} cannot run this engine: {messages.errors}")
        self.library, self.gpu = library, gpu.name
        self.map_size: tuple[int, int] | None = None
        self._size, self._classes, self._least, self._most = self._dimensions()
        self._stream = torch.cuda.Stream()

    def predict(self, images: np.ndarray) -> np.ndarray:
        """See `Runtime.predict`."""
        return self._run(images)["logits"]

    def explain(self, images: np.ndarray) -> Explained:
        """See `Explainer.explain`."""
        if self.map_size is None:
            raise UsageError("the engine gives no class activation maps")
        found = self._run(images)
        return Explained(found["logits"], found[CAM_NAME])

    def _run(self, images: np.ndarray) -> dict[str, np.ndarray]:
        check_images(images, self._size)
        starts = range(0, len(images), self._most)
        parts = [self._part(images[start : start + self._most]) for start in starts]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def _part(self, images: np.ndarray) -> dict[str, np.ndarray]:
        count = len(images)
        if count < self._least:
            images = np.concatenate([images, np.repeat(images[-1:], self._least - count, axis=0)])
        torch, context, stream = self._torch, self._context, self._stream
        with torch.cuda.stream(stream), collected(self.library) as (_, messages):
            image = torch.from_numpy(np.array(images)).cuda()
            shapes: dict[str, tuple[int, ...]] = {"logits": (self._classes,)}
            if self.map_size is not None:
                shapes[CAM_NAME] = self.map_size
            outputs = {
                name: torch.empty((len(images), *shape), dtype=torch.float32, device="cuda")
                for name, shape in shapes.items()
            }
            ready = (
                context.set_input_shape("image", tuple(image.shape))
                and context.set_tensor_address("image", image.data_ptr())
                and all(context.set_tensor_address(name, each.data_ptr()) for name, each in outputs.items())
                and context.execute_async_v3(stream.cuda_stream)
            )
            if not ready:
                raise UnavailableError(
                    f"{self.library.title} could not run the engine on a batch of {len(images)}: {messages.errors}"
                )
            stream.synchronize()
            return {name: each[:count].cpu().numpy() for name, each in outputs.items()}

    def _dimensions(self) -> tuple[int, int, int, int]:
        """Image size, classes, smallest and largest batch."""
        engine, types = self._engine, self._trt.DataType
        names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
        if sorted(names) not in (["image", "logits"], [CAM_NAME, "image", "logits"]):
            raise GateError(f"the engine has the tensors {', '.join(sorted(names))}, not `image` and `logits`")
        expected: dict[str, Any] = {"image": types.UINT8, "logits": types.FLOAT}
        if CAM_NAME in names:
            expected[CAM_NAME] = types.FLOAT
            _, height, width = engine.get_tensor_shape(CAM_NAME)
            self.map_size = int(height), int(width)
        if any(engine.get_tensor_dtype(name) != kind for name, kind in expected.items()):
            raise GateError("the engine does not take `image` as uint8 and give `logits` as float32")
        smallest, _, largest = engine.get_tensor_profile_shape("image", 0)
        return int(largest[1]), int(engine.get_tensor_shape("logits")[1]), int(smallest[0]), int(largest[0])
