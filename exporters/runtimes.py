"""Run a student wherever it lives, behind one method: uint8 images in, logits out.

A provider that was asked for and does not really run is an error, never a silent fall-back to the CPU.
"""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

from exporters.errors import GateError, UnavailableError, UsageError

if TYPE_CHECKING:
    from exporters.student import Student

Provider = Literal["cpu", "cuda", "tensorrt"]
_PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
}
_PROVIDER_OPTIONS = {"cuda": {"use_tf32": "0"}}  # as `TorchRuntime`: fp32 means fp32


class Runtime(Protocol):
    """Something that classifies images."""

    def predict(self, images: np.ndarray) -> np.ndarray:
        """Uint8 RGB `[B, H, W, 3]`, B of 1 or more, to float32 logits `[B, K]`; anything else raises UsageError."""
        ...


class TorchRuntime:
    """The student itself: the reference that every exported file is compared with.

    Normalises step by step, image / 255, minus mean, over std, where the exported graph multiplies and adds once.

    Args:
        student: left as it is; a device other than the CPU gets a copy.
        device: as torch names it.

    Raises:
        UnavailableError: no such device here.
    """

    def __init__(self, student: "Student", device: str = "cpu") -> None:
        import copy

        import torch

        self._torch = torch
        try:
            self._device = torch.device(device)
            module = student.module if self._device.type == "cpu" else copy.deepcopy(student.module)
            self._module = module.to(self._device)
        except (RuntimeError, AssertionError) as error:
            reason = str(error).split("\n")[0]
            raise UnavailableError(f"the device {device!r} cannot be used by torch: {reason}") from error
        if any(part.training for part in module.modules()):
            raise UsageError("the student is in train mode", remedy="Call `module.eval()` first.")
        self._size = student.preprocessing.size
        self._mean = torch.tensor(student.preprocessing.mean, device=self._device).view(1, 3, 1, 1)
        self._std = torch.tensor(student.preprocessing.std, device=self._device).view(1, 3, 1, 1)

    def predict(self, images: np.ndarray) -> np.ndarray:
        """See `Runtime.predict`."""
        _check_images(images, self._size)
        torch = self._torch
        # fp32 means fp32: the 10 bits of TF32 would cost more than parity allows.
        with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            x = torch.from_numpy(np.array(images)).to(self._device).permute(0, 3, 1, 2).float() / 255
            logits = self._module((x - self._mean) / self._std)
        return logits.float().cpu().numpy()


class OnnxRuntime:
    """An exported file in ONNX Runtime.

    Args:
        model: a path, or the bytes of the file.
        provider: `cpu`, `cuda` or `tensorrt`.
        threads: of one operator; None leaves the choice to ONNX Runtime.

    Raises:
        UnavailableError: onnxruntime is not installed, or the provider is not there or did not start.
        GateError: the model cannot be loaded, or does not have the input and output of a bundle's model.
    """

    def __init__(self, model: Path | bytes, provider: Provider = "cpu", threads: int | None = None) -> None:
        runtime = _onnxruntime(provider)
        if provider not in _PROVIDERS:
            raise UsageError(f"unknown provider {provider!r}", remedy=f"Known: {', '.join(_PROVIDERS)}.")
        wanted = _PROVIDERS[provider]
        available = runtime.get_available_providers()
        if wanted not in available:
            raise UnavailableError(
                f"ONNX Runtime has no {wanted} here, only {', '.join(available)}",
                remedy=None
                if provider == "cpu"
                else "pip install 'tmkd-pipeline[gpu]' on a machine with an NVIDIA GPU.",
            )
        options = runtime.SessionOptions()
        options.log_severity_level = 4  # what goes wrong is raised, and told once
        if threads is not None:
            options.intra_op_num_threads = threads
        source = model if isinstance(model, bytes) else str(model)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # it warns where it falls back, which is an error here
                session = runtime.InferenceSession(
                    source, options, providers=[(wanted, _PROVIDER_OPTIONS.get(provider, {}))]
                )
        except Exception as error:  # onnxruntime's exceptions share no base class
            reason = str(error).split("\n")[0][:300]
            if provider != "cpu":
                raise UnavailableError(f"{wanted} did not start: {reason}") from error
            raise GateError(f"the model cannot be loaded by ONNX Runtime: {reason}") from error
        if wanted not in session.get_providers():
            raise UnavailableError(f"{wanted} did not start; ONNX Runtime fell back to {session.get_providers()}")
        inputs, outputs = session.get_inputs(), session.get_outputs()
        if [(value.name, value.type) for value in inputs] != [("image", "tensor(uint8)")] or [
            value.name for value in outputs
        ] != ["logits"]:
            raise GateError("the model does not take `image` (uint8) and give `logits`")
        self._session = session
        self._size = int(inputs[0].shape[1])
        self.provider = wanted

    def predict(self, images: np.ndarray) -> np.ndarray:
        """See `Runtime.predict`."""
        _check_images(images, self._size)
        return np.asarray(self._session.run(["logits"], {"image": images})[0], dtype=np.float32)


def _onnxruntime(provider: str) -> Any:
    extra = "runtime" if provider == "cpu" else "gpu"
    try:
        import onnxruntime
    except ImportError as error:
        raise UnavailableError(
            f"onnxruntime is not installed or cannot be imported ({error})",
            remedy=f"pip install 'tmkd-pipeline[{extra}]'",
        ) from error
    return onnxruntime


def _check_images(images: np.ndarray, size: int) -> None:
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1:] != (size, size, 3) or len(images) == 0:
        raise UsageError(f"need uint8 images [batch, {size}, {size}, 3], not {images.dtype} {list(images.shape)}")
