"""The stages and the command `export` make, prove and judge alike: over one student, the same verdicts and bytes."""

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("tensorrt_rtx")

from exporters.command import CalibrationRequest, EngineRequest, ExportRequest, export_checkpoint
from exporters.core.files import read_json
from exporters.parity import DEFAULT_GATES, ParityGate
from exporters.student.checkpoint import load_checkpoint
from exporters.tensorrt import EngineSettings
from tests.exporters.engine_runtime import stand_in
from tests.pipeline.conftest import Run, set_

IMAGES = 24
LENIENT, IMPOSSIBLE = (None, 0.5, 0.5), (1e-9, 1.0, 0.0)
BOUNDS = ("max_scaled_error", "min_agreement", "max_accuracy_drop")
NOT_COMPARED = {"reason", "speed", "split", "source", "provider", "file", "trials"}  # of timings and of places


def by_stages(run: Run, int8: tuple[float | None, float, float]) -> Path:
    bounds = ("null" if value is None else value for value in int8)
    outcome = run(
        *set_(
            {
                "export.onnx.precision": "[fp32, fp16, int8]",
                "export.onnx.keep": "all",
                "export.onnx.calibration.images": IMAGES,
                "export.tensorrt.when": "available",
                "export.tensorrt.library": "tensorrt_rtx",
                "export.tensorrt.precision": "[fp16, int8]",
                **{f"parity.int8.{key}": value for key, value in zip(BOUNDS, bounds, strict=True)},
            }
        ),
        "--until",
        "parity",
    )
    assert outcome.code == 0, outcome.out + outcome.err
    return run.directory


def by_command(run: Run, out: Path, int8: tuple[float | None, float, float], patch: pytest.MonkeyPatch) -> Path:
    patch.setattr("exporters.command.task.DEFAULT_GATES", {**DEFAULT_GATES, "int8": ParityGate(*int8)})
    request = ExportRequest(
        ("fp16", "int8"),
        engines=EngineRequest(EngineSettings(), required=False),
        keep="all",
        calibration=CalibrationRequest(run.data / "train", IMAGES),
    )
    checkpoint = load_checkpoint(run.directory)
    export_checkpoint(checkpoint, out, licence="CC0-1.0", data=run.data / "val", request=request)
    return out


def compared(report: dict[str, Any]) -> dict[str, Any]:
    """The part of a report that neither timings nor the names of the images' files change."""
    kept = {key: value for key, value in report.items() if key not in NOT_COMPARED}
    for result in (kept.get("whole"), *kept.get("batches", {}).values()):
        if result is not None:
            result["worst"] = [{**worst, "name": Path(worst["name"]).name} for worst in result["worst"]]
    return kept


@pytest.mark.parametrize("int8", [LENIENT, IMPOSSIBLE], ids=["all ship", "int8 is rejected"])
def test_stages_and_command_ship_the_same_files_for_the_same_reasons(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, int8: tuple[float | None, float, float]
) -> None:
    stand_in(monkeypatch)
    directory, out = by_stages(run, int8), by_command(run, tmp_path / "out", int8, monkeypatch)
    staged, commanded = read_json(directory / "parity" / "parity.json"), read_json(out / "parity.json")
    assert set(staged) == set(commanded) == {"fp32", "fp16", "int8", "int8.trt", "engines"}
    engines = staged.pop("engines"), commanded.pop("engines")
    for one, other in ((staged, commanded), engines):
        assert set(one) == set(other)
        for name in one:
            assert compared(one[name]) == compared(other[name]), name
    expected = "shipped" if int8 == LENIENT else "rejected"
    assert [staged[name]["status"] for name in ("fp16", "int8", "int8.trt")] == ["shipped", expected, expected]
    assert [engines[0][name]["status"] for name in ("fp16", "int8")] == ["shipped", expected]
    shipped = read_json(directory / "parity" / "shipped.json")
    files = {"model.onnx", *(f"model.{name}.onnx" for name in shipped["models"][1:])}
    assert {path.name for path in out.glob("*.onnx")} == files
    for file in files:
        assert (directory / "export" / file).read_bytes() == (out / file).read_bytes(), file
    plans = {read_json(path)["onnx"]["sha256"] for path in (directory / "export" / "engines").glob("*.plan.json")}
    assert plans == {read_json(path)["onnx"]["sha256"] for path in (out / "engines").glob("*.plan.json")}
    ours, theirs = directory / "parity" / "rejected", out / "rejected"
    assert sorted(path.name for path in ours.glob("*")) == sorted(path.name for path in theirs.glob("*"))
    for path in ours.glob("*.onnx"):
        assert path.read_bytes() == (theirs / path.name).read_bytes()
    assert bool(list(ours.glob("*.onnx"))) == (int8 == IMPOSSIBLE)
