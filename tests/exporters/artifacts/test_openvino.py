"""OpenVINO IR is made from the fp32 file, and ships only where it passes the gate of its precision."""

import sys
from pathlib import Path

import pytest

from exporters.artifacts.context import ArtifactContext
from exporters.artifacts.openvino import IrVerdict, MadeIr, make_irs, prove_ir, prove_irs, set_ir_aside, unmet_irs
from exporters.artifacts.status import Status
from exporters.core.errors import GateError, UnavailableError
from exporters.core.files import read_json
from exporters.parity import DEFAULT_GATES, Evidence, ParityGate
from tests.exporters.conftest import Exported

NOT_HERE = MadeIr("fp16", not_made="OpenVINO is not installed")


def context(evidence: Evidence, cifar: Exported, said: list[str] | None = None, **gates: ParityGate) -> ArtifactContext:
    say = (lambda _: None) if said is None else said.append
    return ArtifactContext(evidence, cifar.images[:8], {**DEFAULT_GATES, **gates}, say=say)


@pytest.fixture(scope="module")
def made(cifar: Exported, tmp_path_factory: pytest.TempPathFactory) -> dict[str, MadeIr]:
    pytest.importorskip("openvino")
    return make_irs(("fp32", "fp16"), cifar.data, tmp_path_factory.mktemp("irs"))


def test_both_precisions_are_made_written_and_proved(
    cifar: Exported, evidence: Evidence, made: dict[str, MadeIr], tmp_path: Path
) -> None:
    said: list[str] = []
    again = make_irs(("fp32", "fp16"), cifar.data, tmp_path, say=said.append)
    assert again == made
    names = ["model.bin", "model.fp16.bin", "model.fp16.xml", "model.xml"]
    assert sorted(path.name for path in (tmp_path / "openvino").iterdir()) == names
    assert said[0].startswith("openvino/model.xml: ") and "each of its constants was found there" in said[0]
    for precision, ir in made.items():
        assert MadeIr.from_json(precision, ir.to_json(), tmp_path) == ir
    verdicts = prove_irs(made, context(evidence, cifar))
    assert {precision: verdict.status for precision, verdict in verdicts.items()} == {
        "fp32": Status.SHIPPED, "fp16": Status.SHIPPED,
    }  # fmt: skip
    report = verdicts["fp16"].to_json()
    assert report["passed"] and report["file"] == "model.fp16.xml" and set(report["batches"]) == {"1", "7"}
    assert 1e-5 < report["whole"]["max_scaled_error"] < 1e-2
    assert verdicts["fp32"].to_json()["whole"]["max_scaled_error"] < 1e-5
    assert unmet_irs(verdicts.values()) is None


def test_what_fails_its_gate_is_rejected_and_set_aside(
    cifar: Exported, evidence: Evidence, made: dict[str, MadeIr], tmp_path: Path
) -> None:
    verdict = prove_ir(made["fp16"], context(evidence, cifar, fp16=ParityGate(1e-7, 0.999, 0.001)))
    assert verdict.status is Status.REJECTED and "largest error" in verdict.reason
    set_ir_aside(verdict, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "model.fp16.bin",
        "model.fp16.xml",
        "model.fp16.xml.json",
    ]
    assert read_json(tmp_path / "model.fp16.xml.json")["status"] == "rejected"
    assert isinstance(unmet_irs([verdict]), GateError)


def test_a_loose_gate_does_not_let_a_bundle_hold_more_than_its_limit(
    cifar: Exported, evidence: Evidence, made: dict[str, MadeIr], monkeypatch: pytest.MonkeyPatch
) -> None:
    rounded = MadeIr("fp32", made["fp16"].xml, made["fp16"].weights, "1")
    limits = {"fp32": 1e-5}  # as though rounding to fp16 were more than any bundle may hold
    monkeypatch.setattr("exporters.bundle.golden.GOLDEN_LIMITS", limits)
    verdict = prove_ir(rounded, context(evidence, cifar, fp32=ParityGate(0.9, 0.0, 1.0)))
    assert verdict.status is Status.REJECTED and "no gate allows a bundle more than 1e-05" in verdict.reason


def test_files_that_openvino_does_not_load_are_rejected(cifar: Exported, evidence: Evidence) -> None:
    pytest.importorskip("openvino")
    verdict = prove_ir(MadeIr("fp32", b"<net/>", b"", "1"), context(evidence, cifar))
    assert verdict.status is Status.REJECTED and "cannot be loaded" in verdict.reason
    assert verdict.to_json()["passed"] is False


def test_without_openvino_the_rest_goes_on_unless_it_is_required(
    cifar: Exported, evidence: Evidence, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    warned: list[str] = []
    made = make_irs(("fp16",), cifar.data, tmp_path, warn=warned.append)
    assert warned == [f"openvino/model.fp16.xml is not made: {made['fp16'].not_made}"]
    assert MadeIr.from_json("fp16", made["fp16"].to_json(), tmp_path) == made["fp16"]
    verdict = prove_ir(made["fp16"], context(evidence, cifar))
    assert verdict.status is Status.NOT_MADE and isinstance(unmet_irs([verdict]), UnavailableError)
    with pytest.raises(UnavailableError, match="not installed"):
        make_irs(("fp16",), cifar.data, tmp_path, required=True)
    assert prove_ir(MadeIr("fp16", b"x", b"y", "1"), context(evidence, cifar)).status is Status.UNPROVED


def test_the_first_file_that_does_not_ship_decides_the_error() -> None:
    fine = IrVerdict(MadeIr("fp32"), Status.SHIPPED, "proved")
    missing = IrVerdict(NOT_HERE, Status.NOT_MADE, NOT_HERE.not_made)
    error = unmet_irs([fine, missing])
    assert isinstance(error, UnavailableError)
    assert error.message == "openvino/model.fp16.xml must ship and is not made: OpenVINO is not installed"
