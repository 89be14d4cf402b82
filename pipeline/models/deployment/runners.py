"""One way of running a frozen network for each runtime: images to a tuple of tensors."""

import copy
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from exporters.core.errors import UnavailableError
from exporters.core.process_state import quiet
from exporters.core.progress import working
from pipeline.models.deployment.folding import fold_batch_norms
from pipeline.models.deployment.frozen import Frozen

if TYPE_CHECKING:
    from exporters.runtimes.ort import Provider

Run = Callable[[Tensor], tuple[Tensor, ...]]
"""Images float32 `[n, 3, S, S]` on the device to the network's outputs, `[n, …]`, without gradient."""

_AT_ONCE = 16
"""Images that go through a network together on the CPU, at most: with more, its maps no longer fit into the caches."""


def eager(network: Frozen) -> Run:
    """The network as it was trained, all images at once."""

    def run(images: Tensor) -> tuple[Tensor, ...]:
        with torch.no_grad():
            return network(images)  # type: ignore[no-any-return]

    return run


def folded(network: Frozen, images: Tensor, *, half: bool = False) -> Run:
    """A copy with batch norms folded, channels last in memory; in half precision if asked for.

    Args:
        network: on the device; stays as it is.
        images: some that it takes, for `fold_batch_norms`.
        half: compute in fp16 whatever autocast says. Else autocast decides, as for the network itself.

    Raises:
        UnavailableError: it cannot be copied.
    """
    network = folded_copy(network, images)
    if half:
        network = network.half()
    device = images.device.type

    def run(images: Tensor) -> tuple[Tensor, ...]:
        with torch.inference_mode(), torch.autocast(device, enabled=False) if half else nullcontext():
            pixels = images.half() if half else images
            return network(pixels.contiguous(memory_format=torch.channels_last))  # type: ignore[no-any-return]

    return _in_parts(run, device)


def compiled(network: Frozen, images: Tensor) -> Run:
    """As `folded`, by `torch.compile`.

    Raises:
        UnavailableError: it cannot be compiled here.
    """
    function = torch.compile(folded_copy(network, images))

    def run(images: Tensor) -> tuple[Tensor, ...]:
        with torch.no_grad():
            return function(images.contiguous(memory_format=torch.channels_last))  # type: ignore[no-any-return]

    try:
        # It warns of what it does not find and does not need.
        with quiet(), working(f"compiling the {network.name}"):
            run(images)
    except Exception as error:  # the compiler's, the linker's, or the network's own
        reason = (str(error) or type(error).__name__).strip().splitlines()[0][:200]
        raise UnavailableError(
            f"teacher.runtime: torch.compile fails on the {network.name} ({reason})",
            remedy="Install a C++ compiler (on a GPU Triton too), or use --set teacher.runtime=auto",
        ) from error
    return _in_parts(run, images.device.type)


def exported(path: Path, device: torch.device, runtime: str) -> Run:
    """A file of `write_onnx` in ONNX Runtime or OpenVINO: on the CPU with as many threads as PyTorch has.

    Args:
        path: of the file.
        device: where images are and outputs go.
        runtime: `onnxruntime`; `openvino`; or `tensorrt`, which is ONNX Runtime's provider of it.

    Raises:
        UnavailableError: the runtime is not installed, or has nothing for the device.
        GateError: the file cannot be loaded.
    """
    check_device(runtime, device.type)
    if runtime == "openvino":
        from exporters.runtimes.openvino_features import OpenVinoFeatures

        return _in_parts(OpenVinoFeatures(path), device.type)
    from exporters.runtimes.ort_features import OnnxFeatures

    return _in_parts(OnnxFeatures(path, device, _provider_of(runtime, device.type)), device.type)


def find_library(runtime: str, device: str) -> None:
    """Look for the library of a runtime that runs an exported file.

    Raises:
        UnavailableError: it is not installed, or has nothing for the device.
    """
    check_device(runtime, device)
    if runtime == "openvino":
        from exporters.openvino.library import find

        find()
    else:
        from exporters.runtimes.ort import find_provider

        find_provider(_provider_of(runtime, device))


def check_device(runtime: str, device: str) -> None:
    """See whether a runtime that runs an exported file has anything for a device.

    Raises:
        UnavailableError: it has not.
    """
    if runtime == "tensorrt" and device != "cuda":
        raise UnavailableError(
            f"teacher.runtime: tensorrt runs on NVIDIA GPUs alone, and the device here is {device}",
            remedy="Use --set teacher.runtime=auto, or a machine with such a GPU and pip install 'tmkd-pipeline[gpu]'",
        )
    if runtime == "openvino" and device != "cpu":
        raise UnavailableError(
            f"teacher.runtime: openvino runs on the CPU alone, and the device here is {device}",
            remedy="Use --set teacher.runtime=auto, or --set device=cpu",
        )


def _provider_of(runtime: str, device: str) -> "Provider":
    """ONNX Runtime's provider for a runtime on a device that it has something for."""
    if runtime == "tensorrt":
        return "tensorrt"
    return "cuda" if device == "cuda" else "cpu"


def write_onnx(network: Frozen, path: Path) -> None:
    """Export the network.

    Raises:
        UnavailableError: it cannot be exported.
    """
    from exporters.onnx.features import export_features

    export_features(copied(network).cpu(), network.size, network.outputs, path, network.name)


def folded_copy(network: Frozen, images: Tensor) -> Frozen:
    """A copy with batch norms folded, channels last. Arguments and errors as of `folded`."""
    folded = copied(network)
    fold_batch_norms(folded, images)
    return folded.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def copied(network: Frozen) -> Frozen:
    """A copy.

    Raises:
        UnavailableError: it cannot be copied.
    """
    try:
        return copy.deepcopy(network)
    except Exception as error:  # of a network's own code, or of weights that PyTorch does not copy
        reason = (str(error) or type(error).__name__).splitlines()[0][:200]
        raise UnavailableError(
            f"the {network.name} runs in eager PyTorch alone: it cannot be copied ({reason})",
            remedy="Use --set teacher.runtime=eager",
        ) from error


def _in_parts(run: Run, device: str) -> Run:
    """On the CPU a few images at a time; elsewhere all at once."""
    if device != "cpu":
        return run

    def run_parts(images: Tensor) -> tuple[Tensor, ...]:
        parts = [run(part) for part in images.split(_AT_ONCE)]
        return parts[0] if len(parts) == 1 else tuple(torch.cat(values) for values in zip(*parts, strict=True))

    return run_parts
