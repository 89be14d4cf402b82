"""What failed is put aside with its report."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from exporters.artifacts.decide import EngineVerdict
from exporters.artifacts.engines import MadeEngine
from exporters.artifacts.placing import copy_engine, set_aside
from exporters.artifacts.status import Status
from exporters.core.files import read_json


def test_a_rejected_file_lies_beside_its_report(tmp_path: Path) -> None:
    set_aside(tmp_path, "model.fp16.onnx", b"model", {"status": Status.REJECTED})
    assert (tmp_path / "model.fp16.onnx").read_bytes() == b"model"
    assert read_json(tmp_path / "model.fp16.onnx.json") == {"status": "rejected"}


@pytest.mark.parametrize(("status", "reports"), [(Status.SHIPPED, []), (Status.REJECTED, ["model.plan.parity.json"])])
def test_an_engine_is_copied_with_its_sidecar_and_a_report_unless_it_ships(
    made: Mapping[str, MadeEngine], models: Mapping[str, Path], tmp_path: Path, status: Status, reports: list[str]
) -> None:
    copy_engine(EngineVerdict(made["fp32"], status, "a reason"), models["fp32"].parent / "engines", tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.plan", "model.plan.json", *reports]


def test_an_engine_that_was_not_built_leaves_nothing(tmp_path: Path) -> None:
    copy_engine(EngineVerdict(MadeEngine("fp32", not_made="failed"), Status.REJECTED, "failed"), tmp_path, tmp_path)
    assert not [*tmp_path.iterdir()]
