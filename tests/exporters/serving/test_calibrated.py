"""One temperature, applied alike by client, server, the command `predict` and a graph with probabilities."""

import dataclasses
import json
from pathlib import Path

import onnxruntime
import pytest
from click.testing import CliRunner

from exporters.bundle.contents import BundleContents
from exporters.bundle.pack import pack
from exporters.client import Student
from exporters.onnx.export import export_onnx
from pipeline.commands.predict import predict
from tests.exporters.conftest import LABELS, Exported

from .conftest import photo, serving


def test_calibrated_probabilities_agree_everywhere(contents: BundleContents, cifar: Exported, tmp_path: Path) -> None:
    bundle, file, data = tmp_path / "bundle", tmp_path / "photo.png", photo(5, kind="PNG")
    calibration = {"temperature": 2.5, "splits": {}}
    pack(dataclasses.replace(contents, calibration=calibration), bundle)
    file.write_bytes(data)
    student = Student.load(bundle, threads=1)
    graph = export_onnx(cifar.student, tmp_path / "model.onnx", probabilities=True, temperature=2.5).path
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    (row,) = session.run(["probabilities"], {"image": student.prepare(data)[None]})[0]
    expected = pytest.approx(dict(zip(LABELS, row.tolist(), strict=True)), abs=1e-6)
    assert dict(student.predict(data, 7)) == expected
    printed = CliRunner().invoke(predict, [str(bundle), str(file), "--json", "--top", "7"], catch_exceptions=False)
    assert {each["label"]: each["probability"] for each in json.loads(printed.stdout)["predictions"]} == expected
    with serving(bundle, tmp_path / "log") as server:
        answer = server.ask("POST", "/predict?top=7", data).json
    assert {each["label"]: each["probability"] for each in answer["predictions"]} == expected
