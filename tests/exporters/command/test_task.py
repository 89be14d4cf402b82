"""The request of an export, translated for the code that makes and proves its artifacts."""

from typing import Any

import pytest

from exporters.command import CalibrationRequest, EngineRequest, ExportRequest
from exporters.command.images import ProofImages
from exporters.command.task import ExportTask
from exporters.core.errors import UsageError
from tests.exporters.command.conftest import Trained


def task_of(
    trained: Trained, *, any_size: bool = False, probabilities: bool = False, temperature: float = 1.0, **asked: Any
) -> ExportTask:
    student = trained.student
    images = ProofImages(None, student.labels, student.preprocessing)
    calibration = CalibrationRequest(trained.seen) if "int8" in asked["precisions"] else None
    request = ExportRequest(calibration=calibration, **asked)
    scaling = None if temperature == 1 else {"temperature": temperature, "splits": {}}
    return ExportTask(student, images, request, None, "cpu", any_size, probabilities, print, scaling=scaling)


def test_requested_variants_are_kept_even_if_not_faster(trained: Trained) -> None:
    required = task_of(trained, precisions=("int8", "fp16"), required=("int8", "fp32")).context
    assert [required.keeps(name) for name in ("fp16", "int8")] == [False, True]
    assert task_of(trained, precisions=("fp16",), keep="all").context.keeps("fp16")
    engines = task_of(trained, precisions=("fp16", "int8"), onnx=False, engines=EngineRequest(), keep="all").context
    assert [engines.keeps(name) for name in ("fp16", "int8.trt")] == [False, True]
    assert required.images.shape == (16, 32, 32, 3) and required.gate("int8.trt") == required.gates["int8"]


@pytest.mark.parametrize("form", ["any_size", "probabilities"])
def test_forms_are_refused_by_the_name_of_their_option(trained: Trained, form: str) -> None:
    option = f"--{form.replace('_', '-')}"
    with pytest.raises(UsageError, match=f"^not {option}"):
        task_of(trained, precisions=("fp32",), **{form: True}).refuse_forms(lambda name: f"not {name}")
    task_of(trained, precisions=("fp32",)).refuse_forms(lambda name: f"not {name}")
