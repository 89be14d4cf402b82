"""Forms of a file are proved: probabilities, and images of any size."""

from pathlib import Path

import onnxruntime

from exporters.command.proof import prove_forms, with_resize
from exporters.onnx.export import export_onnx
from tests.exporters.command.conftest import Trained
from tests.exporters.command.test_task import task_of


def test_without_forms_there_is_nothing_to_prove(trained: Trained) -> None:
    task = task_of(trained, precisions=("fp32",))
    assert prove_forms(task, "model.onnx", trained.model, trained.model, "fp32") == ({}, [])


def test_resizing_in_front_of_a_model_takes_images_of_any_size(trained: Trained) -> None:
    resized = with_resize(trained.model, trained.student.preprocessing)
    session = onnxruntime.InferenceSession(resized, providers=["CPUExecutionProvider"])
    assert not isinstance(session.get_inputs()[0].shape[1], int)
    task = task_of(trained, precisions=("fp32",), any_size=True)
    found, failures = prove_forms(task, "model.onnx", trained.model, resized, "fp32")
    assert failures == [] and found["resize"]["images"] == found["any_size"]["images"] == len(task.images)


def test_probabilities_are_the_softmax_of_the_logits(trained: Trained, tmp_path: Path) -> None:
    data = export_onnx(trained.student, tmp_path / "model.onnx", probabilities=True).path.read_bytes()
    task = task_of(trained, precisions=("fp32",), probabilities=True)
    found, failures = prove_forms(task, "model.onnx", data, data, "fp32")
    assert failures == [] and found["probabilities"]["max_difference"] <= found["probabilities"]["bound"]
