"""Faults planted between the student and its files: each ends the run with exit 3, and nothing ships."""

import copy
import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

import exporters.audit
import exporters.onnx.export
import pipeline.stages.export
from exporters.artifacts.kinds import VARIANT_KINDS
from exporters.bundle.verify import verify_bundle
from exporters.onnx.export import export_onnx
from exporters.runtimes import TorchRuntime
from exporters.student.student import TrainedStudent
from tests.exporters.onnx.planting import overflowing
from tests.pipeline.conftest import Run, set_

AGAIN = {"export.onnx.opset": 21}  # so that the stage runs again


def _changed_module(student: TrainedStudent, change: Callable[[torch.nn.Module], None]) -> TrainedStudent:
    module = copy.deepcopy(student.module)
    with torch.no_grad():
        change(module)
    return dataclasses.replace(student, module=module)


def _one_weight(student: TrainedStudent) -> TrainedStudent:
    def change(module: torch.nn.Module) -> None:
        module.get_parameter("linear.bias")[1] += 0.05  # one that no ReLU can hide

    return _changed_module(student, change)


def _channels(student: TrainedStudent) -> TrainedStudent:
    def change(module: torch.nn.Module) -> None:
        weight = module.get_parameter("conv1.weight")
        weight.copy_(weight.flip(1))

    return _changed_module(student, change)


def _statistics_of_one_batch(student: TrainedStudent) -> TrainedStudent:
    """What batch norms in train mode do to the file that is traced from them."""

    def change(module: torch.nn.Module) -> None:
        module.train()
        module(torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0)))
        module.eval()

    return _changed_module(student, change)


def _train_mode(student: TrainedStudent) -> TrainedStudent:
    def change(module: torch.nn.Module) -> None:
        module.get_submodule("bn1").train()

    return _changed_module(student, change)


def _no_normalisation(student: TrainedStudent) -> TrainedStudent:
    plain = dataclasses.replace(student.preprocessing, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    return dataclasses.replace(student, preprocessing=plain)


def _labels(student: TrainedStudent) -> TrainedStudent:
    return dataclasses.replace(student, labels=student.labels[::-1])


FAULTS = {
    "one weight": _one_weight,
    "channels swapped": _channels,
    "batch norms in train mode": _train_mode,
    "statistics of one batch": _statistics_of_one_batch,
    "normalisation dropped": _no_normalisation,
    "labels permuted": _labels,
}


def plant(monkeypatch: pytest.MonkeyPatch, fault: Callable[[TrainedStudent], TrainedStudent]) -> None:
    """Another student than the chosen one is exported."""

    def export(student: TrainedStudent, path: Path, *arguments: Any, **options: Any) -> Any:
        return export_onnx(fault(student), path, *arguments, **options)

    monkeypatch.setattr(exporters.onnx.export, "export_onnx", export)


def ends_with_nothing(run: Run, overrides: Mapping[str, object]) -> str:
    """Expect exit 3 and no bundle; return the output."""
    outcome = run(*set_(overrides))
    assert outcome.code == 3, outcome.out + outcome.err
    assert "Traceback" not in outcome.err
    assert not (run.directory / "bundle").exists() and not (run.directory / "bundle.tar").exists()
    return outcome.err


@pytest.mark.parametrize("fault", FAULTS)
def test_faulty_export_is_found(run: Run, monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    plant(monkeypatch, FAULTS[fault])
    ends_with_nothing(run, AGAIN)


@pytest.mark.parametrize("fault", ["channels swapped", "statistics of one batch", "normalisation dropped"])
def test_parity_alone_finds_the_fault(run: Run, monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    """The audit compares weights, parity compares outputs; only the audit finds faults that hardly change an output."""
    plant(monkeypatch, FAULTS[fault])
    monkeypatch.setattr(exporters.audit, "audit_export", lambda *_arguments: [])
    monkeypatch.setattr("exporters.artifacts.fp32.check_metadata", lambda *_arguments: None)
    assert "model.onnx is not the student" in ends_with_nothing(run, AGAIN)


def test_weight_changed_after_the_audit_is_found(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    audit = exporters.audit.audit_export

    def audit_then_change(content: bytes, student: TrainedStudent) -> Any:
        entries = audit(content, student)
        model = onnx.load_from_string(content)
        weight = max(model.graph.initializer, key=lambda tensor: int(np.prod(tensor.dims)))
        values = numpy_helper.to_array(weight).copy()
        values.flat[0] += 0.05
        weight.CopyFrom(numpy_helper.from_array(values, weight.name))
        (run.directory / "export" / "model.onnx").write_bytes(model.SerializeToString())
        return entries

    monkeypatch.setattr(exporters.audit, "audit_export", audit_then_change)
    ends_with_nothing(run, AGAIN)


def test_overflow_in_fp16_is_found(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The search is made to accept a file whose values exceed 65,504 between two layers."""
    kind = VARIANT_KINDS["fp16"]

    def search(model: bytes, terms: Any) -> Any:
        return kind.search(overflowing(model)[0], dataclasses.replace(terms, objections=lambda _data: []))

    monkeypatch.setitem(VARIANT_KINDS, "fp16", dataclasses.replace(kind, search=search, audit=lambda *_arguments: []))
    asked = {"export.onnx.precision": "[fp32, fp16]", "export.onnx.required": "[fp16]"}
    assert "model.fp16.onnx must pass" in ends_with_nothing(run, asked)


def test_calibration_on_noise_is_refused(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ranges of faint noise on grey do not hold photographs, and no layer may stay in float to mend it."""
    kind = VARIANT_KINDS["int8"]
    noise = np.random.default_rng(0).integers(120, 136, (24, 32, 32, 3)).astype(np.uint8)
    monkeypatch.setattr(pipeline.stages.export, "calibration_batches", lambda *_arguments: iter([noise]))

    def search(model: bytes, terms: Any) -> Any:
        from exporters.quantize import search_float_layers

        return search_float_layers(model, terms.calibration, terms.objections, target="cpu", max_trials=1)

    monkeypatch.setitem(VARIANT_KINDS, "int8", dataclasses.replace(kind, search=search))
    asked = {
        "export.onnx.precision": "[fp32, int8]",
        "export.onnx.required": "[int8]",
        "parity.int8.max_scaled_error": 0.05,
        "parity.int8.min_agreement": 0.5,
        "parity.int8.max_accuracy_drop": 0.5,
    }
    assert "model.int8.onnx must pass" in ends_with_nothing(run, asked)


def test_calibration_on_training_images_passes(run: Run) -> None:
    asked = {
        "export.onnx.precision": "[fp32, int8]",
        "export.onnx.required": "[int8]",
        "export.onnx.calibration.images": 24,
        "parity.int8.max_scaled_error": 0.05,
        "parity.int8.min_agreement": 0.5,
        "parity.int8.max_accuracy_drop": 0.5,
    }
    outcome = run(*set_(asked))
    assert outcome.code == 0, outcome.out + outcome.err


def shift_reference(monkeypatch: pytest.MonkeyPatch, share: float) -> None:
    """Change one of the student's logits by a share of their scale, like a backend with coarser rounding."""
    predict = TorchRuntime.predict

    def shifted(runtime: TorchRuntime, images: np.ndarray) -> np.ndarray:
        logits = predict(runtime, images).copy()
        logits[:, -1] += share * np.abs(logits).max()
        return logits

    monkeypatch.setattr(TorchRuntime, "predict", shifted)


def test_loosened_gate_that_passes_ships(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    shift_reference(monkeypatch, 3e-4)
    assert "model.onnx is not the student" in ends_with_nothing(run, {"parity.fp32.min_agreement": 0.9})
    outcome = run(*set_({"parity.fp32.max_scaled_error": 5e-4}))
    assert outcome.code == 0, outcome.out + outcome.err
    report = verify_bundle(run.directory / "bundle")
    assert 1e-4 < report.golden_errors["model.onnx"] < report.manifest["models"]["model.onnx"]["golden_tolerance"]


def test_loose_gate_cannot_override_the_bundle_limit(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    shift_reference(monkeypatch, 5e-3)
    message = ends_with_nothing(run, {"parity.fp32.max_scaled_error": 0.5})
    assert "model.onnx passes parity.fp32 and cannot ship" in message and "more than 0.001 in fp32" in message
    assert run.record("parity")["status"] == "failed"
