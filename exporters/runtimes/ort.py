"""ONNX Runtime and its execution providers."""

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Literal

import numpy as np

from exporters.core.errors import GateError, UnavailableError, UsageError
from exporters.core.interrupts import interrupts_kept
from exporters.core.outputs import CAM_NAME
from exporters.core.process_state import environment, no_warnings
from exporters.runtimes.base import Explained, check_images

Provider = Literal["cpu", "cuda", "tensorrt"]
_PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
}
_PROVIDER_OPTIONS = {"cuda": {"use_tf32": "0"}}  # as `TorchRuntime`: fp32 means fp32


class OnnxRuntime:
    """An exported file in ONNX Runtime.

    Args:
        model: a path, or the bytes of the file.
        provider: `cpu`, `cuda` or `tensorrt`.
        threads: of one operator; None leaves the choice to ONNX Runtime.

    Attributes:
        model: as given.
        provider: the session's, by ONNX Runtime's name.
        map_size: height and width of the class activation maps; None where the file gives none.

    Raises:
        UnavailableError: onnxruntime is not installed, or the provider is not there or did not start.
        GateError: the model cannot be loaded, or does not have the input and output of a bundle's model.
    """

    def __init__(self, model: Path | bytes, provider: Provider = "cpu", threads: int | None = None) -> None:
        session = open_session(model, provider, threads)
        inputs, outputs = session.get_inputs(), session.get_outputs()
        given = [value.name for value in outputs]
        besides = given[1:-1] if given[-1] == CAM_NAME else given[1:]
        if (
            [(value.name, value.type) for value in inputs] != [("image", "tensor(uint8)")]
            or given[0] != "logits"
            or besides not in ([], ["probabilities"])
        ):
            raise GateError("the model does not take `image` (uint8) and give `logits`")
        self.map_size = _map_size(outputs[-1]) if given[-1] == CAM_NAME else None
        self._session = session
        self._provider = provider
        self.model = model
        side = inputs[0].shape[1]
        self._size = side if isinstance(side, int) else None  # a name: the model resizes by itself
        self.provider = session.get_providers()[0]

    def predict(self, images: np.ndarray) -> np.ndarray:
        """See `Runtime.predict`."""
        check_images(images, self._size)
        with _full_precision(self._provider):
            return np.asarray(self._session.run(["logits"], {"image": images})[0], dtype=np.float32)

    def explain(self, images: np.ndarray) -> Explained:
        """See `Explainer.explain`."""
        check_images(images, self._size)
        if self.map_size is None:
            raise UsageError("the model gives no class activation maps")
        with _full_precision(self._provider):
            logits, cam = self._session.run(["logits", CAM_NAME], {"image": images})
        return Explained(np.asarray(logits, np.float32), np.asarray(cam, np.float32))


def _map_size(output: Any) -> tuple[int, int]:
    """Height and width of the output `cam`; GateError where it is not float32 `[batch, h, w]`."""
    sides = tuple(side for side in output.shape[1:] if isinstance(side, int) and side > 0)
    if output.type != "tensor(float)" or len(output.shape) != 3 or len(sides) != 2:
        raise GateError(f"the model gives `{CAM_NAME}` as {output.type} {output.shape}, not float [batch, h, w]")
    return sides[0], sides[1]


def open_session(
    model: Path | bytes, provider: Provider = "cpu", threads: int | None = None, *, spin: bool = True
) -> Any:
    """A session of ONNX Runtime on the provider that is asked for, and on no other.

    Args:
        model: a path, or the bytes of the file.
        provider: `cpu`, `cuda` or `tensorrt`.
        threads: of one operator; None leaves the choice to ONNX Runtime.
        spin: whether its threads wait actively for more work, which keeps cores from others between two calls.

    Raises:
        UnavailableError: onnxruntime is not installed, or the provider is not there or did not start.
        GateError: the model cannot be loaded.
    """
    runtime, wanted = find_provider(provider)
    options = runtime.SessionOptions()
    options.log_severity_level = 4  # errors are raised, and need no log line
    if threads is not None:
        options.intra_op_num_threads = threads
    if not spin:
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    source = model if isinstance(model, bytes) else str(model)
    try:
        # It warns where it falls back, which is an error here.
        with interrupts_kept(), no_warnings(), _full_precision(provider):
            session = runtime.InferenceSession(
                source, options, providers=[(wanted, _PROVIDER_OPTIONS.get(provider, {}))]
            )
    except Exception as error:  # onnxruntime's exceptions share no base class
        reason = str(error).split("\n")[0][:300]
        if provider != "cpu":
            raise UnavailableError(f"{wanted} did not start: {reason}") from error
        if "NOT_IMPLEMENTED" in reason:  # a sound file with an operator or type that this provider has not
            raise UnavailableError(f"{wanted} cannot run this model: {reason}") from error
        raise GateError(f"the model cannot be loaded by ONNX Runtime: {reason}") from error
    if wanted not in session.get_providers():
        raise UnavailableError(f"{wanted} did not start; ONNX Runtime fell back to {session.get_providers()}")
    return session


def _full_precision(provider: Provider) -> AbstractContextManager[None]:
    """A block in which fp32 is not rounded to TF32.

    The TensorRT provider has no option for that: NVIDIA's libraries read the variable when an engine is built, which is
    with the session, or with the first run of a new batch size.
    """
    return environment("NVIDIA_TF32_OVERRIDE", "0") if provider == "tensorrt" else nullcontext()


def find_provider(provider: Provider) -> tuple[Any, str]:
    """The module onnxruntime, and its own name for a provider that it has here. Whether it starts, a session tells.

    Raises:
        UsageError: no such provider.
        UnavailableError: onnxruntime is not installed, or was built without the provider.
    """
    runtime = _onnxruntime(provider)
    if provider not in _PROVIDERS:
        raise UsageError(f"unknown provider {provider!r}", remedy=f"Known: {', '.join(_PROVIDERS)}.")
    wanted = _PROVIDERS[provider]
    available = runtime.get_available_providers()
    if wanted not in available:
        raise UnavailableError(
            f"ONNX Runtime has no {wanted} here, only {', '.join(available)}",
            remedy=None if provider == "cpu" else "pip install 'tmkd-pipeline[gpu]' on a machine with an NVIDIA GPU.",
        )
    return runtime, wanted


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
