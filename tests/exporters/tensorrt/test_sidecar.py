import json
from pathlib import Path
from typing import Any

import pytest

from exporters.core.errors import GateError, UsageError
from exporters.core.files import dump_json, sha256_bytes
from exporters.core.write_errors import WriteError
from exporters.tensorrt.sidecar import check_fresh, read_plan, read_sidecar, sidecar_path, write_engine

PLAN = b"a plan"
ONNX = "ab" * 32


def _sidecar(**changes: Any) -> dict[str, Any]:
    return {
        "format": "tmkd-engine/1",
        "library": {"name": "tensorrt_rtx", "version": "1.7"},
        "gpu": "built without a GPU",
        "compute_capabilities": ["8.6"],
        "precision": "fp32",
        "islands": [],
        "profile": None,
        "settings": {},
        "onnx": {"sha256": ONNX, "size": 3},
        "plan": {"sha256": sha256_bytes(PLAN), "size": len(PLAN)},
        "network": {"layers": {"fp32": 1}, "apart": []},
        "engine": {"not_inspected": "no GPU"},
        "timing_cache": "none",
        "seconds": 0.5,
        "log": [],
        **changes,
    }


def test_a_fresh_engine_passes_and_every_other_is_refused(tmp_path: Path) -> None:
    plan = tmp_path / "model.plan"
    write_engine(plan, PLAN, _sidecar())
    beside = sidecar_path(plan)
    assert beside.name == "model.plan.json"
    assert check_fresh(plan, beside, ONNX) == _sidecar()
    with pytest.raises(GateError, match="stale, it was built from another ONNX file"):
        check_fresh(plan, beside, "cd" * 32)
    plan.write_bytes(b"a plot")
    with pytest.raises(GateError, match="executable code") as caught:
        check_fresh(plan, beside, ONNX)
    assert caught.value.exit_code == 3
    plan.unlink()
    with pytest.raises(UsageError, match="cannot be read"):
        check_fresh(plan, beside, ONNX)


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ("", "no JSON"),
        ("[" * 100_000, "no JSON"),
        ("[]", "not a sidecar"),
        (json.dumps({"format": "tmkd-engine/2"}), "not a sidecar"),
        (json.dumps({"format": "tmkd-engine/1"}), "fields missing"),
        (dump_json(_sidecar(more=1)), "more"),
        (dump_json(_sidecar(log="")), "`log` has the wrong type"),
        (dump_json(_sidecar(plan={"sha256": "abc", "size": 1})), "`plan` needs"),
        (dump_json(_sidecar(onnx={"sha256": ONNX})), "`onnx` needs"),
        (dump_json(_sidecar(library={})), "`library` needs"),
    ],
)
def test_a_damaged_sidecar_is_one_clear_error(tmp_path: Path, content: str, match: str) -> None:
    path = tmp_path / "model.plan.json"
    path.write_text(content)
    with pytest.raises(GateError, match=match):
        read_sidecar(path)


def test_failed_write_leaves_no_plan(tmp_path: Path) -> None:
    plan = tmp_path / "model.plan"
    with pytest.raises(ValueError, match="JSON"):
        write_engine(plan, PLAN, _sidecar(seconds=float("nan")))
    assert list(tmp_path.iterdir()) == []
    sidecar_path(plan).mkdir()
    with pytest.raises(UsageError, match="is a folder"):
        write_engine(plan, PLAN, _sidecar())
    assert not plan.exists()


def test_a_failed_rename_leaves_no_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = tmp_path / "model.plan"
    write_engine(plan, PLAN, _sidecar())
    replace = Path.replace

    def refuse(self: Path, target: Path) -> Path:
        if target.suffix == ".json":
            raise OSError("the disk is gone")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(WriteError, match="the disk is gone"):
        write_engine(plan, b"another", _sidecar())
    assert list(tmp_path.iterdir()) == []


def test_plan_bytes_with_another_hash_are_refused() -> None:
    assert read_plan(PLAN, sha256_bytes(PLAN)) == PLAN
    with pytest.raises(GateError, match="not loaded"):
        read_plan(PLAN, ONNX)
