"""ONNX Runtime's packages, and which of its execution providers really run; TensorRT and TensorRT for RTX."""

import importlib.metadata
import json
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec

from exporters.core.errors import UnavailableError
from exporters.tensorrt.libraries import Name, find
from pipeline.doctor.finding import Finding

PACKAGES = ("onnxruntime", "onnxruntime-gpu", "onnxruntime-directml", "onnxruntime-openvino", "onnxruntime-training")
"""Distributions that hold the module `onnxruntime`, and overwrite each other."""
_NEEDS_NVIDIA = ("CUDAExecutionProvider", "TensorrtExecutionProvider", "NvTensorRTRTXExecutionProvider")
_NO_PROCESSORS = ("AzureExecutionProvider",)
"""Providers that ask a service."""
_SECONDS = 90

ONE_NODE = (
    b'\x08\t\x12\x00:3\n\x0c\n\x01x\x12\x01y"\x04Relu\x12\x01gZ\x0f\n\x01x\x12\n\n\x08\x08\x01\x12\x04\n\x02\x08\x02'
    b"b\x0f\n\x01y\x12\n\n\x08\x08\x01\x12\x04\n\x02\x08\x02B\x04\n\x00\x10\x12"
)
"""An ONNX file of one Relu on two numbers, opset 18, so that no library is needed to make it."""

_TRY = """
import json, sys
import numpy, onnxruntime
provider = sys.argv[1]
options = onnxruntime.SessionOptions()
options.log_severity_level = 4
session = onnxruntime.InferenceSession(bytes.fromhex(sys.argv[2]), options, providers=[provider])
found = session.get_providers()
(answer,) = session.run(None, {"x": numpy.array([-1, 2], numpy.float32)})
print(json.dumps({"providers": found, "answer": answer.tolist()}))
"""


def examine_onnx_runtime(has_nvidia: bool) -> Iterator[Finding]:
    """Look at the packages, then open a session on each provider, in a process of its own.

    Args:
        has_nvidia: whether NVIDIA's driver is here, without which its providers cannot run.
    """
    installed = installed_runtimes()
    packages = ", ".join(f"{name} {version}" for name, version in installed.items())
    if len(installed) > 1:
        means = "they overwrite each other's files, and what runs is left to chance"
        kept = "onnxruntime-gpu" if has_nvidia and "onnxruntime-gpu" in installed else next(iter(installed))
        remedy = f"pip uninstall -y {' '.join(installed)}, then pip install {kept}"
        yield Finding("ONNX Runtime", "fault", packages, means, remedy)
    elif not installed:
        means = "no export, no `verify`, no `predict`"
        yield Finding("ONNX Runtime", "note", "not installed", means, "pip install 'tmkd-pipeline[runtime]'")
    else:
        yield Finding("ONNX Runtime", "ok", packages)
    if find_spec("onnxruntime") is None:
        if installed:
            remedy = f"pip install --force-reinstall {next(iter(installed))}"
            yield Finding("module onnxruntime", "fault", "its files are missing", "the package is broken", remedy)
        return
    try:
        import onnxruntime

        available = list(onnxruntime.get_available_providers())
    except Exception as error:  # a library that it loads, or a mixture of two packages
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        remedy = f"pip install --force-reinstall {next(iter(installed), 'onnxruntime')}"
        yield Finding("module onnxruntime", "fault", f"cannot be imported ({reason})", "the package is broken", remedy)
        return
    for provider in available:
        if provider not in _NO_PROCESSORS:
            yield _provider(provider, has_nvidia)


def installed_runtimes() -> dict[str, str]:
    """Version by name of the packages of ONNX Runtime that are installed."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _provider(provider: str, has_nvidia: bool) -> Finding:
    if provider in _NEEDS_NVIDIA and not has_nvidia:
        return Finding(provider, "note", "not tried: no NVIDIA driver is here", "files run on the CPU")
    problem = why_it_does_not_run(provider)
    if problem is None:
        return Finding(provider, "ok", "a session on it gives the right numbers")
    remedy = (
        "pip install --force-reinstall onnxruntime"
        if provider == "CPUExecutionProvider"
        else "Install the CUDA, cuDNN and TensorRT that this version of ONNX Runtime names in its release notes."
    )
    return Finding(provider, "fault", problem, "asking for it ends with an error", remedy)


def why_it_does_not_run(provider: str) -> str | None:
    """Open a session on a provider and run it; None where the numbers are right.

    In a process of its own, because libraries of drivers that do not fit end the process.
    """
    try:
        done = subprocess.run(  # noqa: S603 (our own interpreter, on constants)
            [sys.executable, "-c", _TRY, provider, ONE_NODE.hex()],
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"a session did not answer within {_SECONDS} s"
    except OSError as error:
        return f"no process for it could be started ({error})"
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or [""])[-1][:200]
        ended = f"ended by signal {-done.returncode}" if done.returncode < 0 else last
        return f"a session cannot be opened: {ended or f'exit code {done.returncode}'}"
    try:
        told = json.loads(done.stdout.strip().splitlines()[-1])
        providers, answer = told["providers"], told["answer"]
    except (ValueError, LookupError, TypeError):
        return "a session gives no answer"
    if not providers or providers[0] != provider:
        return f"it does not start; ONNX Runtime falls back to {', '.join(providers)}"
    return None if answer == [0.0, 2.0] else f"the numbers are wrong: {answer} in place of [0, 2]"


def examine_tensorrt() -> Iterator[Finding]:
    """Look for TensorRT and TensorRT for RTX."""
    names: tuple[tuple[Name, str], ...] = (("tensorrt", "TensorRT"), ("tensorrt_rtx", "TensorRT for RTX"))
    for name, title in names:
        try:
            library = find(name)
        except UnavailableError as error:
            yield Finding(title, "note", error.message, "no engines by it (export.tensorrt)", error.remedy or "")
            continue
        targets = f", builds for {', '.join(library.compute_capabilities)}" if library.compute_capabilities else ""
        yield Finding(title, "ok", f"{library.version}{targets}")
