"""What passed is read for a bundle, and its results are counted by class."""

from pathlib import Path

import numpy as np

from exporters.artifacts.ship import Passed, split_results


def test_files_that_passed_are_read_with_what_the_audit_found(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"fp32")
    (tmp_path / "model.int8.trt.onnx").write_bytes(b"int8")
    entries = {"fp32": [{"name": "a"}], "int8.trt": [{"name": "b"}]}
    passed = Passed.from_folder(tmp_path, entries, ["int8"], {"fp32": {"passed": True}})
    assert [(model.file, model.precision, model.data, model.initializers) for model in passed.models] == [
        ("model.onnx", "fp32", b"fp32", [{"name": "a"}]),
        ("model.int8.trt.onnx", "int8", b"int8", [{"name": "b"}]),
    ]
    assert passed.plans == tmp_path / "engines"


def test_results_count_correct_answers_in_all_and_by_class() -> None:
    digests = [bytes([number]) * 32 for number in range(4)]
    results = split_results(np.array([0, 1, 1, 1]), np.array([0, 0, 1, 1]), digests, ["cat", "dog"])
    assert (results["images"], results["correct"]) == (4, 3)
    assert results["per_class"] == {"cat": {"images": 2, "correct": 1}, "dog": {"images": 2, "correct": 2}}
    other = split_results(np.array([0, 1, 1, 1]), np.array([0, 0, 1, 0]), digests, ["cat", "dog"])
    assert other["sha256"] != results["sha256"]  # the labels are part of it
