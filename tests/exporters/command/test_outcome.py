"""What became of variants and engines is reported, and lies where it belongs."""

from pathlib import Path

import pytest

from exporters.artifacts.decide import EngineVerdict, VariantVerdict
from exporters.artifacts.engines import MadeEngine
from exporters.artifacts.fp32 import Fp32
from exporters.artifacts.status import Status
from exporters.artifacts.variants import Variant
from exporters.command.outcome import conclude_engine, conclude_variant
from exporters.command.staging import Staging
from exporters.tensorrt.sidecar import sidecar_path
from tests.exporters.command.conftest import Trained
from tests.exporters.command.test_task import task_of


@pytest.fixture
def staging(tmp_path: Path) -> Staging:
    return Staging(*(tmp_path / name for name in ("final", "rejected", "unproved", "packed", "work")))


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (Status.SHIPPED, ["final/model.fp16.onnx"]),
        (Status.REJECTED, ["rejected/model.fp16.onnx", "rejected/model.fp16.onnx.json"]),
        (Status.NOT_USEFUL, []),
        (Status.NOT_MADE, []),
    ],
)
def test_a_variant_lies_where_its_status_says(
    trained: Trained, staging: Staging, tmp_path: Path, status: Status, expected: list[str]
) -> None:
    task = task_of(trained, precisions=("fp16",))
    fp32 = Fp32(trained.model, [], trained.model, [], 20, {})
    verdict = VariantVerdict(status, "a reason")
    outcome = conclude_variant(task, fp32, Variant("fp16", trained.model), verdict, staging)
    assert files(tmp_path) == expected and outcome.report["status"] == status
    assert (outcome.audit is not None) == (status is Status.SHIPPED)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (Status.SHIPPED, ["final/engines/model.plan", "final/engines/model.plan.json"]),
        (Status.UNPROVED, [f"unproved/model.plan{suffix}" for suffix in ("", ".json", ".parity.json")]),
        (Status.NOT_MADE, []),
    ],
)
def test_an_engine_lies_where_its_status_says(
    trained: Trained, staging: Staging, tmp_path: Path, status: Status, expected: list[str]
) -> None:
    plan = staging.work / "engines" / "model.plan"
    plan.parent.mkdir(parents=True)
    plan.write_bytes(b"plan")
    sidecar_path(plan).write_text("{}")
    task = task_of(trained, precisions=("fp32",))
    conclude_engine(task, EngineVerdict(MadeEngine("fp32"), status, "a reason"), staging)
    assert [name for name in files(tmp_path) if not name.startswith("work/")] == expected
