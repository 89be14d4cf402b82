"""Packages that the stages use."""

from collections.abc import Collection
from importlib.util import find_spec

from exporters.core.errors import UnavailableError
from pipeline.preflight.base import Report, Subject

# What a stage imports, beside what every installation has. Where several are named, one of them is enough.
_TRAINING = ("torch", "torchvision", "timm", "lightning_fabric", "safetensors")
_EXPORT = ("torch", "onnx", "onnxscript", "onnxruntime", "safetensors")
NEEDED = {
    "baseline": _TRAINING,
    "teacher": _TRAINING,
    "text": (*_TRAINING, "open_clip"),
    "fusion": _TRAINING,
    "race": _TRAINING,
    "distill": _TRAINING,
    "reference": _TRAINING,
    "validate": _TRAINING,
    "export": _EXPORT,
    "parity": _EXPORT,
    "bundle": (*_EXPORT, "cyclonedx"),
}
_DISTRIBUTIONS = {
    "open_clip": "open_clip_torch",
    "lightning_fabric": "lightning-fabric",
    "cyclonedx": "cyclonedx-python-lib",
}


def missing_packages(stages: Collection[str]) -> list[str]:
    """Packages of some stages that are not installed, by the names that pip has; nothing is imported."""
    needed = dict.fromkeys(name for stage in NEEDED if stage in stages for name in NEEDED[stage])
    return [_DISTRIBUTIONS.get(name, name) for name in needed if find_spec(name) is None]


def check(subject: Subject, report: Report) -> None:
    """Report packages that are not installed."""
    if missing := missing_packages(subject.stages):
        are = "is" if len(missing) == 1 else "are"
        report.add(
            UnavailableError(
                f"{', '.join(missing)} {are} not installed, and this run needs {'it' if len(missing) == 1 else 'them'}",
                remedy="pip install 'tmkd-pipeline[cpu]', or [gpu] on a machine with an NVIDIA GPU.",
            )
        )
