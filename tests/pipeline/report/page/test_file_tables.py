from typing import Any

import numpy as np

from pipeline.report.page.file_tables import file_tables
from pipeline.report.page.table import Table
from tests.pipeline.report.page.made_up import validated

WHOLE = {"top1_agreement": 0.9, "accuracy_drop": 0.02, "max_scaled_error": 0.3}
SPEED = {"p50_ms": 2.0, "p95_ms": 3.0, "images_per_second": 5000.0}
DEVIATION = {
    "node": "/layer1/conv", "operator": "Conv", "tensor": "t", "compared": "t", "scaled_error": 0.25,
    "non_finite": False, "before": {"tensor": "relu0", "scaled_error": 0.001}, "unmatched": [], "runs": 4,
}  # fmt: skip


def made(parity: dict[str, Any] | None, benchmark: dict[str, Any] | None = None) -> dict[str, Table]:
    labels = np.array([0, 1])
    return dict(file_tables(validated(["a", "b"], labels, labels, parity=parity, benchmark=benchmark)))


def rejected(**changes: Any) -> dict[str, Any]:
    found = {
        "status": "rejected",
        "reason": "agreement .9",
        "whole": WHOLE,
        "first_deviation": DEVIATION,
        "speed": None,
    }
    return found | changes


def test_rejected_file_names_the_first_node_that_deviates() -> None:
    found = made({"fp32": {"passed": True, "whole": WHOLE}, "int8": rejected()})
    assert found["parity"].rows[1] == ["model.int8.onnx", "rejected", "90.000", "+2.000", "3.0e-01", "agreement .9"]
    assert found["deviations"].rows == [["model.int8.onnx", "/layer1/conv", "Conv", "2.5e-01", "relu0 (1.0e-03)"]]


def test_deviation_to_no_number_and_without_anything_before_it() -> None:
    found = made(
        {"fp16": rejected(first_deviation={**DEVIATION, "scaled_error": None, "non_finite": True, "before": None})}
    )
    assert found["deviations"].rows == [["model.fp16.onnx", "/layer1/conv", "Conv", "not finite", "none"]]


def test_without_deviations_there_is_no_table_of_them() -> None:
    assert "deviations" not in made({"fp32": {"passed": True, "whole": WHOLE}, "int8": rejected(first_deviation=None)})


def test_files_that_were_timed_and_do_not_ship_stand_beside_fp32_of_the_same_rounds() -> None:
    speed = {"runtimes": {"fp32": {**SPEED, "p50_ms": 1.0}, "int8": SPEED}}
    benchmark = {"batch": 16, "runtimes": {"onnxruntime-cpu": SPEED}}
    parity = {"fp32": {"passed": True, "whole": WHOLE}, "int8": rejected(status="not useful", speed=speed)}
    rows = made(parity, benchmark)["speed"].rows
    assert [row[:2] for row in rows] == [
        ["onnxruntime-cpu", "2.000"],
        ["model.onnx beside model.int8.onnx", "1.000"],
        ["model.int8.onnx (does not ship)", "2.000"],
    ]
    shipped = {**parity, "int8": {**parity["int8"], "status": "shipped"}}
    assert len(made(shipped, benchmark)["speed"].rows) == 1  # the benchmark has it


def test_run_without_files_has_no_tables() -> None:
    assert made(None) == {}
