"""Stage `parity`: fp32 and each variant proved, and what ships of them."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from exporters.artifacts.kinds import VARIANT_KINDS
from exporters.bundle.verify import verify_bundle
from exporters.client import Student
from exporters.core.errors import GateError
from exporters.core.files import read_json
from pipeline.stages.shared.images import validation_batches
from pipeline.stages.shared.inputs import read_data
from tests.pipeline.conftest import Outcome, Run, run_command, set_
from tests.pipeline.stages.contexts import context_of

ALL = {"export.onnx.precision": "[fp32, fp16, int8]", "export.onnx.calibration.images": 24}
LENIENT = {"parity.int8.min_agreement": 0.5, "parity.int8.max_accuracy_drop": 0.5}


def shipped(directory: Path) -> set[str]:
    return {path.name for path in (directory / "bundle").glob("*.onnx")}


def test_every_requested_variant_is_proved_and_ships(run: Run) -> None:
    outcome = run(*set_({**ALL, **LENIENT, "export.onnx.keep": "all"}))
    assert outcome.code == 0, outcome.out + outcome.err
    assert outcome.stages_run == ["export", "parity", "bundle"]
    assert shipped(run.directory) == {"model.onnx", "model.fp16.onnx", "model.int8.onnx"}
    bundle = run.directory / "bundle"
    manifest = read_json(bundle / "manifest.json")
    parity = read_json(bundle / "parity.json")
    for precision in ("fp16", "int8"):
        entry = manifest["models"][VARIANT_KINDS[precision].file]
        assert entry["precision"] == precision and 1e-4 < entry["golden_tolerance"] <= 0.5
        assert parity[precision]["passed"] is True and parity[precision]["status"] == "shipped"
        assert parity[precision]["whole"]["images"] == 12 and set(parity[precision]["batches"]) == {"1", "7"}
        assert {entry["origin"] for entry in entry["initializers"]} - {"constant"}
    report = verify_bundle(bundle)
    assert set(report.golden_errors) == shipped(run.directory)
    verification = run_command("verify", bundle)
    assert verification.code == 0 and "model.int8.onnx" in verification.out
    card = (bundle / "MODEL_CARD.md").read_text()
    assert "| int8 | 12 |" in card and "| model.fp16.onnx |" in card
    again = run(*set_({**ALL, **LENIENT, "export.onnx.keep": "all"}))
    assert again.code == 0 and again.stages_run == []
    assert Student.load(bundle, precision="int8").predict(next((run.data / "test").rglob("*.*")))


def test_variant_that_is_not_faster_is_reported_and_does_not_ship(run: Run) -> None:
    outcome = run(*set_({"export.onnx.precision": "[fp32, fp16]"}))
    assert outcome.code == 0, outcome.out + outcome.err
    verdict = read_json(run.directory / "parity" / "parity.json")["fp16"]
    assert verdict["status"] in {"shipped", "not useful"} and "times as fast as fp32" in verdict["reason"]
    assert ("model.fp16.onnx" in shipped(run.directory)) == (verdict["status"] == "shipped")
    assert f"model.fp16.onnx: {verdict['status']}" in outcome.out
    assert (run.directory / "export" / "model.fp16.onnx").is_file()


IMPOSSIBLE = {"parity.int8.max_scaled_error": 1e-9, "parity.int8.min_agreement": 1.0}


def test_an_optional_variant_that_fails_is_rejected_and_the_rest_ships(run: Run) -> None:
    outcome = run(*set_({**ALL, **IMPOSSIBLE, "export.onnx.precision": "[fp32, int8]"}))
    assert outcome.code == 0, outcome.out + outcome.err
    assert "model.int8.onnx: rejected" in outcome.out
    assert shipped(run.directory) == {"model.onnx"}
    rejected = run.directory / "parity" / "rejected"
    report = read_json(rejected / "model.int8.onnx.json")
    assert report["passed"] is False and report["status"] == "rejected" and report["whole"]["worst"]
    assert report["first_deviation"]["node"] and report["first_deviation"]["scaled_error"] > 1e-9
    assert (rejected / "model.int8.onnx").is_file()
    verify_bundle(run.directory / "bundle")


def test_a_required_variant_that_fails_ends_the_run(run: Run) -> None:
    outcome = run(
        *set_({**ALL, **IMPOSSIBLE, "export.onnx.precision": "[fp32, int8]", "export.onnx.required": "[int8]"})
    )
    assert outcome.code == 3 and "model.int8.onnx must pass" in outcome.err and "Traceback" not in outcome.err
    assert read_json(run.directory / "parity" / "parity.json")["int8"]["status"] == "rejected"
    assert json.loads((run.directory / "stages" / "parity.json").read_text())["status"] == "failed"


def test_optional_variant_that_cannot_be_made_is_reported(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def unexplained(*_arguments: object) -> list[dict[str, object]]:
        raise GateError("the exported model holds what the student does not explain: planted")

    monkeypatch.setitem(VARIANT_KINDS, "int8", replace(VARIANT_KINDS["int8"], audit=unexplained))
    asked = {**ALL, **LENIENT, "export.onnx.precision": "[fp32, int8]"}
    outcome = run(*set_(asked))
    assert outcome.code == 0, outcome.out + outcome.err
    assert "model.int8.onnx could not be made" in outcome.out + outcome.err
    verdict = read_json(run.directory / "parity" / "parity.json")["int8"]
    assert verdict["status"] == "not made" and "planted" in verdict["reason"]
    assert shipped(run.directory) == {"model.onnx"}
    required = run(*set_({**asked, "export.onnx.required": "[int8]"}))
    assert required.code == 3 and "planted" in required.err


@pytest.mark.parametrize("change", ["parity.int8.min_agreement=0.9", "export.onnx.calibration.method=percentile"])
def test_a_variant_is_searched_again_where_its_terms_change(run: Run, change: str) -> None:
    plain = run("--set", change)
    assert plain.code == 0 and plain.stages_run == []  # of no effect without such a file
    asked = set_({**ALL, **LENIENT, "export.onnx.precision": "[fp32, int8]", "export.onnx.keep": "all"})
    assert run(*asked, "--until", "export").stages_run == ["export"]
    assert run(*asked, "--set", change, "--until", "export").stages_run == ["export"]


def test_parity_is_proved_on_the_whole_validation_split(finished: tuple[Run, Outcome]) -> None:
    run, _ = finished
    report = read_json(run.directory / "parity" / "parity.json")["fp32"]
    assert report["split"] == "validation" and report["whole"]["images"] == 12 and report["passed"] is True
    assert report["whole"]["top1_agreement"] == 1.0 and 0 <= report["whole"]["max_scaled_error"] <= 1e-4
    batches = list(validation_batches(read_data(context_of(run))))
    images, labels, names = batches[0]
    assert len(batches) == 1 and images.shape == (12, 32, 32, 3) and images.dtype == np.uint8
    assert np.bincount(labels).tolist() == [4, 4, 4]
    assert all(name.startswith("val/") for name in names)


def test_missing_provider_does_not_fall_back_to_the_cpu(run: Run) -> None:
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        import torch

        if torch.cuda.is_available():
            pytest.skip("there is a CUDA device")
    outcome = run(*set_({"parity.provider": "cuda"}), "--until", "parity")
    assert outcome.code == 4 and "cuda" in outcome.err.lower() and "Traceback" not in outcome.err
