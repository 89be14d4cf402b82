"""Rehearses the export of a student before it is trained, so that a network that cannot be exported is found early.

Uses the functions of the export itself: the fp32 file, its audit, a bundle's checks of size and operators, ONNX
Runtime, and the first file that the search of each variant makes. Whether a variant passes its gate depends on the
trained weights and is not checked.
"""

import contextlib
import copy
import dataclasses
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from exporters.core.errors import GateError, UnavailableError

if TYPE_CHECKING:
    from torch import nn

    from exporters.onnx.cam import CamSource
    from exporters.student.student import TrainedStudent

MAX_SCALED_ERROR = 1e-2
"""Relative to the logits' scale; a larger error is another function, not another rounding."""

_MORE = 10  # times the error of fp32 itself
_SEED = 11
_IMAGES = 4
_CALIBRATING = 8


@dataclasses.dataclass(frozen=True)
class Rehearsed:
    """The fp32 file, the entries of its audit, and its largest error on noise relative to the logits' scale.

    `cam` is where it has what class activation maps are made of; None where these were not asked for.
    """

    model: bytes
    entries: Sequence[Mapping[str, Any]]
    error: float
    cam: "CamSource | None" = None


def rehearse(student: "TrainedStudent", opset: int) -> Rehearsed:
    """Export an untrained student, audit the file, and compare its logits.

    Args:
        student: as for `export_onnx`; not changed. In a copy, norms, biases and scales are moved away from their
            initial values, since exporters drop a multiplication by 1 and an addition of 0.
        opset: of the recipe.

    Raises:
        UnavailableError, UsageError: the network cannot be exported, or ONNX Runtime cannot run the file.
        GateError: the audits do not explain the file, or its logits are not the student's.
    """
    from exporters.audit import audit_export
    from exporters.audit.network import audit_network
    from exporters.onnx.export import export_onnx
    from exporters.onnx.reader import read_onnx
    from exporters.runtimes import OnnxRuntime, TorchRuntime

    moved = dataclasses.replace(student, module=_moved(student.module))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        export_onnx(moved, path, opset)
        model = path.read_bytes()
    entries = audit_export(model, moved)
    audit_network(read_onnx(model), model, "model.onnx", moved.parameters)
    images = _noise(_IMAGES, student.preprocessing.size)
    expected = TorchRuntime(moved).predict(images)
    error = _scaled_error(OnnxRuntime(model, threads=1).predict(images), expected)
    if not error <= MAX_SCALED_ERROR and not error <= _MORE * _rounding(moved, images, expected):
        raise GateError(
            f"the exported {student.architecture.name} gives other logits: error {error:.2g} of their scale"
        )
    return Rehearsed(model, entries, error)


def rehearse_cam(student: "TrainedStudent", fp32: Rehearsed) -> Rehearsed:
    """Add class activation maps to the fp32 file, and compare them with the untrained student's.

    Args:
        student: as `rehearse` took it.
        fp32: what `rehearse` gave.

    Raises:
        UsageError: a student without class activation maps.
        UnavailableError, GateError: they cannot be added to the file, or are not the student's.
    """
    from exporters.artifacts.fp32 import check_has_cam
    from exporters.audit import audit_export
    from exporters.audit.network import audit_network
    from exporters.onnx.cam import find_cam_source, with_cam
    from exporters.onnx.reader import read_onnx
    from exporters.parity import MapMeter
    from exporters.runtimes import OnnxRuntime, TorchRuntime

    check_has_cam(student)
    moved = dataclasses.replace(student, module=_moved(student.module))
    source = find_cam_source(fp32.model)
    model = with_cam(fp32.model, source).data
    audit_export(model, moved)
    audit_network(read_onnx(model), model, "model.onnx", moved.parameters)
    images, meter = _noise(_IMAGES, student.preprocessing.size), MapMeter()
    meter.add(TorchRuntime(moved).explain(images), OnnxRuntime(model, threads=1).explain(images))
    error = meter.result().max_scaled_error
    if error is not None and not error <= max(MAX_SCALED_ERROR, _MORE * fp32.error):
        raise GateError(
            f"the exported {student.architecture.name} gives other class activation maps: error {error:.2g} of their"
            " scale"
        )
    return dataclasses.replace(fp32, cam=source)


def rehearse_variant(name: str, fp32: Rehearsed, size: int) -> bytes:
    """Make and audit the first file that the search of a variant would judge, calibrated on noise.

    Args:
        name: a key of `exporters.artifacts.kinds.VARIANT_KINDS`.
        size: of the images.

    Returns:
        The file.

    Raises:
        TmkdError: it cannot be made, the audit does not explain it, or it does not load.
    """
    from exporters.artifacts.kinds import VARIANT_KINDS, SearchInputs
    from exporters.quantize import Calibration
    from exporters.runtimes import OnnxRuntime

    images = _noise(_CALIBRATING, size)
    kind = VARIANT_KINDS[name]
    found = kind.search(fp32.model, SearchInputs(lambda _: (), images, "cpu", Calibration(lambda: iter([images]))))
    data = found.data
    if fp32.cam is not None:
        from exporters.onnx.cam import with_cam

        data = with_cam(data, fp32.cam, dequantize_row=not kind.for_engine).data
    kind.audit(data, fp32.model, fp32.entries)
    OnnxRuntime(data, threads=1).predict(images[:1])
    return data


def opset_that_works(student: "TrainedStudent", candidates: Sequence[int]) -> int | None:
    """The first of `candidates` with which the rehearsal succeeds; None where none does."""
    for opset in candidates:
        with contextlib.suppress(GateError, UnavailableError):
            rehearse(student, opset)
            return opset
    return None


def _moved(module: "nn.Module") -> "nn.Module":
    import torch

    random = torch.Generator().manual_seed(_SEED)
    module = copy.deepcopy(module).cpu().float().eval()
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.ndim <= 1:
                parameter.add_(torch.randn(parameter.shape, generator=random), alpha=0.05)
        for part in module.modules():
            if isinstance(part, torch.nn.modules.batchnorm._BatchNorm) and part.running_var is not None:
                assert part.running_mean is not None
                part.running_var *= torch.empty(part.running_var.shape).uniform_(0.8, 1.25, generator=random)
                part.running_mean += (
                    0.1 * part.running_var.sqrt() * torch.randn(part.running_mean.shape, generator=random)
                )
    return module


def _scaled_error(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.abs(found - expected).max()) / (float(np.abs(expected).max()) or 1.0)


def _rounding(student: "TrainedStudent", images: np.ndarray, expected: np.ndarray) -> float:
    """The error of fp32 relative to float64, which is large where random weights amplify every rounding."""
    import torch

    from exporters.onnx.export import NormalizedStudent

    network = NormalizedStudent(dataclasses.replace(student, module=copy.deepcopy(student.module).double()))
    pixels = torch.from_numpy(images).double().permute(0, 3, 1, 2) * network.scale.double() + network.shift.double()
    with torch.no_grad():
        exact: np.ndarray = network.student(pixels).numpy()
    return _scaled_error(exact, expected)


def _noise(count: int, size: int) -> np.ndarray:
    return np.random.default_rng(_SEED).integers(0, 256, (count, size, size, 3), dtype=np.uint8)
