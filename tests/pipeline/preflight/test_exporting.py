"""A student that could not be exported is refused before it is trained."""

from collections.abc import Iterator

import pytest

from exporters.core.errors import GateError, UsageError
from pipeline.preflight import exporting
from tests.pipeline.preflight.conftest import Prospect

STAGES = ("data", "distill", "export")


@pytest.fixture(autouse=True)
def _nothing_kept() -> Iterator[None]:
    exporting._objections.cache_clear()
    yield
    exporting._objections.cache_clear()


def test_exportable_student_is_checked_once_and_not_mentioned(
    prospect: Prospect, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = ("student.model=timm:test_efficientnet_gn", "distill.method=ce", "export.onnx.precision=[fp32, fp16]")
    report = prospect.report(exporting.check, *settings, stages=STAGES)
    assert not report.errors and not report.warnings

    def refuse(*_arguments: object) -> None:
        raise AssertionError("asked again")

    monkeypatch.setattr("exporters.artifacts.rehearsal.rehearse", refuse)
    assert not prospect.report(exporting.check, *settings, "seed=5", stages=STAGES).errors


def test_a_network_that_cannot_be_exported_is_refused(prospect: Prospect, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network whose code decides by the values of an image."""
    import torch

    from exporters.student.architectures import cifar

    class Deciding(torch.nn.Module):
        def __init__(self, network: torch.nn.Module) -> None:
            super().__init__()
            self.network = network

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            logits: torch.Tensor = self.network(images)
            return logits if float(logits.sum()) > 0 else -logits

    build = cifar.build_cifar
    monkeypatch.setattr(cifar, "build_cifar", lambda *args, **keys: Deciding(build(*args, **keys)))
    report = prospect.report(
        exporting.check, "student.model=cifar:resnet8", "distill.method=ce", "student.classifier=null", stages=STAGES
    )
    (error,) = report.errors
    assert isinstance(error, UsageError) and error.exit_code == 2
    assert error.message.startswith("student.model: cifar:resnet8 cannot be exported at 32 × 32 with opset 20 (")
    assert error.remedy is not None and error.remedy.startswith("Choose another network, such as ")


def failing_at_20(monkeypatch: pytest.MonkeyPatch) -> None:
    from exporters.artifacts import rehearsal

    real = rehearsal.rehearse

    def rehearse(student: object, opset: int) -> object:
        if opset == 20:
            raise GateError("nothing explains it")
        return real(student, opset)  # type: ignore[arg-type]

    monkeypatch.setattr(rehearsal, "rehearse", rehearse)


def test_an_opset_that_works_is_tried_and_named(prospect: Prospect, monkeypatch: pytest.MonkeyPatch) -> None:
    failing_at_20(monkeypatch)
    report = prospect.report(
        exporting.check, "student.model=timm:test_efficientnet_gn", "distill.method=ce", stages=STAGES
    )
    (error,) = report.errors
    assert "with opset 20 (nothing explains it)" in error.message
    assert error.remedy == "Set export.onnx.opset: 21, with which it was exported just now."


def test_a_run_that_ends_before_its_export_is_warned(prospect: Prospect, monkeypatch: pytest.MonkeyPatch) -> None:
    failing_at_20(monkeypatch)
    report = prospect.report(exporting.check, "student.model=cifar:resnet8", "distill.method=ce", stages=STAGES[:2])
    assert not report.errors
    (warning,) = report.warnings
    assert "student.model: cifar:resnet8 cannot be exported" in warning


@pytest.mark.parametrize("required", [False, True])
def test_a_variant_ends_the_run_only_where_it_is_required(
    prospect: Prospect, monkeypatch: pytest.MonkeyPatch, required: bool
) -> None:
    def refuse(name: str, *_arguments: object) -> None:
        raise GateError(f"no {name}")

    monkeypatch.setattr("exporters.artifacts.rehearsal.rehearse_variant", refuse)
    settings = ("student.model=cifar:resnet8", "distill.method=ce", "export.onnx.precision=[fp32, fp16]")
    asked = ("export.onnx.required=[fp16]",) if required else ()
    report = prospect.report(exporting.check, *settings, *asked, stages=STAGES)
    messages = [error.message for error in report.errors] if required else report.warnings
    assert len(report.errors) == required and len(report.warnings) == 1 - required
    key = "required" if required else "precision"
    assert messages[0].startswith(f"export.onnx.{key}: cifar:resnet8 cannot be had as model.fp16.onnx (no fp16)")


@pytest.mark.parametrize("stages", [STAGES, STAGES[:2]])
def test_a_student_without_class_activation_maps_is_refused_where_they_are_asked_for(
    prospect: Prospect, stages: tuple[str, ...]
) -> None:
    settings = ("student.model=timm:test_convnext", "distill.method=ce", "export.onnx.cam=true")
    report = prospect.report(exporting.check, *settings, stages=stages)
    messages = [*(error.message for error in report.errors), *report.warnings]
    assert len(messages) == 1 and len(report.errors) == ("export" in stages)
    assert messages[0].startswith("export.onnx.cam: timm:test_convnext has no class activation maps: they take a last")


def test_a_student_with_class_activation_maps_is_tried_with_them(prospect: Prospect) -> None:
    settings = ("student.model=cifar:resnet8", "distill.method=ce", "export.onnx.cam=true")
    report = prospect.report(exporting.check, *settings, "export.onnx.precision=[fp32, fp16]", stages=STAGES)
    assert not report.errors and not report.warnings
