"""Forms of a file are proved: probabilities, and images of any size."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from scipy.special import softmax

from exporters.command.proof import prove_forms, with_resize
from exporters.fp16.convert import to_fp16
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


@pytest.mark.parametrize("temperature", [0.4, 2.63206])
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_graph_divides_logits_by_the_temperature_before_the_softmax(
    trained: Trained, tmp_path: Path, temperature: float, precision: str
) -> None:
    exported = export_onnx(trained.student, tmp_path / "model.onnx", probabilities=True, temperature=temperature)
    data = exported.path.read_bytes() if precision == "fp32" else to_fp16(exported.path.read_bytes())
    task = task_of(trained, precisions=("fp32",), probabilities=True, temperature=temperature)
    found, failures = prove_forms(task, "model.onnx", data, data, precision)
    assert failures == [] and found["probabilities"]["temperature"] == temperature
    assert found["probabilities"]["max_difference"] < 1e-6  # of fp16 too: it divides the logits that it puts out
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    logits, probabilities = session.run(["logits", "probabilities"], {"image": task.context.images})
    np.testing.assert_allclose(probabilities, softmax(logits.astype(np.float64) / temperature, axis=1), atol=1e-6)
    plain = onnxruntime.InferenceSession(
        trained.model if precision == "fp32" else to_fp16(trained.model), providers=["CPUExecutionProvider"]
    )
    np.testing.assert_array_equal(plain.run(["logits"], {"image": task.context.images})[0], logits)


def test_probabilities_of_another_temperature_fail(trained: Trained, tmp_path: Path) -> None:
    data = export_onnx(trained.student, tmp_path / "model.onnx", probabilities=True, temperature=2.0).path.read_bytes()
    for temperature in (1.0, 2.01):
        task = task_of(trained, precisions=("fp32",), probabilities=True, temperature=temperature)
        _, (failure,) = prove_forms(task, "model.onnx", data, data, "fp32")
        assert "probabilities are off by" in failure


def test_temperature_of_one_leaves_the_graph_as_it_was(trained: Trained, tmp_path: Path) -> None:
    files = [
        export_onnx(trained.student, tmp_path / f"{name}.onnx", probabilities=True, **given).path.read_bytes()
        for name, given in (("plain", {}), ("one", {"temperature": 1.0}))
    ]
    assert files[0] == files[1]
    assert not any(node.op_type == "Div" for node in onnx.load_from_string(files[0]).graph.node)
