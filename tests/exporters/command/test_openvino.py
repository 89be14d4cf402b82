"""`export --to openvino`."""

import sys
from pathlib import Path
from typing import Any

import pytest

from exporters.bundle.verify import verify_bundle
from exporters.command import ExportRequest, export_checkpoint
from exporters.core.errors import UnavailableError, UsageError
from exporters.parity import DEFAULT_GATES, ParityGate
from exporters.student.checkpoint import LoadedCheckpoint
from tests.exporters.command.conftest import Exports, Trained

BOTH = ["openvino/model.bin", "openvino/model.fp16.bin", "openvino/model.fp16.xml", "openvino/model.xml"]


def export(trained: Trained, out: Path, said: list[str], **asked: Any) -> dict[str, Any]:
    options = {key: asked.pop(key) for key in ("any_size", "probabilities") if key in asked}
    request = ExportRequest(openvino=True, onnx=False, **asked)
    checkpoint = LoadedCheckpoint(trained.student)
    return export_checkpoint(checkpoint, out, data=trained.unseen, request=request, say=said.append, **options)


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.[xb][mi][ln]"))


def test_networks_that_pass_are_written_and_packed(
    trained: Trained, exports: Exports, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("openvino")
    exports(trained.model)
    report = export(trained, tmp_path, [], precisions=("fp32", "fp16"), bundle=True)
    assert [path for path in files(tmp_path) if not path.startswith("bundle")] == BOTH
    assert {name: each["status"] for name, each in report["openvino"].items()} == {"fp32": "shipped", "fp16": "shipped"}
    assert not (tmp_path / "model.fp16.onnx").exists()  # the ONNX file of fp16 was not asked for
    assert len(verify_bundle(tmp_path / "bundle", trusted=True).manifest["openvino"]) == 2
    exports(trained.model)
    monkeypatch.setattr("exporters.command.task.DEFAULT_GATES", {**DEFAULT_GATES, "fp16": ParityGate(1e-9, 1, 0)})
    said: list[str] = []
    report = export(trained, tmp_path, said, precisions=("fp16",))
    assert report["openvino"]["fp16"]["status"] == "rejected"
    assert files(tmp_path) == ["rejected/model.fp16.bin", "rejected/model.fp16.xml"]  # and nothing of the first export
    assert any(line.startswith("openvino/model.fp16.xml: rejected, largest error") for line in said)


def test_a_missing_openvino_ends_the_export_before_anything_is_made(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(UnavailableError, match="OpenVINO is not installed") as caught:
        export(trained, tmp_path / "out", [])
    assert caught.value.exit_code == 4 and not (tmp_path / "out").exists()


def test_int8_alone_is_no_precision_of_openvino(trained: Trained, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="OpenVINO files are of fp32 and fp16, and --precision is int8"):
        export(trained, tmp_path, [], precisions=("int8",))


@pytest.mark.parametrize("option", ["any_size", "probabilities"])
def test_other_forms_are_refused(trained: Trained, tmp_path: Path, option: str) -> None:
    with pytest.raises(UsageError, match=f"--{option.replace('_', '-')} is for ONNX files: OpenVINO IR takes"):
        export(trained, tmp_path, [], **{option: True})
